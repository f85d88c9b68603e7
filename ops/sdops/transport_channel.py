"""A session over an open SSH connection: every command has a channel of its own.

Not by ``Connection.run`` of Fabric, which decodes what binary commands print and hands stdin on letter by
letter. Imports no SSH library: it is handed a transport of one.
"""

import selectors
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sdops import transport_files
from sdops.errors import SdopsError
from sdops.transport import Completed, command_line
from sdops.transport_socket import Deadline, said


class ChannelSession:
    """A session, see ``transport.Session``.

    name: what a person calls the host. transport: of the SSH library; failure: what it raises. end:
    closes all.
    """

    def __init__(
        self, name: str, transport: Any, failure: type[Exception], end: Callable[[], object]
    ) -> None:
        self._name, self._transport, self._failure, self._end = name, transport, failure, end

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
        """Brings a file there."""
        transport_files.put(self, self._name, source, target, timeout)

    def get(self, source: str, target: Path, *, timeout: float) -> None:
        """Brings a file here."""
        transport_files.get(self, self._name, source, target, timeout)

    def close(self) -> None:
        """Ends the connection, and those that it goes through."""
        self._end()

    def _talk(
        self,
        argv: Sequence[str],
        take: Callable[[bytes], object],
        take_error: Callable[[bytes], object],
        stdin: bytes | Iterable[bytes],
        timeout: float,
    ) -> int:
        deadline = Deadline(timeout)
        try:
            channel = self._transport.open_session(timeout=deadline.left)
            try:
                # Paramiko waits for ever for the answer to this one.
                with _limit(deadline, channel.close):
                    channel.exec_command(command_line(argv).encode("utf-8", "surrogateescape"))
                channel.settimeout(deadline.left)
                threading.Thread(target=_feed, args=(channel, stdin), daemon=True).start()
                self._listen(channel, take, take_error, deadline)
                if channel.status_event.wait(deadline.left) and not deadline.over:
                    status = int(channel.recv_exit_status())
                    if status >= 0 or self._transport.is_active():
                        return status
            finally:
                channel.close()
        except (self._failure, OSError, EOFError) as error:
            if self._transport.is_active() and not deadline.over:
                raise SdopsError(
                    "connection-lost", f"{self._name} started no command: {said(error)}."
                ) from None
        if deadline.over and self._transport.is_active():
            raise SdopsError(
                "host-slow",
                f"{argv[0]} did not end on {self._name} within {timeout:g} s.",
                "Try again when the host is less busy, or the network is.",
            )
        raise SdopsError(
            "connection-lost",
            f"The connection to {self._name} broke off.",
            "Try again; if it happens again, see whether the host still runs.",
        )

    def _listen(
        self,
        channel: Any,
        take: Callable[[bytes], object],
        take_error: Callable[[bytes], object],
        deadline: Deadline,
    ) -> None:
        """Hands on what comes until both streams have ended, the connection has, or the time is over."""
        with selectors.DefaultSelector() as news:
            news.register(channel.fileno(), selectors.EVENT_READ)
            while not deadline.over:
                news.select(deadline.left)
                ended = channel.eof_received or channel.closed
                while channel.recv_ready():
                    take(channel.recv(1 << 16))
                while channel.recv_stderr_ready():
                    take_error(channel.recv_stderr(1 << 16))
                if ended:
                    return


def _feed(channel: Any, stdin: bytes | Iterable[bytes]) -> None:
    """Sends all of it, beside the reading: a command may answer before it has read everything."""
    # Whatever ends the sending, a closed channel or file, shows on the other side as a short input.
    with suppress(OSError, ValueError, EOFError):
        for piece in (stdin,) if isinstance(stdin, bytes) else stdin:
            channel.sendall(piece)
        channel.shutdown_write()


@contextmanager
def _limit(deadline: Deadline, end: Callable[[], object]) -> Iterator[None]:
    timer = threading.Timer(deadline.left, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
