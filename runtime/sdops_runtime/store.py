"""Fitted inputs on a host, each once, by the hash of its bytes. Standard library only, Python 3.9."""

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sdops_runtime.errors import SdopsError

_PIECE = 1 << 18
_NAME = re.compile(r"[0-9a-f]{64}")


class Stream(Protocol):
    """What can be read from."""

    def read(self, size: int) -> bytes:
        """Up to so many bytes; b"" at the end."""


class Store:
    """The files in a folder, which is made when it is needed. Jobs have links to them of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Where a file is or would be. Raises SdopsError("request-invalid") for what is no hash."""
        if not _NAME.fullmatch(sha256):
            raise SdopsError("request-invalid", "What should name an input is no SHA-256.")
        return self._folder / sha256

    def has(self, sha256: str) -> bool:
        """Whether a file is there. It counts as used from now on."""
        try:
            os.utime(self.path(sha256))
        except FileNotFoundError:
            return False
        return True

    def take(self, sha256: str, size: int, stream: Stream) -> None:
        """Reads so many bytes and keeps them, whole or not at all.

        Raises SdopsError("input-damaged") for other bytes than those of the hash, EOFError for fewer.
        """
        target = self.path(sha256)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = self._folder / f".{secrets.token_hex(8)}.part"
        digest = hashlib.sha256()
        try:
            with aside.open("wb") as file:
                left = size
                while left:
                    piece = stream.read(min(left, _PIECE))
                    if not piece:
                        raise EOFError("the connection ended within a file")
                    digest.update(piece)
                    file.write(piece)
                    left -= len(piece)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != sha256:
                raise SdopsError("input-damaged", "An input did not arrive as it was sent.", "Run it again.")
            aside.replace(target)
        finally:
            with suppress(FileNotFoundError):
                aside.unlink()

    def prune(self, days: float) -> int:
        """Removes what no job has and nobody used for so many days; returns the bytes."""
        freed = 0
        limit = time.time() - days * 86400
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if found.st_nlink == 1 and found.st_mtime <= limit:
                        path.unlink()
                        freed += found.st_size
        return freed
