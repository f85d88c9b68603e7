"""Facts from files: those that ``--facts`` printed, and pasted outputs of nvidia-smi."""

import json
import sys
from pathlib import Path

from sdops.errors import SdopsError
from sdops.facts.data import from_data
from sdops.facts.host import HostFacts

#: Number of the form of stored facts.
FORMAT = 1

#: The name that a pasted output goes by in results.
PASTED = "nvidia-smi"

#: No output of nvidia-smi comes near this, in bytes.
LARGEST = 16_000_000


def read_facts(path: Path) -> tuple[HostFacts, ...]:
    """The facts that ``sdops doctor --facts`` printed. Raises SdopsError("facts-unreadable")."""
    text = _read(path, "facts-unreadable").decode("utf-8", "replace")
    hint = "Make such a file with: sdops doctor --facts > FILE"
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or "hosts" not in data:
            raise ValueError("it holds no hosts")
        if data.get("format") != FORMAT:
            raise ValueError(f"its format is {data.get('format')!r}, and this sdops reads {FORMAT}")
        return tuple(from_data(HostFacts, one) for one in data["hosts"])
    except (ValueError, TypeError) as error:
        raise SdopsError("facts-unreadable", f"{_name(path)} holds no facts: {error}.", hint) from None


def _read(path: Path, code: str) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(LARGEST)
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise SdopsError(
            code, f"{path} cannot be read: {error.strerror}.", "Name a file, or - for standard input."
        ) from None


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)
