"""Runs a job in this machine's own Python: the host called ``local``.

No SSH, no queue: the same runtime code as on a GPU host, called in process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdops_runtime.protocol import Event

from sdops.errors import SdopsError
from sdops.jobs.request import Asked

NAME = "local"


@dataclass
class Outcome:
    """What came of a job, collected from its events."""

    asked: Asked
    out: Path
    last: Event = field(default_factory=lambda: Event("none"))
    loaded: dict[str, Any] = field(default_factory=dict)
    passes: int | None = None
    #: Pictures that were made now, and those that were there already.
    pictures: list[dict[str, Any]] = field(default_factory=list)
    there: Sequence[Mapping[str, Any]] = ()
    failed: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    #: On another host: the job's name, and the host's.
    job: str | None = None
    host: str = NAME
    #: Pictures that were made and could not be saved here.
    unsaved: list[SdopsError] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Adds what an event says; kinds that are not known are passed over."""
        data = dict(event.data)
        if event.kind == "loaded":
            self.loaded = data
        elif event.kind == "planned":
            self.passes = data["passes"]
        elif event.kind == "image":
            self.pictures.append(data)
        elif event.kind == "item_failed":
            self.failed.append(data)
        elif event.kind == "notice":
            self.notices.append(data)
        elif event.terminal:
            self.last = event


def run(
    asked: Asked,
    out: Path,
    device: str,
    overwrite: bool,
    watch: Callable[[Event], None],
    force: bool = False,
) -> Outcome:
    """Makes those of the job's pictures here that are missing; ``watch`` sees every event as it happens.

    force: all of them. Raises SdopsError.
    """
    from sdops_runtime import job
    from sdops_runtime.course import Place

    from sdops.jobs.plan import plan
    from sdops.jobs.recorder import Recorder

    planned = plan(asked, out, NAME, overwrite, force)
    asked = planned.asked
    outcome = Outcome(asked, out, there=planned.there)
    planned.tell(watch)
    if planned.complete:
        outcome.take(nothing_to_do())
        return outcome
    recorder = Recorder(asked, out, NAME, hashes=planned.hashes)

    def emit(event: Event) -> None:
        outcome.take(event)
        recorder.take(event)
        watch(event)

    job.run(asked.request, asked.sources, Place(out, device, planned.overwrite), emit)
    return outcome


def nothing_to_do() -> Event:
    """The end of a job whose pictures were all there."""
    return Event("done", {"images": 0, "failed": 0, "flagged": 0, "missing": [], "seconds": 0.0})
