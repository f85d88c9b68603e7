"""Release, kernel, libc, clock, memory, disk, what waits for a reboot, and the account. No I/O here."""

import re
import shlex
from dataclasses import dataclass

from sdops.facts.lines import UNSAID, Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Disk:
    """The file system that something lies on, or will.

    name: of that something: root, var, tmp, home, conda, models or jobs. path: the folder that was looked
    at, the nearest that is there. mount: where the file system begins. free_mib: what an ordinary account
    can still fill. inodes_free: None for file systems that have no number of them.
    """

    name: str
    path: str
    mount: str
    size_mib: int
    free_mib: int
    inodes_free: int | None = None
    read_only: bool = False


@dataclass(frozen=True)
class Account:
    """The account that owns everything of sdops. Its own fields are unknown where its home may not be seen.

    keys: how many lines of authorized_keys hold a key. loose: files of them, or folders above, that others
    may write or that are not the account's, so that sshd would not trust them.
    """

    uid: int
    home: str
    shell: str
    home_there: bool | Unknown = UNSAID
    linger: bool | Unknown = UNSAID
    keys: int | Unknown = UNSAID
    loose: tuple[str, ...] = ()


@dataclass(frozen=True)
class System:
    """The host itself.

    release: as in os-release, ``debian`` and ``12``. libc: as in ``glibc 2.36``, "" for others. clock_utc:
    seconds of the epoch by the host's clock, when it was asked (see Reach). ntp: synchronised, running or
    none. kernel_gone: whether the running kernel is no longer installed; None where no kernel is (the
    machine brings its own). login: who the examination ran as. python: the version of python3, "" for
    none. half_installed: packages whose installation was interrupted. account: None where there is none.
    env_there: whether the environment is. occupied_mib: what lies in the account's home, only counted
    where the environment is not there and the disk is short.
    """

    release_id: str | Unknown = UNSAID
    release_version: str | Unknown = UNSAID
    release_name: str | Unknown = UNSAID
    kernel: str | Unknown = UNSAID
    architecture: str | Unknown = UNSAID
    libc: str | Unknown = UNSAID
    clock_utc: float | Unknown = UNSAID
    ntp: str | Unknown = UNSAID
    uptime_s: float | Unknown = UNSAID
    reboot_required: bool | Unknown = UNSAID
    reboot_packages: tuple[str, ...] = ()
    kernel_gone: bool | None = None
    login: str | Unknown = UNSAID
    login_uid: int | Unknown = UNSAID
    python: str | Unknown = UNSAID
    tmux: bool | Unknown = UNSAID
    sftp: bool | Unknown = UNSAID
    half_installed: tuple[str, ...] | Unknown = UNSAID
    memory_total_mib: int | Unknown = UNSAID
    memory_available_mib: int | Unknown = UNSAID
    account: Account | Unknown | None = UNSAID
    env_there: bool | Unknown = UNSAID
    occupied_mib: int | None = None
    disks: tuple[Disk, ...] | Unknown = UNSAID

    @property
    def release(self) -> str:
        """The release's name for people, "" where it is not known."""
        return self.release_name if isinstance(self.release_name, str) else ""


def parse(output: Output, wanted: Wanted) -> System:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    occupied = lines.whole("occupied")
    return System(
        release_id=_unquoted(lines.text("os_id")),
        release_version=_unquoted(lines.text("os_version")),
        release_name=_unquoted(lines.text("os_name")),
        kernel=_said(lines.text("kernel")),
        architecture=_said(lines.text("architecture")),
        libc=lines.text("libc"),
        clock_utc=_clock(lines.text("clock")),
        ntp=_said(lines.text("ntp")),
        uptime_s=lines.number("uptime"),
        reboot_required=lines.flag("reboot_required"),
        reboot_packages=tuple(dict.fromkeys(lines.all("reboot_package"))),
        kernel_gone=_kernel_gone(lines),
        login=_said(lines.text("login")),
        login_uid=lines.whole("login_uid"),
        python=_python(lines),
        tmux=lines.flag("tmux"),
        sftp=lines.flag("sftp"),
        half_installed=lines.all("half_installed") if lines.flag("packages") else UNSAID,
        memory_total_mib=_mib(lines.whole("memory_total")),
        memory_available_mib=_mib(lines.whole("memory_available")),
        account=_account(lines),
        env_there=False if lines.text("uid") == "" else lines.flag("env"),
        occupied_mib=None if isinstance(occupied, Unknown) else occupied // 1024,
        disks=_disks(lines),
    )


