"""What Ansible says of an inventory, remembered by the content that it was read from.

Reading takes Ansible half a second or more, and a cloud longer. Remembered are connections and settings
alone, in the user's own cache folder, readable by nobody else; no passwords, no tokens, nothing vaulted.
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdops import inventory_read, inventory_source
from sdops.errors import SdopsError
from sdops.inventory_wanted import DEFAULTS, SETTINGS
from sdops.transport import hint

#: Raised when what is remembered changes its form.
FORMAT = 1
#: Seconds for which the answer of a cloud, or of a program, is good.
DYNAMIC = 60
#: Seconds that reading may take: a cloud's pages come one after the other.
PATIENCE = 120
#: Answers that are kept.
MOST = 20

CONNECTION = (
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_private_key_file",
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_ssh_host",
    "ansible_ssh_port",
    "ansible_ssh_private_key_file",
    "ansible_ssh_user",
)


def answer(sources: Sequence[str], fresh: bool = False) -> dict[str, Any]:
    """What ``inventory_read`` says of the sources. Raises SdopsError, see ``inventory.read``."""
    place = folder() / f"{key(sources)}.json"
    dynamic = any(map(inventory_source.is_dynamic, sources))
    kept = None if fresh and dynamic else _kept(place)
    if kept is not None:
        return kept
    found = _ask(sources)
    changing = dynamic or any(one["changing"] for one in found["hosts"])
    _keep(place, found, time.time() + DYNAMIC if changing else None)
    return found


def folder() -> Path:
    """Where answers are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdops" / "inventory"


def key(sources: Sequence[str]) -> str:
    """A word for all that the answer depends on, as far as it can be known without asking."""
    digest = hashlib.sha256(
        json.dumps([FORMAT, sys.version, str(Path.cwd()), sorted(_environment().items())]).encode()
    )
    for candidate in pythons():
        digest.update(f"{candidate} {_stamp(candidate)} {_stamp(_release(candidate))}\n".encode())
    for place in (
        os.environ.get("ANSIBLE_CONFIG"),
        "ansible.cfg",
        "~/.ansible.cfg",
        "/etc/ansible/ansible.cfg",
    ):
        if place:
            digest.update(f"{place} {_stamp(Path(place).expanduser())}\n".encode())
    for source in sources:
        digest.update(f"{source}\n".encode())
        for path in inventory_source.files(source):
            try:
                content = path.read_bytes()
            except OSError:
                content = b""
            digest.update(f"{path} {_stamp(path)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _environment() -> dict[str, str]:
    """What of the environment may change an answer; a hash of it, since there are secrets in it."""
    return {
        name: hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
        for name, value in os.environ.items()
        if name.startswith(("ANSIBLE_", "VULTR_")) or name == "HOME"
    }


def _stamp(path: Path | None) -> str:
    try:
        found = path.stat() if path else None
    except OSError:
        found = None
    return f"{found.st_size} {found.st_mtime_ns} {found.st_mode}" if found else ""


def _release(python: Path) -> Path | None:
    """A file of Ansible's that changes with its version."""
    if python != Path(sys.executable):
        return None
    spec = find_spec("ansible")
    return Path(spec.origin).with_name("release.py") if spec and spec.origin else None


def _kept(place: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(place.read_bytes())
        until = data["until"]
        found: dict[str, Any] = data["answer"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if until is None or time.time() < until < time.time() + 2 * DYNAMIC else None


def _keep(place: Path, found: dict[str, Any], until: float | None) -> None:
    """Writes it, whole or not at all. A cache that cannot be written is none, and no error."""
    with contextlib.suppress(OSError):
        place.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.parent.chmod(0o700)
        old = sorted(place.parent.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for one in old[: max(0, len(old) - MOST + 1)]:
            one.unlink(missing_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=place.parent, suffix=".part")  # 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"until": until, "answer": found}, file)
        Path(aside).replace(place)


def pythons() -> Iterator[Path]:
    """The Pythons that may have Ansible: that of the ansible-playbook on the PATH, and our own."""
    program = shutil.which("ansible-playbook")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if program:
            with Path(program).open("rb") as file:
                first = file.readline(500).decode()
            words = first.removeprefix("#!").split()
            if first.startswith("#!") and words and "python" in words[-1]:
                python = shutil.which(words[-1])
                if python and Path(python) != Path(sys.executable):
                    yield Path(python)
    if find_spec("ansible"):
        yield Path(sys.executable)


def _ask(sources: Sequence[str]) -> dict[str, Any]:
    asked = {
        "sources": [one if inventory_source.is_list(one) else str(Path(one).expanduser()) for one in sources],
        "names": [*CONNECTION, *SETTINGS],
        "defaults": DEFAULTS,
    }
    environment = {
        **os.environ,
        "ANSIBLE_INVENTORY_ANY_UNPARSED_FAILED": "true",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    for python in pythons():
        try:
            ran = subprocess.run(
                [python, inventory_read.__file__],
                input=json.dumps(asked).encode(),
                capture_output=True,
                timeout=PATIENCE,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _unreadable(sources, f"no answer within {PATIENCE} s") from None
        except OSError:
            continue
        if ran.returncode == inventory_read.NO_ANSIBLE:
            continue
        if ran.returncode == 0:
            answer: dict[str, Any] = json.loads(ran.stdout)
            return answer
        raise _unreadable(sources, _reason(ran.stderr.decode("utf-8", "replace")))
    raise SdopsError(
        "ansible-missing",
        "The inventory is Ansible's, and Ansible is not installed.",
        hint("Install it.", f"{sys.executable} -m pip install ansible"),
    )


def _reason(text: str) -> str:
    """The part of what Ansible says that helps, on one line: the first plugin's complaint, and its place."""
    flat = " ".join(text.split())
    complaints = re.findall(
        r"Failed to parse \S+(?: \S+)? with '?[\w.]+'? plugin: (.+?)"
        r"(?= Failed to parse| <<<| Origin:| \[WARN|$)",
        flat,
    )
    # What every YAML file that is no plugin's is told by the plugin that looks for those.
    complaints = [one for one in complaints if "no root 'plugin' key" not in one] or complaints
    if complaints:
        place = re.search(r"Origin: (\S+:\d+)(?::\d+)?", flat)
        where = f" ({place[1]})" if place and place[1] not in complaints[0] else ""
        return f"{complaints[0].rstrip('.')}{where}"
    marked = [line for line in text.splitlines() if line.startswith(inventory_read.MARK)]
    lines = [*marked, *reversed(text.strip().splitlines()), "it said nothing"]
    return lines[0].removeprefix(inventory_read.MARK)[:400]


def _unreadable(sources: Sequence[str], reason: str) -> SdopsError:
    names = ", ".join(sources)
    if "unknown plugin" in reason:
        advice = hint(
            "The plugins of clouds come with the package ansible.", f"{sys.executable} -m pip install ansible"
        )
    else:
        words = shlex.join(word for one in sources for word in ("-i", one))
        advice = hint("This says it at length.", f"ansible-inventory {words} --list")
    return SdopsError(
        "inventory-unreadable", f"Ansible cannot read the inventory {names}: {reason.rstrip('.')}.", advice
    )
