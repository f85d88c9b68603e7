"""What the CLI itself can find wrong, the exit codes, and one register of all codes. No I/O here."""

from enum import IntEnum

from sdops_runtime.errors import CODES as RUNTIME_CODES
from sdops_runtime.errors import Code, SdopsError

__all__ = ["ALL_CODES", "CODES", "Code", "Exit", "SdopsError", "exit_code"]


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNEXAMINED = 3
    INTERRUPTED = 130


#: Codes that only the CLI raises. A test holds this table and the code together.
CODES: dict[str, Code] = {
    "usage": Code("the command line cannot be understood", usage=True),
    "input-missing": Code("no input image was named", usage=True),
    "prompts-unreadable": Code("the file of prompts cannot be read or holds none", usage=True),
    "interrupted": Code("the person stopped it"),
    "check-unknown": Code("no check and no topic has that name", usage=True),
    "facts-unreadable": Code("the file of stored facts cannot be read", usage=True),
    "output-unreadable": Code("the pasted output of nvidia-smi cannot be read", usage=True),
    "host-unknown": Code("no such host is known", usage=True),
}

ALL_CODES: dict[str, Code] = {**RUNTIME_CODES, **CODES}


def exit_code(code: str) -> Exit:
    """The exit code for an error code: 2 for wrong input, 130 for a person's own stop, else 1."""
    if code == "interrupted":
        return Exit.INTERRUPTED
    return Exit.USAGE if ALL_CODES[code].usage else Exit.FAILED
