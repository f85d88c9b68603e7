"""What a host says of its GPU's memory before a job is sent: what the worker found, else nvidia-smi.

Standard library only, for the desk starts without the libraries that make pictures. Python 3.9.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from sdops_runtime import memory

#: In the queue's folder, written by the worker whenever it has loaded a model.
NAME = "gpu.json"
#: Seconds for nvidia-smi, which takes long where the driver lets go of the GPU.
PATIENCE = 3.0

#: Changes when the machine starts: only then may it have come to another GPU.
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ASK = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]


def write(root: Path, engine: Any, model: str) -> None:
    """Writes down what a loaded engine's device has. Never raises OSError: it is for convenience alone."""
    from sdops_runtime import device

    found = {
        "boot": _boot(),
        "model": model,
        "name": engine.device.name,
        "total": device.total_bytes(engine.device),
        "room": device.room_bytes(engine.device),
    }
    _keep(root, found)


def forget(root: Path) -> None:
    """Writes down that no model is in memory any more."""
    found = _found(root)
    if found:
        _keep(root, {**found, "model": None})


def model(root: Path) -> Optional[str]:
    """The model in the worker's memory; None without."""
    found = _found(root).get("model")
    return found if isinstance(found, str) else None


def _keep(root: Path, found: Mapping[str, Any]) -> None:
    aside = root / f"{NAME}.{os.getpid()}"
    try:
        aside.write_text(json.dumps(found), encoding="utf-8")
        aside.replace(root / NAME)
    except OSError:
        aside.unlink(missing_ok=True)


def read(root: Path) -> Optional[Mapping[str, Any]]:
    """name, total and room (for a model and its pictures), in bytes; None where nothing is known.

    total and room are None for a CPU.
    """
    found = _found(root)
    keys = ("name", "total", "room")
    return {key: found[key] for key in keys} if all(key in found for key in keys) else _ask()


def _found(root: Path) -> Mapping[str, Any]:
    """What was written since the machine started; empty for nothing, and for what is damaged."""
    try:
        found = json.loads((root / NAME).read_text(encoding="utf-8"))
        return found if found["boot"] == _boot() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _ask() -> Optional[Mapping[str, Any]]:
    try:
        ran = subprocess.run(
            _ASK, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=True, text=True
        )
        name, total, free = (word.strip() for word in ran.stdout.splitlines()[0].rsplit(",", 2))
        room = int(free) * memory.MIB - memory.CONTEXT
        return {"name": name, "total": int(total) * memory.MIB, "room": max(0, room)}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
