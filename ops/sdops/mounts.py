"""A host's folders among one's own, by sshfs: which are mounted, mounting and unmounting. Prints nothing."""

import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdops.errors import SdopsError
from sdops.transport import hint
from sdops.transport_settings import Way

#: What the system shows as the source of a mount of ours: this, and the host's name; which of them tells
#: whether the folder was made for it.
OURS, MADE = "sdops:", "sdops+:"

#: Seconds for sshfs to log in, and for the system to unmount.
PATIENCE = 60.0

_TABLE = Path("/proc/self/mountinfo")
_RELEASE = Path("/etc/os-release")
_FUSE = Path("/dev/fuse")

#: How sshfs is installed, by the ID or ID_LIKE of os-release(5).
_INSTALL = {
    "debian": "sudo apt install sshfs",
    "ubuntu": "sudo apt install sshfs",
    "fedora": "sudo dnf install fuse-sshfs",
    "rhel": "sudo dnf install epel-release && sudo dnf install fuse-sshfs",
    "arch": "sudo pacman -S sshfs",
    "suse": "sudo zypper install sshfs",
    "opensuse": "sudo zypper install sshfs",
    "alpine": "sudo apk add sshfs",
    "gentoo": "sudo emerge net-fs/sshfs",
    "nixos": "nix-shell -p sshfs",
    "void": "sudo xbps-install fuse-sshfs",
}


@dataclass(frozen=True)
class Mount:
    """A host's folder that is mounted. made: whether the folder was made for it."""

    host: str
    folder: Path
    made: bool = False


def mounts() -> list[Mount]:
    """What sdops has mounted here, the newest last."""
    found = []
    for source, folder in _table():
        for mark in (OURS, MADE):
            if source.startswith(mark):
                found.append(Mount(source.removeprefix(mark), folder, mark == MADE))
    return found


def check() -> None:
    """Raises SdopsError("sshfs-missing") where this system cannot mount."""
    if shutil.which("sshfs") is None:
        raise SdopsError(
            "sshfs-missing",
            "The program sshfs is not installed here.",
            hint("Install it:", line)
            if (line := install_line())
            else "Install it: in most systems its package is called sshfs.",
        )
    if platform.system() == "Linux" and not os.access(_FUSE, os.R_OK | os.W_OK):
        why = "may not be used by this account" if _FUSE.exists() else "is not there"
        raise SdopsError(
            "sshfs-missing",
            f"sshfs cannot mount anything here: {_FUSE} {why}.",
            "A container has to be given it: --device /dev/fuse. sdops fetch brings pictures without it.",
        )


def install_line() -> str:
    """What installs sshfs on this system; "" where that is not known."""
    if platform.system() == "Darwin":
        return "brew install --cask macfuse && brew install gromgit/fuse/sshfs-mac"
    try:
        text = _RELEASE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = " ".join(re.findall(r"""^ID(?:_LIKE)?=["']?([^"'\n]*)""", text, re.MULTILINE)).split()
    return next((_INSTALL[name] for name in names if name in _INSTALL), "")


def mount(way: Way, name: str, path: str, folder: Path) -> Mount:
    """Mounts a folder of a host. path: there, relative to the account's home; folder: here.

    Raises SdopsError: mount-taken, mount-failed.
    """
    folder = _absolute(folder)
    made = _claim(folder, name)
    source = f"{MADE if made else OURS}{name}"
    options = [
        f"ssh_command={_escaped(['ssh', '-o', 'BatchMode=yes', *way.words[:-1]])}",
        f"fsname={_escaped([source])}",
        *("reconnect", "ServerAliveInterval=15", "ServerAliveCountMax=3"),
        *("follow_symlinks", "idmap=user"),
    ]
    command = ["sshfs", f"{_bracketed(way.words[-1])}:{path}", str(folder), "-o", ",".join(options)]
    try:
        ran = _run(command)
    except BaseException:
        _give_up(folder, made)
        raise
    if ran.returncode:
        _give_up(folder, made)
        said = ran.stderr.strip().splitlines()
        missing = any("No such file or directory" in line for line in said)
        raise SdopsError(
            "mount-failed",
            f"{path or 'The home'} of {name} cannot be mounted: {said[-1] if said else ran.returncode}.",
            "Name a folder that is there, with --path."
            if missing
            else "sdops doctor says what is wrong there.",
        )
    return Mount(name, folder, made)


def find(word: str | None) -> Mount:
    """The mount of a host, or at a folder, or the only one. Raises SdopsError("mount-unknown")."""
    there = mounts()
    if word is not None:
        folder = _shown(_absolute(word))
        # The newest: it hides what was there before.
        for one in reversed(there):
            if one.host == word or one.folder == folder:
                return one
        raise SdopsError("mount-unknown", f"{word} is not mounted.", _listed(there))
    if len(there) != 1:
        what = "Nothing is mounted" if not there else f"{len(there)} are mounted"
        raise SdopsError("mount-unknown", f"{what}.", _listed(there))
    return there[0]


