"""What nvidia-smi complains of, by its words and its exit status. No I/O here."""

import re
from collections.abc import Iterator

from sdops.facts.nvidia_smi.record import Complaint, Trouble

#: Words and what they mean; the first that fits a line counts.
PATTERNS: tuple[tuple[Trouble, str], ...] = (
    (Trouble.MISMATCH, r"driver/library version mismatch|NVML/RM version mismatch|API mismatch"),
    (Trouble.NO_DRIVER, r"couldn't communicate with the NVIDIA driver|initialize NVML: Driver Not Loaded"),
    (
        Trouble.NO_LIBRARY,
        r"couldn't find (the )?(libnvidia-ml|nvml)|NVML Shared Library|libnvidia-ml\.so.* cannot open",
    ),
    (
        Trouble.NO_PERMISSION,
        r"initialize NVML: Insufficient Permissions|do not have (suitable|sufficient) permissions",
    ),
    (Trouble.BLOCKED, r"GPU access blocked by the operating system"),
    (Trouble.LOST, r"GPU is lost|GPU has fallen off the bus"),
    (Trouble.RESET, r"GPU requires reset"),
    (Trouble.POWER, r"external power cables are not properly"),
    (Trouble.INTERRUPT, r"detected an interrupt issue"),
    (Trouble.NO_HANDLE, r"unable to determine the device handle"),
    (Trouble.NO_DEVICES, r"^No devices (were )?found"),
    (Trouble.BAD_FIELD, r"is not a valid field to query"),
    (Trouble.BAD_OPTION, r"^(Invalid combination of input arguments|Option .* is not recognized)"),
    (Trouble.INFOROM, r"infoROM is corrupted"),
    (
        Trouble.NO_COMMAND,
        r"(nvidia-smi|NVIDIA-SMI).*(command not found|: not found|No such file|is not recognized)"
        r"|(command not found|unknown command|not found).*nvidia-smi",
    ),
    (Trouble.CRASHED, r"^(Segmentation fault|Illegal instruction|Bus error|Killed|Aborted)"),
    (Trouble.UNKNOWN, r"initialize NVML: |^Unknown Error"),
)

#: Exit statuses by themselves (nvidia-smi's manual, "Return value"; 15 and 18 as in NVML's list of errors).
STATUSES = {
    3: Trouble.UNKNOWN,
    4: Trouble.NO_PERMISSION,
    6: Trouble.NO_DEVICES,
    8: Trouble.POWER,
    9: Trouble.NO_DRIVER,
    10: Trouble.INTERRUPT,
    12: Trouble.NO_LIBRARY,
    13: Trouble.MISMATCH,
    14: Trouble.INFOROM,
    15: Trouble.LOST,
    18: Trouble.MISMATCH,
    127: Trouble.NO_COMMAND,
}

_COMPILED = tuple((kind, re.compile(words, re.IGNORECASE)) for kind, words in PATTERNS)
_LIBRARY = re.compile(r"NVML library version: \d+(\.\d+)*")


def complaints(text: str, status: int = 0) -> tuple[Complaint, ...]:
    """Every complaint, each kind once, in the order of the text.

    Where no words are known but the exit status is, that alone tells.
    """
    found: dict[Trouble, Complaint] = {}
    for kind, line in _lines(text):
        found.setdefault(kind, Complaint(kind, line))
    if (library := _LIBRARY.search(text)) and Trouble.MISMATCH in found:
        words = f"{found[Trouble.MISMATCH].text}; {library[0]}"
        found[Trouble.MISMATCH] = Complaint(Trouble.MISMATCH, words)
    if not found and status:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        said = first[:200] or f"nothing is said; exit status {status}"
        found[Trouble.UNKNOWN] = Complaint(STATUSES.get(status, Trouble.UNKNOWN), said)
    return tuple(found.values())


def _lines(text: str) -> Iterator[tuple[Trouble, str]]:
    for line in text.splitlines():
        plain = line.strip().strip("|").strip()
        for kind, words in _COMPILED:
            if words.search(plain):
                yield kind, plain[:300]
                break
