"""How a host is right now: its GPU, its worker, the job in hand, the queue. Standard library only."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Optional

from sdops_runtime import housekeeping, room
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import membership
from sdops_runtime.jobfolder import Job
from sdops_runtime.memory import MIB
from sdops_runtime.queue import Queue

#: Seconds for nvidia-smi.
PATIENCE = 3.0
#: So many of the newest jobs are looked through for the last error.
LOOKED = 50

_FIELDS = ("name", "driver_version", "memory.total", "memory.used", "utilization.gpu")
_PIECE = 1 << 14


def status(queue: Queue) -> dict[str, Any]:
    """gpu (see ``_gpu``); serving, waiting, free (bytes of disk); model, in memory; job and step; error.

    job: the outline of the one in hand, None without; step: part of the batch in hand that is done, 0 to 1.
    error: of the newest job that failed: job, at (seconds since 1970), message. fleet: as
    ``membership.outline`` has it.
    """
    serving = queue.served()
    jobs = queue.jobs()
    running = next((job for job in reversed(jobs) if job.state == "running"), None) if serving else None
    return {
        "gpu": _gpu(),
        "serving": serving,
        "waiting": sum(job.state == "queued" for job in jobs),
        "free": _free(queue.root),
        "model": room.model(queue.root) if serving else None,
        "job": None if running is None else housekeeping.outline(running),
        "step": None if running is None else _step(running),
        "error": _error(jobs[-LOOKED:]),
        "fleet": membership.outline(queue.root),
    }


def _gpu() -> Optional[dict[str, Any]]:
    """name, driver, total and used (bytes), busy (per cent); None without a GPU. What is not told is None."""
    ask = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        ran = subprocess.run(
            ask, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=True, text=True
        )
        name, driver, *numbers = (word.strip() for word in ran.stdout.splitlines()[0].rsplit(",", 4))
        total, used, busy = (int(word) if word.isdigit() else None for word in numbers)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return {
        "name": name,
        "driver": driver,
        "total": None if total is None else total * MIB,
        "used": None if used is None else used * MIB,
        "busy": busy,
    }


def _free(root: Path) -> Optional[int]:
    try:
        place = os.statvfs(root)
    except OSError:
        return None
    return place.f_bavail * place.f_frsize


def _step(job: Job) -> Optional[float]:
    """Of the last line, if that tells of a step."""
    try:
        with (job.folder / "events.ndjson").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _PIECE))
            lines = file.read().split(b"\n")
        told = json.loads(lines[-2])
        return float(told["step"] / told["steps"]) if told["kind"] == "step" else 0.0
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return None


def _error(jobs: list[Job]) -> Optional[dict[str, Any]]:
    for job in reversed(jobs):
        if job.state == "failed":
            try:
                told = housekeeping.outline(job)
            except SdopsError:
                continue
            return {"job": job.id, "at": told["ended"], "message": told["reason"]}
    return None