def unmount(one: Mount, lazy: bool = False) -> None:
    """Unmounts it, and removes the folder that was made for it. lazy: even while it is in use.

    Raises SdopsError: mount-busy, mount-failed.
    """
    program = next((name for name in ("fusermount3", "fusermount") if shutil.which(name)), None)
    command = [program, "-uz" if lazy else "-u"] if program else ["umount", *(["-f"] if lazy else [])]
    ran = _run([*command, str(one.folder)])
    if ran.returncode:
        said = ran.stderr.strip().splitlines()
        if "busy" in ran.stderr.lower():
            users = ", ".join(_users(one.folder)) or "somebody"
            raise SdopsError(
                "mount-busy",
                f"{one.folder} is in use by {users}.",
                hint("Leave it there, or:", shlex.join(["sdops", "unmount", str(one.folder), "--lazy"])),
            )
        raise SdopsError("mount-failed", f"{one.folder} cannot be unmounted: {said[-1] if said else '?'}.")
    if one.made:
        with suppress(OSError):  # somebody has put something in below the mount
            one.folder.rmdir()


def _claim(folder: Path, name: str) -> bool:
    """Sees to it that there is an empty folder; whether it was made."""
    if any(one.folder == _shown(folder) for one in mounts()):
        raise SdopsError(
            "mount-taken",
            f"{folder} is mounted already.",
            hint("To end that:", shlex.join(["sdops", "unmount", str(folder)])),
        )
    try:
        folder.mkdir()
    except FileExistsError:
        pass
    except OSError as error:
        raise SdopsError(
            "mount-taken", f"{folder} cannot be made: {error.strerror}.", "Name another folder."
        ) from error
    else:
        return True
    try:
        empty = not any(folder.iterdir())
    except OSError:
        empty = False
    if not empty:
        raise SdopsError(
            "mount-taken",
            f"{folder} is no empty folder.",
            hint(
                "Name one, or one that is to be made:",
                shlex.join(["sdops", "mount", name, f"{folder}-on-{name}"]),
            ),
        )
    return False


def _absolute(folder: Path | str) -> Path:
    """Without following links: a link that is named is meant."""
    return Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100


def _shown(folder: Path) -> Path:
    """A folder as the system's table has it: the links on the way to it followed.

    The folder itself is not touched: one whose host is away would keep us waiting.
    """
    return Path(os.path.realpath(folder.parent), folder.name)


def _give_up(folder: Path, made: bool) -> None:
    if made:
        with suppress(OSError):
            folder.rmdir()


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise SdopsError("mount-failed", f"{command[0]} did not end within {PATIENCE:g} s.") from None
    except FileNotFoundError:
        raise SdopsError("mount-failed", f"The program {command[0]} is not here.") from None


def _escaped(words: Sequence[str]) -> str:
    """Words as an option of sshfs, which cuts at commas, and its command at spaces."""
    return " ".join(re.sub(r"([\\, ])", r"\\\1", word).replace("\\,", "\\\\,") for word in words)


def _bracketed(target: str) -> str:
    """An address of IPv6 in brackets, as sshfs wants it: a path follows after a colon."""
    user, at, address = target.rpartition("@")
    return f"{user}{at}[{address}]" if ":" in address and not address.startswith("[") else target


def _table() -> Iterator[tuple[str, Path]]:
    """Source and folder of every mount."""
    try:
        text = _TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        text = ""
        with suppress(SdopsError):  # not Linux
            for found in re.finditer(r"^(.+?) on (.+?) \(", _run(["mount"]).stdout, re.MULTILINE):
                yield found[1], Path(found[2])
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        folder, kind = before.split()[4], after.split()
        if kind[0].startswith("fuse"):
            yield _unescaped(kind[1]), Path(_unescaped(folder))


def _unescaped(text: str) -> str:
    """What proc(5) writes with octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _users(folder: Path) -> list[str]:
    """Programs of this account that are in a folder, by name and number."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            places = [process / "cwd", *(process / "fd").iterdir()]
            if any(_within(place, folder) for place in places):
                name = (process / "comm").read_text().strip()
                found.append(f"{name} (process {process.name})")
    return found[:5]


def _within(place: Path, folder: Path) -> bool:
    try:
        return place.readlink().is_relative_to(folder)
    except OSError:
        return False


def _listed(there: Sequence[Mount]) -> str:
    if not there:
        return hint("To mount one:", "sdops mount HOST")
    return hint("Mounted are:", *(f"{one.host} at {one.folder}" for one in there))