def _said(value: str | Unknown) -> str | Unknown:
    """A text that is never empty."""
    return value or UNSAID


def _unquoted(value: str | Unknown) -> str | Unknown:
    """A value of os-release, which is quoted as in the shell."""
    if isinstance(value, Unknown):
        return value
    try:
        return " ".join(shlex.split(value)) or UNSAID
    except ValueError:
        return UNSAID


def _clock(value: str | Unknown) -> float | Unknown:
    # A small "date" has no fractions, and prints the letters that ask for them.
    match = re.match(r"\d{1,12}(\.\d+)?", value) if isinstance(value, str) else None
    return float(match[0]) if match else UNSAID


def _mib(kib: int | Unknown) -> int | Unknown:
    return kib if isinstance(kib, Unknown) else kib // 1024


def _python(lines: Lines) -> str | Unknown:
    if lines.text("python") == "":
        return ""
    said = lines.text("python_version")
    match = re.fullmatch(r"Python (\d+\.\d+\S*)", said) if isinstance(said, str) else None
    return match[1] if match else UNSAID


def _kernel_gone(lines: Lines) -> bool | None:
    installed, kernel, modules = (
        lines.all("kernel_installed"),
        lines.text("kernel"),
        lines.flag("kernel_modules"),
    )
    if not installed or not kernel or isinstance(modules, Unknown):
        return None
    return kernel not in installed and not modules


def _account(lines: Lines) -> Account | Unknown | None:
    if lines.text("uid") == "":
        return None
    uid, home, shell = lines.whole("uid"), lines.text("home"), lines.text("shell")
    if isinstance(uid, Unknown) or isinstance(home, Unknown) or isinstance(shell, Unknown):
        return UNSAID
    keys: int | Unknown = 0 if lines.text("keys") == "" else lines.whole("keys")
    loose = []
    for line in lines.all("guarded"):
        owner, mode, path = line.split(" ", 2)
        if int(owner) not in (uid, 0) or int(mode, 8) & 0o022:
            loose.append(path)
    return Account(uid, home, shell, lines.flag("home_there"), lines.flag("linger"), keys, tuple(loose))


def _disks(lines: Lines) -> tuple[Disk, ...] | Unknown:
    """One for each place: df tells them in the order in which it was asked."""
    places = [line.split(" ", 1) for line in lines.all("disk")]
    rows = [row for row in map(_row, lines.all("df")) if row]
    if not places or len(rows) != len(places):
        return UNSAID
    inodes = [row for row in map(_row, lines.all("df_inodes")) if row]
    fixed = {_unescaped(mount) for mount in lines.all("read_only")}
    found = []
    for number, ((name, path), (size, free, mount)) in enumerate(zip(places, rows, strict=True)):
        left = None
        if len(inodes) == len(rows) and inodes[number][0]:
            left = inodes[number][1]
        found.append(Disk(name, path, mount, size // 1024, free // 1024, left, mount in fixed))
    return tuple(found)


def _unescaped(mount: str) -> str:
    """A mount point as it is: in the kernel's table its blanks stand as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount)


def _row(line: str) -> tuple[int, int, str] | None:
    """Size, what is free, and the mount point, of a line of df; None for its heading and other lines."""
    match = re.search(r"\s(\d+)\s+\d+\s+(-?\d+)\s+(?:\d+%|-)\s+(/.*)", line)
    return (int(match[1]), max(int(match[2]), 0), match[3]) if match else None


PROBE = Probe("system", 20, parse)
