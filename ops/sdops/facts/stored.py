"""Facts from files: those that ``--facts`` printed, and pasted outputs of nvidia-smi."""

import json
import sys
from pathlib import Path

from sdops.errors import SdopsError
from sdops.facts import nvidia_smi
from sdops.facts.data import from_data
from sdops.facts.host import HostFacts
from sdops.facts.nvidia import Nvidia
from sdops.facts.reach import Reach
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

#: Number of the form of stored facts.
FORMAT = 1

#: The name that a pasted output goes by in results.
PASTED = "nvidia-smi"

#: In the place of an error of a connection, for a text that says nothing.
UNREADABLE = "output-unknown"

#: No output of nvidia-smi comes near this, in bytes.
LARGEST = 16_000_000


def read_facts(path: Path) -> tuple[HostFacts, ...]:
    """What ``sdops doctor --facts`` printed. Raises SdopsError: facts-unreadable, file-unreadable."""
    text = _read(path).decode("utf-8", "replace")
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


def read_output(path: Path) -> HostFacts:
    """The facts in an output of nvidia-smi. Raises SdopsError("file-unreadable").

    A text that is no output of nvidia-smi gives facts that say so.
    """
    text = nvidia_smi.decode(_read(path))
    report = nvidia_smi.read(text)
    if report.form is nvidia_smi.Form.NONE:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        reason = (
            f"it is no output of nvidia-smi that is known here: {first[:80]!r}" if first else "it is empty"
        )
        hint = "Give all of what nvidia-smi prints, with or without -q, -q -x, -L or --query-gpu=…."
        reach = Reach(UNREADABLE, f"{_name(path)} tells nothing of a GPU: {reason}.", hint)
        return HostFacts(PASTED, Wanted(), reach, nvidia=Unknown(reason))
    return HostFacts(PASTED, Wanted(), nvidia=Nvidia(tool=PASTED, report=report))


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(LARGEST)
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise SdopsError(
            "file-unreadable",
            f"{path} cannot be read: {error.strerror}.",
            "Name a file, or - for standard input.",
        ) from None


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)
