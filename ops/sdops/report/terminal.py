"""The two consoles: results go to stdout, everything else to stderr."""

import io
import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

#: Columns of a table for a file or a pipe: there a name that is cut in two is no name.
ENDLESS = 10_000


def results() -> Console:
    """The console for what a person asked for."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else ENDLESS)


def document(data: dict[str, Any]) -> None:
    """Prints the one JSON document of ``--json``, in letters that every encoding of stdout has."""
    print(json.dumps(data, ensure_ascii=True))  # noqa: T201


def forgive() -> None:
    """Lets letters that the terminal's encoding lacks be printed as question marks, not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def messages() -> Console:
    """The console for progress, notices and errors."""
    return Console(stderr=True, highlight=False)


def give_up_results() -> None:
    """Sends what is still to be printed nowhere; Python would complain of it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain(text: str) -> Text:
    """Text that came from elsewhere (files, models, hosts), safe to print.

    Neither rich markup nor terminal control characters in it take effect.
    """
    return Text(
        "".join(
            letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
            for letter in text
        )
    )
