"""What a desk's messages are made of: lines of JSON, with the fields that readers count on. No I/O here.

Nothing of it is trusted, for the desk is on another machine.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from sdops.errors import SdopsError

#: What each kind has to have; see sdops_runtime.desk. What else it has is for those who look for it.
FIELDS: Mapping[str, Mapping[str, type]] = {
    "missing": {"sha256": list},
    "stored": {"sha256": str},
    "job": {"job": str},
    "names": {"jobs": list},
    "listed": {"left": int},
    "waiting": {"ahead": int},
    "event": {"event": str, "offset": int},
    "pruned": {"removed": list, "kept": list, "freed": int},
    "log": {"text": str},
    "status": {"waiting": int},
}

#: More digits than any size in bytes has, and any time. Python refuses to print thousands of them.
_DIGITS = 18


def read(line: bytes) -> dict[str, Any]:
    """The object that a line holds. Raises SdopsError("host-nonsense")."""
    try:
        found = json.loads(line, parse_int=_whole, parse_float=_real, parse_constant=_real)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise nonsense("a line that is no JSON object")
    return found


def check(kind: str, data: Mapping[str, Any]) -> None:
    """Raises SdopsError("host-nonsense") for a message without what its kind has to have."""
    for name, wanted in FIELDS.get(kind, {}).items():
        value = data.get(name)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise nonsense(f"a message {kind!r} whose {name} makes no sense")


def nonsense(what: str) -> SdopsError:
    """The error for what no runtime sends."""
    return SdopsError(
        "host-nonsense", f"The host sent {what}.", "Look whether that host is what it should be: sdops doctor"
    )


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > _DIGITS:
        raise ValueError("a number without end")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("no number")
    return value
