"""Single values as nvidia-smi prints them: a number only where all of it stands there. No I/O here."""

import re

from sdops.facts.nvidia_smi.record import SILENT
from sdops.facts.unknown import Unknown

#: A driver's or CUDA's version; the first may have two parts (Windows) or three.
_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}")
#: No number begins with 0: what does has lost its beginning.
_MIB = re.compile(r"(0|[1-9][0-9]{0,8}) ?MiB")
_BARE = re.compile(r"0|[1-9][0-9]{0,8}")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,14}")

#: What vGPU profiles end in, as in GRID A100D-10C, NVIDIA L4-12Q, GRID A100-2-10C, A100-1-5CME, GRID P40-2B4.
_PROFILE = re.compile(r"-[0-9]{1,3}([ACQ]|B4?)(ME)?$|\bGRID K[0-9]{3}Q$")

#: What tables put in the place of the rest of a long name.
_CUT = "..."


#: Words in the place of a value.
_EXCUSES = ("unknown error", "requested functionality", "deprecated", "insufficient permissions")


def silent(text: str | None) -> Unknown | None:
    """Why a text is no value; None if it is one."""
    if text is None:
        return SILENT
    plain = text.strip().strip("[]").strip()
    if plain.upper() in ("", "N/A", "NOT SUPPORTED", "NOT FOUND", "NOT AVAILABLE", "ERR!", "-"):
        return Unknown(f"it says {text.strip() or 'nothing'}")
    if plain != text.strip() or plain.lower().startswith(_EXCUSES) or plain.startswith("N/A ("):
        return Unknown(f"it says {text.strip()}")
    return None


def version(text: str | None) -> str | Unknown:
    """A version number; Unknown for words, and for what is no version."""
    if (reason := silent(text)) is not None:
        return reason
    assert text is not None
    plain = text.strip()
    return plain if _VERSION.fullmatch(plain) else Unknown(f"it says {plain[:80]}")


def mib(text: str | None, unit: str = "") -> int | Unknown:
    """An amount of memory in MiB. unit: the column's, where the cell may be a bare number."""
    if (reason := silent(text)) is not None:
        return reason
    assert text is not None
    plain = text.strip()
    if found := _MIB.fullmatch(plain):
        return int(found[1])
    if unit == "MiB" and _BARE.fullmatch(plain):
        return int(plain)
    return Unknown(f"it says {plain[:80]}")


def whole(text: str | None) -> int | Unknown:
    """A whole number."""
    if (reason := silent(text)) is not None:
        return reason
    assert text is not None
    plain = text.strip()
    return int(plain) if _WHOLE.fullmatch(plain) else Unknown(f"it says {plain[:80]}")


def switch(text: str | None) -> bool | Unknown:
    """Whether something is on."""
    if (reason := silent(text)) is not None:
        return reason
    assert text is not None
    word = text.strip().lower()
    if word in ("enabled", "on", "yes", "active"):
        return True
    return (
        False if word in ("disabled", "off", "no", "not active") else Unknown(f"it says {text.strip()[:80]}")
    )


def mode(text: str | None) -> bool | Unknown:
    """Whether a mode is on now. A star marks one that waits for a reset: the table has the mode to come then.

    With ``Enabled*`` the rest of the row (utilisation, ECC, running programs) is that of a GPU whose MIG mode
    is off, with ``Disabled*`` that of one whose mode is on.
    """
    if text is None or not text.strip().endswith("*"):
        return switch(text)
    to_come = switch(text.strip().removesuffix("*"))
    return to_come if isinstance(to_come, Unknown) else not to_come


def words(text: str | None) -> str | Unknown:
    """A name or the like."""
    reason = silent(text)
    return (text or "").strip() if reason is None else reason


def share(name: str | Unknown, virtualization: str | Unknown) -> bool | Unknown:
    """Whether it is a virtual machine's share of a GPU (vGPU), by the mode that is told, else by the name."""
    if isinstance(virtualization, str):
        mode = virtualization.strip().lower().replace("-", "").replace(" ", "")
        if mode == "vgpu":
            return True
        if mode in ("none", "passthrough", "hostvgpu", "hostvsga"):
            return False
    if isinstance(name, Unknown):
        return name
    if _PROFILE.search(name):
        return True
    return Unknown("the name is cut off") if name.endswith(_CUT) else False
