"""What ssh would do to get to a host, as the ssh program itself tells (``ssh -G``), and nothing guessed.

So every file, Include, Match and option counts as it does for ssh and Ansible. What sdops never takes over
is a loosened StrictHostKeyChecking.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sdops.errors import SdopsError
from sdops.transport import hint

#: Measured at 7 ms; a name server that is asked for CanonicalizeHostname may take longer.
PATIENCE = 10.0

#: The keys that ssh tries where no setting names one.
DEFAULT_KEYS = frozenset(
    f"~/.ssh/id_{kind}" for kind in ("rsa", "dsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss")
)


@dataclass(frozen=True)
class Way:
    """How to get to a machine.

    words: what follows ``ssh`` on a command line that goes there. keys: private key files in their order;
    named: whether a setting names them; only_keys: whether the agent's other keys stay out of it. agent: its
    socket, "" for none. known: files of known hosts; key_name: the host's name in them. asks: whether ssh
    would ask about an unknown host; hashed: whether it hides names in these files. jumps: machines to go
    through, the nearest first, as ssh writes them.
    """

    words: tuple[str, ...]
    hostname: str
    port: int
    user: str
    keys: tuple[Path, ...]
    named: bool
    only_keys: bool
    agent: str
    known: tuple[Path, ...]
    key_name: str
    asks: bool
    family: str = "any"
    connect_timeout: float | None = None
    jumps: tuple[str, ...] = ()
    proxy: str = ""
    hashed: bool = False

    def line(self, command: str = "true", ask: bool = False) -> str:
        """What a person types to run a command there; ask: so that ssh asks about an unknown key."""
        options = ("-o", "StrictHostKeyChecking=ask") if ask and not self.asks else ()
        return shlex.join(["ssh", *options, *self.words, command])


@lru_cache(maxsize=1024)
def find_way(
    address: str, *, user: str = "", port: int | None = None, key: str = "", args: tuple[str, ...] = ()
) -> Way:
    """The way to an address, or to a name of ssh's settings. args: further options of ssh.

    Raises SdopsError("ssh-settings").
    """
    if not address or address.startswith("-"):
        raise SdopsError(
            "ssh-settings", f"{address!r} is no address.", "Correct ansible_host in the inventory."
        )
    options = [*args]
    if port:
        options += ["-p", str(port)]
    if key:
        options += ["-i", str(Path(key).expanduser())]
    words = (*options, f"{user}@{address}" if user else address)
    return _way(words, _ask([*options, *(["-l", user] if user else []), "--", address]))


def jump_way(jump: str, args: Sequence[str]) -> Way:
    """The way to a machine that ProxyJump names; of the host's own options only -F holds for it."""
    found = re.fullmatch(
        r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:]+)(?::(?P<port>\d+))?/?", jump
    )
    if not found:
        raise SdopsError(
            "ssh-settings", f"The jump host {jump!r} cannot be read.", "Write it as user@host:port."
        )
    port = found["port"]
    return find_way(
        found["host"].strip("[]"),
        user=found["user"] or "",
        port=int(port) if port else None,
        args=_config_file(args),
    )


def _config_file(args: Sequence[str]) -> tuple[str, ...]:
    for place, word in enumerate(args):
        if word == "-F" and place + 1 < len(args):
            return ("-F", args[place + 1])
        if word.startswith("-F") and len(word) > 2:
            return (word,)
    return ()


def _ask(words: Sequence[str]) -> dict[str, list[str]]:
    """What ``ssh -G`` says, by keyword; the values of one that is repeated, in order."""
    try:
        ran = subprocess.run(
            ["ssh", "-G", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        raise SdopsError(
            "ssh-settings",
            "There is no ssh program on this machine.",
            hint("Install OpenSSH's client.", "sudo apt install openssh-client"),
        ) from None
    except subprocess.TimeoutExpired:
        said = f"no answer within {PATIENCE:g} s"
    else:
        if ran.returncode == 0:
            return _keywords(ran.stdout.decode("utf-8", "replace"))
        lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[0].rstrip(".") if lines else f"exit status {ran.returncode}"
    raise SdopsError(
        "ssh-settings",
        f"ssh cannot read its settings: {said}.",
        hint(
            "Mend the file or the option that it names. This says the same:",
            shlex.join(["ssh", "-G", *words]),
        ),
    )


def _keywords(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


def _way(words: tuple[str, ...], said: Mapping[str, list[str]]) -> Way:
    def one(keyword: str, default: str = "") -> str:
        value = said.get(keyword, [default])[0]
        return default if value == "none" else value

    hostname, port, user = one("hostname"), int(one("port", "22")), one("user")
    tokens = {
        "%": "%",
        "h": hostname,
        "p": str(port),
        "r": user,
        "n": words[-1].rpartition("@")[2],
        "u": os.environ.get("USER", user),
        "d": str(Path.home()),
    }

    def expand(value: str) -> str:
        return re.sub("%([%hprnud])", lambda found: tokens[found[1]], value)

    def path(value: str) -> Path:
        return Path(expand(value)).expanduser()

    keys = said.get("identityfile", [])
    known = " ".join([one("userknownhostsfile"), one("globalknownhostsfile")])
    alias = one("hostkeyalias")
    agent = one("identityagent", "SSH_AUTH_SOCK") if said.get("identityagent") != ["none"] else ""
    if agent == "SSH_AUTH_SOCK" or agent.startswith("$"):
        agent = os.environ.get(agent.lstrip("$"), "")
    return Way(
        words=words,
        hostname=hostname,
        port=port,
        user=user,
        keys=tuple(path(value) for value in keys if value != "none"),
        named=not frozenset(keys) <= DEFAULT_KEYS,
        only_keys=one("identitiesonly") == "yes",
        agent=str(path(agent)) if agent else "",
        known=tuple(path(value) for value in _split(known)),
        key_name=alias or (hostname if port == 22 else f"[{hostname}]:{port}"),
        asks=one("stricthostkeychecking") == "ask" and one("batchmode") != "yes",
        family=one("addressfamily", "any"),
        connect_timeout=float(one("connecttimeout", "0")) or None,
        jumps=tuple(jump for jump in one("proxyjump").split(",") if jump),
        proxy=expand(one("proxycommand")),
        hashed=one("hashknownhosts") == "yes",
    )


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
