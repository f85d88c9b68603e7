"""The hub libraries' own cache folder: where a model's files lie, and whether they are all there.

Layout, the same for every program that uses the hub: ``blobs`` holds contents
under their digests, ``snapshots/COMMIT`` links to them under their names,
``refs/BRANCH`` names a commit. Ours is only the record of each commit's sizes
in ``.sdops``, by which an interrupted download is known from a complete one.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import token as hub_token
from sdops_runtime.hub.layout import File

_COMMIT = re.compile(r"[0-9a-f]{40}")
#: A content's name: SHA-1 as git computes it, or for large files SHA-256.
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_commit(revision: str) -> bool:
    """True for a full commit id, whose files never change."""
    return bool(_COMMIT.fullmatch(revision))


def is_safe(file: File) -> bool:
    """True if a listed file can only land inside the model's own folder, under a digest's name."""
    words = file.path.split("/")
    plain = all(word not in ("", ".", "..") for word in words) and file.path.isprintable()
    return plain and "\\" not in file.path and file.size >= 0 and bool(_BLOB.fullmatch(file.blob))


def root() -> Path:
    """The cache's folder, from the environment as the libraries read it."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.path.expandvars(os.environ[variable])).expanduser()
    return hub_token.home() / "hub"


class Cache:
    """One model's part of the cache."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self._folder_name = "models--" + name.replace("/", "--")
        self.folder = root / self._folder_name

    def commit(self, revision: str) -> Optional[str]:
        """The commit that a branch or tag named when it was last downloaded completely."""
        if is_commit(revision):
            return revision
        try:
            text = (self.folder / "refs" / revision).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return text if is_commit(text) else None

    def remember(self, revision: str, commit: str) -> None:
        """Notes what a branch or tag names now. Goes without where the cache may only be read."""
        if revision != commit and self.commit(revision) != commit:
            with contextlib.suppress(OSError):
                # No line break at the end: the libraries take the file's whole content.
                _write(self.folder / "refs" / revision, commit)

    def listing(self, commit: str) -> Optional[tuple[File, ...]]:
        """All files of a commit as the hub listed them, None if that was never recorded here."""
        try:
            data = json.loads((self.folder / ".sdops" / f"{commit}.json").read_text(encoding="utf-8"))
            files = tuple(File(str(path), int(size), str(blob)) for path, size, blob in data["files"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return files if all(is_safe(file) for file in files) else None

    def record(self, commit: str, files: Iterable[File]) -> None:
        """Keeps a commit's listing."""
        rows = [[file.path, file.size, file.blob] for file in files]
        with writing(self.root):
            _write(self.folder / ".sdops" / f"{commit}.json", json.dumps({"files": rows}))

    def snapshot(self, commit: str) -> Path:
        """The folder of a commit's files, there or not."""
        return self.folder / "snapshots" / commit

    def has(self, commit: str, file: File) -> bool:
        """True if the file is there in its full size."""
        return size(self.snapshot(commit) / file.path) == file.size

    def partial(self, file: File) -> Path:
        """Where a file grows while it is downloaded. Not the libraries' name: they may run beside us."""
        return self.folder / "blobs" / f"{file.blob}.sdops.incomplete"

    def missing_bytes(self, commit: str, files: Iterable[File]) -> int:
        """How much is still to be downloaded, in bytes."""
        lacking = {file.blob: file for file in files if not self._is_stored(commit, file)}
        return sum(max(file.size - max(size(self.partial(file)), 0), 0) for file in lacking.values())

    def adopt(self, commit: str, file: File) -> bool:
        """Links a content that is already in the cache, of another commit perhaps; False if there is none."""
        blob = self.folder / "blobs" / file.blob
        if size(blob) != file.size:
            return False
        self._link(commit, file, blob)
        return True

    def store(self, commit: str, file: File) -> None:
        """Makes a completely downloaded ``partial(file)`` part of the snapshot."""
        blob = self.folder / "blobs" / file.blob
        with writing(self.root):
            self.partial(file).replace(blob)
            self._link(commit, file, blob)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one process at a time download this model; others wait, and then find it there."""
        path = self.root / ".locks" / self._folder_name / "sdops.lock"
        with writing(self.root):
            (self.folder / "blobs").mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        with file:
            # Some network file systems have no locks. Two downloads at once then cost traffic, and
            # since contents are checked against their digests, nothing else.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _is_stored(self, commit: str, file: File) -> bool:
        return self.has(commit, file) or size(self.folder / "blobs" / file.blob) == file.size

    def _link(self, commit: str, file: File, blob: Path) -> None:
        pointer = self.snapshot(commit) / file.path
        aside = pointer.with_name(f"{pointer.name}.{os.getpid()}.link")
        with writing(self.root):
            pointer.parent.mkdir(parents=True, exist_ok=True)
            aside.unlink(missing_ok=True)
            try:
                aside.symlink_to(os.path.relpath(blob, pointer.parent))
            except OSError:
                # File systems without links: the file itself, as the libraries do it.
                blob.replace(aside)
            aside.replace(pointer)


def free_bytes(folder: Path) -> int:
    """Free space, in bytes, where ``folder`` is or would be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turns what the file system refuses into SdopsError: disk-full or cache-unwritable."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SdopsError(
                "disk-full",
                f"The disk ran full while the model was downloaded to {root}.",
                "What has arrived is kept. Free some space, or name a folder on a larger disk in HF_HOME.",
            ) from error
        raise SdopsError(
            "cache-unwritable",
            f"The model cannot be stored in {root}: {error.strerror or error}.",
            "Make that folder writable for you, or name another in HF_HOME.",
        ) from error


def matches(path: Path, file: File) -> bool:
    """True if the content at ``path`` has the digest that names it. Reads all of it: about 1 s per GB."""
    if len(file.blob) == 64:
        digest = hashlib.sha256()
    else:
        # Small files bear git's own name: a SHA-1 of a header and the content. Not used for security.
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as content:
        for block in iter(lambda: content.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest() == file.blob


def size(path: Path) -> int:
    """A file's size in bytes, -1 if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _write(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
