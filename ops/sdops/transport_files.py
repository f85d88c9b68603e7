"""Files over any session, whole or not at all: through ``cat``, since every host has a shell."""

import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from sdops.errors import SdopsError
from sdops.transport import Session

PIECE = 1 << 18

#: What was written is counted before it gets its name: a connection that ends only closes the input.
PUT = """
aside=$1.$$.part
trap 'rm -f -- "$aside"; exit 1' HUP INT TERM
if cat >"$aside" && [ "$(wc -c <"$aside")" -eq "$2" ] && mv -f -- "$aside" "$1"; then exit 0; fi
rm -f -- "$aside"
exit 1
"""

#: A line with a word of ours before the content: what the account's start files print comes before that.
GET = """
say() { printf '\\n%s %s\\n' "$2" "$1"; }
if ! [ -f "$1" ]; then say "no such file" "$2"; exit 1; fi
if ! [ -r "$1" ]; then say "permission denied" "$2"; exit 1; fi
say "$(wc -c <"$1")" "$2"
exec cat <"$1"
"""


def put(session: Session, name: str, source: Path, target: str, timeout: float) -> None:
    """Brings a file there. name: what a person calls the host. Raises SdopsError("transfer-failed")."""
    try:
        size = source.stat().st_size
        with source.open("rb") as file:
            pieces: Iterator[bytes] = iter(lambda: file.read(PIECE), b"")
            done = session.run(
                ["sh", "-c", PUT, "sh", _plain(target), str(size)], stdin=pieces, timeout=timeout
            )
    except OSError as error:
        raise SdopsError("transfer-failed", f"{source} cannot be read: {error.strerror}.") from None
    if done.status:
        raise _failed(f"{target} was not written on {name}", done.stderr)


def get(session: Session, name: str, source: str, target: Path, timeout: float) -> None:
    """Brings a file here. name: what a person calls the host. Raises SdopsError("transfer-failed")."""
    word = f"sdops-{secrets.token_hex(8)}"
    try:
        descriptor, aside = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise SdopsError("transfer-failed", f"{target} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            sink = _Sink(word, file.write)
            status = session.stream(["sh", "-c", GET, "sh", _plain(source), word], sink.take, timeout=timeout)
        if sink.reason:
            raise _failed(f"{source} cannot be read on {name}", sink.reason)
        if status or sink.got != sink.wanted:
            raise _failed(f"{source} did not arrive whole from {name}", b"")
        Path(aside).replace(target)
    except OSError as error:
        raise SdopsError("transfer-failed", f"{target} cannot be written: {error.strerror}.") from None
    finally:
        with suppress(FileNotFoundError):
            Path(aside).unlink()


class _Sink:
    """Passes on what comes after the head, which names the size, or the reason that there is none."""

    def __init__(self, word: str, write: Callable[[bytes], object]) -> None:
        self._head: re.Pattern[bytes] = re.compile(rb"\n%s *([^\n]*)\n" % word.encode())
        self._write = write
        self._early = b""
        self.wanted: int | None = None
        self.reason = b""
        self.got = 0

    def take(self, piece: bytes) -> None:
        if self.wanted is None:
            self._early += piece
            found = self._head.search(self._early)
            if not found:
                return
            if not found[1].isdigit():
                self.reason = found[1]
                return
            self.wanted = int(found[1])
            piece = self._early[found.end() :]
        self._write(piece)
        self.got += len(piece)


def _plain(path: str) -> str:
    """A path that no program takes for an option."""
    return f"./{path}" if path.startswith("-") else path


def _failed(what: str, said: bytes) -> SdopsError:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    reason = f": {lines[-1].rstrip('.')}" if lines else ""
    return SdopsError(
        "transfer-failed", f"{what}{reason}.", "See whether there is space, and whether it may be done."
    )
