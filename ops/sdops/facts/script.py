"""All probes as one shell script for one connection, and their outputs taken apart again. No I/O here.

The script goes to ``sh -s`` over standard input: whatever the account's login
shell is (fish, csh), it has no more to do than to start ``sh``. Every output
stands behind a line with a random word, its exit status and its length in
bytes, so that greetings, warnings and odd bytes before, between and in them do
no harm.
"""

import re
import secrets
import shlex
from collections.abc import Iterable

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted

#: What the remote side is asked to start; the script is its standard input.
COMMAND = ("sh", "-s")

#: Comes before every probe's own text. Variables: what is wanted, the account's home, whether it is there.
PREAMBLE = """
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
export LC_ALL PATH
unset IFS CDPATH ENV BASH_ENV
id=$(id -u "$user" 2>/dev/null)
home=$(getent passwd "$user" 2>/dev/null | cut -d: -f6)
# have NAME: whether there is such a command.
have() { command -v "$1" >/dev/null 2>&1; }
# say NAME VALUE: one line of an answer.
say() { printf '%s=%s\\n' "$1" "$2"; }
# as_account COMMAND...: runs it as the account, with its home and own systemd; 126 where that is not allowed.
as_account() {
    [ -n "$id" ] || return 126
    set -- env "HOME=$home" "USER=$user" "LOGNAME=$user" "XDG_RUNTIME_DIR=/run/user/$id" "$@"
    if [ "$(id -u)" = "$id" ]; then
        (cd "$home" 2>/dev/null; exec "$@")
    elif [ "$(id -u)" = 0 ]; then
        (cd "$home" 2>/dev/null || cd /; exec runuser -u "$user" -- "$@")
    else
        return 126
    fi
}
# hub_places: sets hf_home, hf_cache and hf_token as the hub's libraries find them in the account's worker, or
# in this environment if it is the account's own; hf_variable: the name of one that holds a token itself.
hub_places() {
    hf_own= hf_cache= hf_token= hf_variable= hf_xdg= worker= IFS='
'
    hf_wanted='s/^\\(HF_TOKEN\\)=..*/token=\\1/p
s/^\\(HUGGING_FACE_HUB_TOKEN\\)=..*/token=\\1/p
/^HF_TOKEN_PATH=./p
/^HF_HOME=./p
/^HF_HUB_CACHE=./p
/^HUGGINGFACE_HUB_CACHE=./p
/^XDG_CACHE_HOME=./p'
    hf_unit=user.slice/user-$id.slice/user@$id.service
    for hf_line in "" /systemd; do
        hf_line=/sys/fs/cgroup$hf_line/$hf_unit/app.slice/sdops-runtime.service/cgroup.procs
        [ -r "$hf_line" ] && read -r worker <"$hf_line" && break
    done
    if [ -n "$worker" ]; then
        hf_line=$(tr '\\n\\0' ' \\n' 2>/dev/null <"/proc/$worker/environ" | sed -n "$hf_wanted")
    elif [ "$(id -u)" = "$id" ]; then
        hf_line=$(env | sed -n "$hf_wanted")
    else
        hf_line=
    fi
    set -f
    for hf_line in $hf_line; do
        hf_value=${hf_line#*=}
        case $hf_value in "~" | "~/"*) hf_value=$home${hf_value#"~"} ;; esac
        case $hf_line in
        token=*) hf_variable=${hf_line#*=} ;;
        HF_TOKEN_PATH=*) hf_token=$hf_value ;;
        HF_HOME=*) hf_own=$hf_value ;;
        HF_HUB_CACHE=*) hf_cache=$hf_value ;;
        HUGGINGFACE_HUB_CACHE=*) hf_cache=${hf_cache:-$hf_value} ;;
        XDG_CACHE_HOME=*) hf_xdg=$hf_value ;;
        esac
    done
    set +f
    unset IFS
    hf_home=${hf_own:-${hf_xdg:-$home/.cache}/huggingface}
    hf_cache=${hf_cache:-$hf_home/hub}
    hf_token=${hf_token:-$hf_home/token}
}
"""

HEAD = """
look() {
    if [ -n "$limit" ]; then
        out=$("$limit" -k 2 "$2" sh -c "$ground$3" 2>&1 </dev/null)
    else
        out=$(sh -c "$ground$3" 2>&1 </dev/null)
    fi
    status=$?
    printf '\\n%s %s %s %s\\n%s' "$nonce" "$1" "$status" "$(printf %s "$out" | LC_ALL=C wc -c)" "$out"
}
main() {
    PATH=$PATH:/usr/bin:/bin
    limit=$(command -v timeout)
"""

TAIL = """
    printf '\\n%s END 0 0\\n' "$nonce"
}
main </dev/null
"""


def compose(probes: Iterable[Probe], wanted: Wanted, nonce: str) -> str:
    """The script that runs the probes one after the other, each no longer than its time."""
    ground = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables(wanted).items()) + PREAMBLE
    looks = "".join(
        f"    look {probe.name} {probe.timeout} {shlex.quote(probe.script)}\n" for probe in probes
    )
    return f"nonce={shlex.quote(nonce)}\nground={shlex.quote(ground)}\n{HEAD}{looks}{TAIL}"


def variables(wanted: Wanted) -> dict[str, str]:
    """What every probe finds set."""
    return {
        "user": wanted.user,
        "env": wanted.env,
        "prefix": wanted.prefix,
        "model": wanted.model,
        "revision": wanted.revision,
        "hub": wanted.hub,
        "expect_gpu": "yes" if wanted.expect_gpu else "",
        "python": wanted.python,
    }


def nonce() -> str:
    """A word that stands in no output by chance."""
    return f"sdops-{secrets.token_hex(12)}"


def take_apart(data: bytes, nonce: str) -> tuple[dict[str, Output], bool]:
    """The outputs by the names of their probes, and whether the last of them arrived whole.

    An output that was cut off is left out.
    """
    found: dict[str, Output] = {}
    head = re.compile(rb"\n%s (\w+) (\d+) +(\d+)\n" % re.escape(nonce.encode()))
    place = 0
    while match := head.search(data, place):
        name, status, length = match[1].decode(), int(match[2]), int(match[3])
        if name == "END":
            return found, True
        place = match.end() + length
        if place > len(data):
            break
        found[name] = Output(data[match.end() : place].decode("utf-8", "replace"), status)
    return found, False
