"""The root file system that fresh hosts share: built once per Debian release, cached, checked.

A base is as little as may be called a VM: Debian's minimal set with systemd, sshd,
sudo and python3. What a role needs beyond that it has to bring. The cache lies outside
the clone; nothing in it changes once it is there (hosts write into layers of their own).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from . import registries
from .command import Completed, run
from .machine import UnavailableError

RELEASES = {"bullseye": "11", "bookworm": "12", "trixie": "13"}

INCLUDE = (
    "systemd-sysv,libpam-systemd,dbus,dbus-user-session,openssh-server,sudo,python3,"
    "ca-certificates,iproute2,procps"
)

#: Timers that would work on their own accord in the middle of a test, and a login on a console nobody has.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "dpkg-db-backup.timer",
    "man-db.timer",
    "console-getty.service",
)

SSHD = "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\n"

#: The folder that holds the bases. Looked up at the import, because sdops' tests set the variable to a
#: place of their own for what is tested, and a base is worth more than one session.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdops-test-hosts"

#: 22 to 90 s were seen; the machine may be busy with other things.
BUILD_TIMEOUT = 600
#: Bases that no run has used for so long (another recipe, another mirror) are removed by the next build.
UNUSED_DAYS = 30


@functools.cache
def ready(release: str) -> Path:
    """The root of a base that is complete and as it was when it was made; builds it if need be.

    Raises UnavailableError when it would have to be built and cannot.
    """
    if release not in RELEASES:
        raise ValueError(f"no such release: {release} (known: {', '.join(RELEASES)})")
    entry = CACHE / f"{release}-{_key(release)}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / f"{release}.lock"):
        if not _intact(entry):
            shutil.rmtree(entry, ignore_errors=True)
            _build(release, entry)
            _prune(release, entry)
    os.utime(entry)
    return entry / "root"


def _key(release: str) -> str:
    """A hash of all that a base is made from, this file's text included."""
    recipe = hashlib.sha256(f"{release} {registries.mirrors()}".encode())
    for part in (Path(__file__), *registries.local_cas()):
        recipe.update(part.read_bytes())
    return recipe.hexdigest()[:12]


def _build(release: str, entry: Path) -> None:
    """Makes the base beside its place, then renames it there: a cached base is never half a one.

    dpkg syncs every file it writes; on a tmpfs that costs nothing. The tmpfs is
    mounted in namespaces of the build's own, so a killed build leaves no mount and no process.
    """
    archive = registries.mirrors()
    if not archive:
        raise UnavailableError("apt knows no Debian mirror here: run tests/hosts/prepare.sh")
    sources = registries.sources(release, archive)
    for leftover in CACHE.glob(f".build-{release}-*"):  # of a killed build: we hold its lock
        shutil.rmtree(leftover)
    work = CACHE / f".build-{release}-{os.getpid()}"
    (work / "ram").mkdir(parents=True)
    began = time.monotonic()
    try:
        log = _bootstrap(release, work, sources)
        (work / "build.log").write_text(log.stdout + log.stderr)
        _settle(work / "root", sources)
        (work / "ram").rmdir()
        seconds = round(time.monotonic() - began, 1)
        made = {"release": release, "seconds": seconds, "digest": _digest(work / "root")}
        (work / "base.json").write_text(json.dumps(made))
        work.rename(entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _bootstrap(release: str, work: Path, sources: tuple[str, ...]) -> Completed:
    script = (
        'set -e; mount -t tmpfs -o size=3G tmpfs "$1/ram"; '
        'mmdebstrap --variant=minbase --include="$2" "$3" "$1/ram/root" -; '
        'mkdir "$1/root"; cp -a "$1/ram/root/." "$1/root/"'
    )
    # The first word ends the build with the run that wanted it, even a killed one.
    own = [
        "setpriv",
        "--pdeathsig=KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    return run(
        [*own, "sh", "-c", script, "build", work, INCLUDE, release],
        stdin="\n".join(sources) + "\n",
        timeout=BUILD_TIMEOUT,
    )


def _settle(root: Path, sources: tuple[str, ...]) -> None:
    """Makes the tree what a cloud's image is: no identity of its own, sshd for keys only."""
    (root / "etc/apt/sources.list").write_text("\n".join(sources) + "\n")
    for key in (root / "etc/ssh").glob("ssh_host_*"):  # every host gets keys of its own
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/ssh/sshd_config.d/10-test-host.conf").write_text(SSHD)
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    if registries.local_cas():
        for certificate in registries.local_cas():
            shutil.copy(certificate, root / "usr/local/share/ca-certificates" / certificate.name)
        run(["chroot", root, "update-ca-certificates"])


def _digest(root: Path) -> str:
    """A hash over every entry's path, mode, owner, size and time: some 12,000 lstat calls, 0.2 s."""
    lines = []
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = f"{folder}/{name}"
            s = os.lstat(path)
            # A folder's size and time depend on the file system and on the order of its making.
            weight = (0, 0) if stat.S_ISDIR(s.st_mode) else (s.st_size, s.st_mtime_ns)
            lines.append(f"{path[len(str(root)) :]} {s.st_mode:o} {s.st_uid}:{s.st_gid} {weight}")
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


def _intact(entry: Path) -> bool:
    try:
        made = json.loads((entry / "base.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(made.get("digest") == _digest(entry / "root"))


def _prune(release: str, entry: Path) -> None:
    for other in CACHE.glob(f"{release}-*"):
        if other != entry and other.stat().st_mtime < time.time() - UNUSED_DAYS * 86400:
            shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a file's lock; waits for another run that is building, but not for ever."""
    with path.open("w") as held:
        end = time.monotonic() + BUILD_TIMEOUT + 60
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"{path} is held by another run") from None
                time.sleep(0.2)
        yield
