"""This machine as a host: the same session, by processes and without SSH."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from sdops import transport_files
from sdops.errors import SdopsError
from sdops.transport import Completed

NAME = "this machine"

#: What a shell ends with for a command that is not there, and for one that cannot be started.
NOT_FOUND, NOT_STARTED = 127, 126


class LocalSession:
    """Commands of this machine, each in a process group of its own, which its time ends altogether."""

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout: float) -> Completed:
        """Runs a command to its end."""
        out, err = bytearray(), bytearray()
        status = self._talk(argv, out.extend, err.extend, stdin, timeout)
        return Completed(status, bytes(out), bytes(err))

    def stream(
        self,
        argv: Sequence[str],
        take: Callable[[bytes], None],
        *,
        stdin: bytes | Iterable[bytes] = b"",
        timeout: float,
    ) -> int:
        """Runs a command, hands on what it prints on stdout as it comes, and returns the exit status."""
        return self._talk(argv, take, lambda piece: None, stdin, timeout)

    def put(self, source: Path, target: str, *, timeout: float) -> None:
        """Copies a file; a relative target begins at the account's home."""
        transport_files.put(self, NAME, source.absolute(), target, timeout)

    def get(self, source: str, target: Path, *, timeout: float) -> None:
        """Copies a file; a relative source begins at the account's home."""
        transport_files.get(self, NAME, source, target.absolute(), timeout)

    def close(self) -> None:
        """Has nothing to end."""

    def _talk(
        self,
        argv: Sequence[str],
        take: Callable[[bytes], object],
        take_error: Callable[[bytes], object],
        stdin: bytes | Iterable[bytes],
        timeout: float,
    ) -> int:
        try:
            process = subprocess.Popen(
                [*argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=Path.home(),
                start_new_session=True,
            )
        except FileNotFoundError:
            take_error(f"{argv[0]}: not found\n".encode())
            return NOT_FOUND
        except OSError as error:
            take_error(f"{argv[0]}: {error.strerror}\n".encode())
            return NOT_STARTED
        end = time.monotonic() + timeout
        try:
            assert process.stdin and process.stdout and process.stderr
            feeder = threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True)
            feeder.start()
            with selectors.DefaultSelector() as pipes:
                pipes.register(process.stdout, selectors.EVENT_READ, take)
                pipes.register(process.stderr, selectors.EVENT_READ, take_error)
                while pipes.get_map():
                    ready = pipes.select(max(0.0, end - time.monotonic()))
                    for key, _ in ready:
                        piece = os.read(key.fd, 1 << 16)
                        if piece:
                            key.data(piece)
                        else:
                            pipes.unregister(key.fileobj)
                    if not ready and time.monotonic() >= end:
                        raise subprocess.TimeoutExpired([*argv], timeout)
            return process.wait(max(0.01, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise SdopsError(
                "host-slow",
                f"{argv[0]} did not end on {NAME} within {timeout:g} s.",
                "Try again when it is less busy.",
            ) from None
        finally:
            with suppress(ProcessLookupError):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()


def _feed(pipe: IO[bytes], stdin: bytes | Iterable[bytes]) -> None:
    """Writes all of it, beside the reading: a command may answer before it has read everything."""
    with suppress(OSError, ValueError), pipe:
        for piece in (stdin,) if isinstance(stdin, bytes) else stdin:
            pipe.write(piece)
            pipe.flush()
