"""A connection to a host, whatever carries it. No third-party import here, and no I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """How a command ended: its exit status, and all that it printed."""

    status: int
    stdout: bytes
    stderr: bytes = b""


class Session(Protocol):
    """An open connection. Every call is bounded in time.

    Raises SdopsError: ``host-unreachable`` (no answer, refused, cut), ``host-key-unknown``,
    ``host-key-changed``, ``login-refused``, ``host-slow`` (the time was over).
    A command's own exit status is never an error here.
    """

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        """Runs a command to its end."""

    def stream(
        self, argv: Sequence[str], take: Callable[[bytes], None], *, stdin: bytes = b"", timeout: float
    ) -> int:
        """Runs a command, hands on what it prints on stdout as it comes, and returns the exit status."""

    def put(self, source: Path, target: str, *, timeout: float) -> None:
        """Brings a file there. It appears under its name only when it is complete."""

    def get(self, source: str, target: Path, *, timeout: float) -> None:
        """Brings a file here. It appears under its name only when it is complete."""

    def close(self) -> None:
        """Ends it; never raises."""
