"""A connection to a host, whatever carries it. No third-party import here; I/O is the carriers'."""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sdops.inventory import Host

#: Seconds for a connection to stand, from the name's look-up to the login.
CONNECT_TIMEOUT = 15.0

#: What stands for itself between single quotes in every shell: not what fish and csh read otherwise there.
_QUOTABLE = re.compile(r"[ -~]*")
_OTHERWISE = frozenset("'\\!")
#: A word of these needs no quotes.
_BARE = re.compile(r"[A-Za-z0-9_./:,+-]+")
_INDENT = "    "


@dataclass(frozen=True)
class Completed:
    """How a command ended: its exit status (negative: a signal ended it), and all that it printed.

    What the account's own start files print comes first in stdout, as with every ssh.
    """

    status: int
    stdout: bytes
    stderr: bytes = b""


class Session(Protocol):
    """An open connection. Every call is bounded in time; a relative path begins at the account's home.

    Raises SdopsError: ``connection-lost`` (it broke off), ``host-slow`` (the time was over),
    ``transfer-failed`` (a file cannot be read or written). A command's own exit status is never an
    error here: one that is not there has 127, as in a shell.
    A command whose time is over goes on at the far end of an SSH connection, which cannot end it.
    """

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout: float) -> Completed:
        """Runs a command to its end."""

    def stream(
        self,
        argv: Sequence[str],
        take: Callable[[bytes], None],
        *,
        stdin: bytes | Iterable[bytes] = b"",
        timeout: float,
    ) -> int:
        """Runs a command, hands on what it prints on stdout as it comes, and returns the exit status."""

    def put(self, source: Path, target: str, *, timeout: float) -> None:
        """Brings a file there. It appears under its name only when it is complete."""

    def get(self, source: str, target: Path, *, timeout: float) -> None:
        """Brings a file here. It appears under its name only when it is complete."""

    def close(self) -> None:
        """Ends it; never raises."""


def open_session(host: "Host", timeout: float = CONNECT_TIMEOUT) -> Session:
    """A session with a host of the inventory, or with this machine.

    Raises SdopsError. Its code says the cause: ``host-name-unknown``, ``host-unreachable`` (silent, or no way
    there), ``ssh-refused`` (nothing listens), ``ssh-closed`` (no SSH, or it ends at once), ``host-slow``,
    ``host-key-unknown``, ``host-key-changed``, ``ssh-key-missing``, ``ssh-key-locked``, ``login-refused``,
    ``ssh-settings`` (ssh's own settings cannot be read), ``connection-unsupported``.
    """
    if host.local:
        from sdops.transport_local import LocalSession

        return LocalSession()
    from sdops import transport_fabric

    return transport_fabric.open_session(host, timeout)


def command_line(argv: Sequence[str]) -> str:
    """A command as one line that the account's login shell, whichever it is, hands on as these very words.

    Single quotes do for every shell, unless a word holds one of the few letters that fish and csh read
    otherwise between them; then the words go through printf, those letters as octal numbers.
    """
    if not any(map(_is_odd, "".join(argv))):
        return " ".join(word if _BARE.fullmatch(word) else f"'{word}'" for word in argv)
    coded = "".join(
        "".join(f"\\0{byte:03o}" for byte in letter.encode("utf-8", "surrogateescape"))
        if _is_odd(letter)
        else letter
        for letter in shlex.join(argv)
    )
    return f"""sh -c 'eval "exec $(printf %b "$0")"' '{coded}'"""


def _is_odd(letter: str) -> bool:
    return letter in _OTHERWISE or not _QUOTABLE.fullmatch(letter)


def hint(sentence: str, *commands: str) -> str:
    """A hint with commands, each on a line of its own."""
    return "\n".join([sentence, *(_INDENT + command for command in commands)])


def split_hint(text: str) -> tuple[str, tuple[str, ...]]:
    """The sentences and the commands of a hint."""
    lines = text.splitlines()
    commands = tuple(line.strip() for line in lines if line.startswith(_INDENT))
    return " ".join(line.strip() for line in lines if not line.startswith(_INDENT)), commands
