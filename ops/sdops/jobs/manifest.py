"""The manifest beside a folder's pictures: which jobs began there, and what came of each of their items.

``sdops.ndjson``: a JSON object a line, only ever added to. This is the form of the file, its reader and its
writer; what follows from it is decided elsewhere. No secret and no token stands in it.
"""

import errno
import fcntl
import os
import shlex
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdops_runtime.protocol import Settings

from sdops.errors import SdopsError
from sdops.jobs.entry import Begun, Item, from_json, to_json

NAME = "sdops.ndjson"
#: File systems that have no locks (some network and FUSE ones) answer with one of these.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class Manifest:
    """What a manifest tells, each in the order of the file."""

    jobs: tuple[Begun, ...] = ()
    items: tuple[Item, ...] = ()


def read(folder: Path) -> Manifest:
    """What the manifest of a folder tells; nothing where there is none.

    Lines that are damaged, cut off or of a newer sdops are passed over. Raises SdopsError.
    """
    path = folder / NAME
    try:
        with os.fdopen(_open(path, os.O_RDONLY), "rb") as stream:
            lines = stream.read().split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return Manifest()
    except OSError as error:
        raise _refused(error, path) from error
    entries = [from_json(line) for line in lines]
    return Manifest(
        tuple(one for one in entries if isinstance(one, Begun)),
        tuple(one for one in entries if isinstance(one, Item)),
    )


def append(folder: Path, *entries: Begun | Item) -> None:
    """Adds entries to the manifest of a folder; they are on the disk when this returns.

    Raises SdopsError: disk-full, manifest-unusable. Then it is as it was.
    """
    text = "".join(map(to_json, entries))
    path = folder / NAME
    try:
        descriptor = _open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            _lock(descriptor)
            _write(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(error, path) from error


def common(settings: Settings) -> Mapping[str, Any]:
    """The settings that all pictures of a job have in common, with the revision that is really wanted."""
    found = asdict(settings)
    del found["seed"], found["images"]
    return {**found, "revision": settings.wanted_revision}


def shorten(source: Path, folder: Path) -> str:
    """How a manifest names an input: from its own folder, so that both can be moved together.

    Absolute where the input does not lie below the manifest's folder or the one around that.
    """
    real = source.parent.resolve() / source.name
    home = folder.resolve()
    if real.is_relative_to(home):
        return str(real.relative_to(home))
    if real.is_relative_to(home.parent) and home.parent != home.parent.parent:
        return str(Path("..") / real.relative_to(home.parent))
    return str(real)


def now() -> str:
    """The time as lines have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _open(path: Path, flags: int) -> int:
    """Opens a regular file, and nothing that would block."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return descriptor


def _lock(descriptor: int) -> None:
    """Waits until nobody else writes. Closing lets go of it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _write(descriptor: int, data: bytes) -> None:
    """Writes all of it, on a line of its own behind what a crash may have left half, or nothing."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _refused(error: OSError, path: Path) -> SdopsError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SdopsError(
            "disk-full",
            f"The disk of {path.parent} is full: what was made could not be noted in {NAME}.",
            f"Free some space (df -h {shlex.quote(str(path.parent))}), or write elsewhere with --out.",
        )
    return SdopsError(
        "manifest-unusable",
        f"{path}, which tells what was made, cannot be used: {error.strerror}.",
        f"Look at ls -l {shlex.quote(str(path))}, or write elsewhere with --out.",
    )
