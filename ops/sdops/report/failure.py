"""How an error is shown: one or two plain lines on stderr, or one JSON document on stdout."""

from collections.abc import Collection, Sequence
from typing import Any

from sdops.errors import SdopsError
from sdops.report.terminal import document, messages, plain


def render(error: SdopsError, as_json: bool) -> None:
    """Prints what is wrong and what to type."""
    if as_json:
        document({"ok": False, "error": as_data(error)})
        return
    console = messages()
    console.print("[bold red]Error:[/]", plain(error.message), soft_wrap=True)
    if error.hint:
        console.print(plain(error.hint), soft_wrap=True)


def as_data(error: SdopsError) -> dict[str, Any]:
    """The error as JSON has it."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def usage(error: Exception, words: Sequence[str], known: Collection[str]) -> SdopsError:
    """The parser's complaint in our form, with the help that lists what would be right. known: commands."""
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    commands = [word for word in words if not word.startswith("-")]
    command = f" {commands[0]}" if commands and commands[0] in known else ""
    return SdopsError("usage", " ".join(said.split()), f"See: sdops{command} --help")


def unprintable(error: OSError) -> SdopsError:
    """The error for a stdout that takes no more, a file on a full disk say."""
    return SdopsError(
        "output-unwritable",
        f"The result cannot be printed: {error.strerror}.",
        "Pictures that were made are kept.",
    )


def interrupted(as_json: bool) -> None:
    """Says that the person stopped it before anything was made."""
    render(SdopsError("interrupted", "Interrupted."), as_json)
