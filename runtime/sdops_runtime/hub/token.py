"""Finds the hub access token where the hub's own libraries look for it, and keeps it out of sight."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from sdops_runtime.errors import SdopsError

VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
PAGE = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Token:
    """An access token and where it was found. Neither repr nor str shows it."""

    value: str = field(repr=False)
    source: str


def find(given: Optional[str] = None) -> Optional[Token]:
    """The given token, else that of the environment, else that of the token file, else None.

    Surrounding blanks do no harm: files end in a line break. Raises
    SdopsError("token-refused") for what cannot be a token, without showing it.
    """
    if given is not None:
        return _checked(given, "the token given")
    for variable in VARIABLES:
        if os.environ.get(variable, "").strip():
            return _checked(os.environ[variable], variable)
    path = file()
    try:
        # Not read_text: the exception for bytes that are no UTF-8 carries them all.
        text = path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _refused(_tilde(path), f"cannot be read ({error.strerror})") from error
    return _checked(text, _tilde(path)) if text.strip() else None


def file() -> Path:
    """Where the token file is: HF_TOKEN_PATH, or ``token`` in the hub's home folder."""
    named = os.environ.get("HF_TOKEN_PATH")
    return Path(os.path.expandvars(named)).expanduser() if named else home() / "token"


def home() -> Path:
    """The hub's home folder: HF_HOME, else ``huggingface`` in XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("HF_HOME")
    if named:
        return Path(os.path.expandvars(named)).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"


def advice() -> str:
    """How to get a token to where it is looked for, or do without."""
    return (
        f'Create a token of role "read" at {PAGE} and put it in HF_TOKEN or in {_tilde(file())}; '
        "or use a local folder, or --model demo."
    )


def _checked(text: str, source: str) -> Token:
    value = text.strip()
    if not value:
        raise _refused(source, "is empty")
    if value[0] in "\"'" or value[-1] in "\"'":
        raise _refused(source, "has quotation marks around it")
    if re.search(r"[\r\n]", value):
        raise _refused(source, "has more than one line")
    if re.search(r"\s", value):
        raise _refused(source, "has a blank inside")
    if not re.fullmatch(r"[!-~]+", value):
        raise _refused(source, "holds characters that no token has")
    return Token(value, source)


def _refused(source: str, what: str) -> SdopsError:
    return SdopsError(
        "token-refused",
        f"The hub access token is unusable: {source} {what}.",
        f"A token is one word such as hf_AbCd. Copy it again from {PAGE}.",
    )


def _tilde(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
