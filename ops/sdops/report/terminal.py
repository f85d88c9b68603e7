"""The two consoles: results go to stdout, everything else to stderr."""

from rich.console import Console
from rich.text import Text


def results() -> Console:
    """The console for what a person asked for."""
    return Console(highlight=False)


def messages() -> Console:
    """The console for progress, notices and errors."""
    return Console(stderr=True, highlight=False)


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
