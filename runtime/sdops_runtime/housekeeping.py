"""What a host's jobs come to, and which of them can go. Standard library only, Python 3.9."""

import os
import time
from pathlib import Path
from typing import Any

from sdops_runtime import compiling
from sdops_runtime.errors import SdopsError
from sdops_runtime.jobfolder import ENDED, Job
from sdops_runtime.queue import Queue

#: An empty file in a job's folder: its pictures are with somebody who asked for them.
_FETCHED = "fetched"


def outline(job: Job) -> dict[str, Any]:
    """A job in a few words: what it is about, and how far it has come.

    begun, ended: seconds since 1970, None for not yet. made, failed, flagged: pictures.
    """
    told: dict[str, Any] = {
        "job": job.id,
        "state": job.state,
        "cancel": job.cancel,
        "fetched": _is_fetched(job),
    }
    counts = {"made": 0, "failed": 0, "flagged": 0}
    begun = ended = None
    reason = None
    for event in job.events():
        begun = event.data.get("at") if begun is None else begun
        if event.kind == "image":
            counts["made"] += 1
            counts["flagged"] += bool(event.data["flagged"])
        elif event.kind == "item_failed":
            counts["failed"] += 1
        elif event.terminal:
            ended = event.data.get("at")
            reason = event.data.get("message")
    told.update(counts, begun=begun, ended=ended, reason=reason)
    try:
        request = job.request()
    except SdopsError:
        return dict(told, wanted=None, inputs=[], prompts=[], model=None)
    return dict(
        told,
        wanted=request.wanted,
        inputs=list(request.inputs[:3]),
        prompts=list(request.prompts[:3]),
        model=request.settings.model,
    )


def mark_fetched(job: Job) -> None:
    """Remembers that a job's pictures are with somebody who asked for them."""
    (job.folder / _FETCHED).touch()


def prune(queue: Queue, days: float, everything: bool) -> dict[str, Any]:
    """Removes jobs that ended so many days ago and were fetched, and what else was not used since.

    everything: those too that were not fetched. Returns removed and kept (names: ended so long ago, and not
    fetched), and freed (bytes).
    """
    limit = time.time() - days * 86400
    removed, kept, freed = [], [], 0
    for job in queue.jobs():
        if job.state not in ENDED or _changed(job.folder) > limit:
            continue
        if everything or _is_fetched(job) or not any(job.out.glob("*.png")):
            freed += _size(job.folder)
            queue.remove(job)
            removed.append(job.id)
        else:
            kept.append(job.id)
    freed += queue.sweep(limit) + queue.store.prune(days) + compiling.prune(limit)
    return {"removed": removed, "kept": kept, "freed": freed}


def _is_fetched(job: Job) -> bool:
    return (job.folder / _FETCHED).exists()


def _changed(folder: Path) -> float:
    """When something happened to a job last; now where that cannot be told."""
    try:
        return (folder / "events.ndjson").stat().st_mtime
    except OSError:
        return time.time()


def _size(folder: Path) -> int:
    """The bytes that go when a folder does: inputs that others link to stay."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                one = (Path(place) / name).lstat()
            except OSError:
                continue
            found += one.st_size if one.st_nlink == 1 else 0
    return found
