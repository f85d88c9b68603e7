"""The course of every job, wherever its pictures are made: its inputs, its counts, its one end.

Knows files, knows neither queue nor terminal. A picture is on the disk, whole,
before its event is sent, so whatever stops a job leaves only whole pictures
behind. One bad input fails its pictures and not the job.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime import dialect
from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Inputs
from sdops_runtime.interrupt import Interrupt
from sdops_runtime.outbox import Emit
from sdops_runtime.outputs import check_outputs
from sdops_runtime.protocol import Event, Item, JobRequest

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where a job runs. out: folder of the pictures. wanted: auto, cuda or cpu."""

    out: Path
    wanted: str = "auto"
    overwrite: bool = False


class PausedError(Exception):
    """A job was left between two pictures, to go on later: it has no last event yet."""


def run(
    request: JobRequest,
    sources: Sequence[Path],
    place: Place,
    emit: Emit,
    make: "Make",
    earlier: Sequence[Event] = (),
) -> Event:
    """Takes a job from its request to its last picture; emits events, exactly one terminal one, returns that.

    sources: the files of ``request.inputs``, in that order. make: makes the
    pictures that the tally has left and tells of them there. What stops the
    whole job is in ``failed``; an interrupt (Ctrl-C, or a KeyboardInterrupt
    out of ``emit``) ends in ``cancelled``, with every finished picture kept.

    earlier: the events of a run of this job that was stopped; what they tell
    of pictures is not made again. Raises nothing but PausedError, which
    ``make`` may raise, and what ``emit`` raises for the last event.
    """
    with Interrupt() as interrupt:
        tally = Tally(request, emit, interrupt)
        for event in earlier:
            tally.count(event)
        try:
            _run(request, sources, place, tally, make)
            last = Event("done", tally.summary())
        except PausedError:
            raise
        except KeyboardInterrupt:
            last = Event("cancelled", tally.summary())
        except Exception as error:  # the job's top: whatever it was, the job has an end and a reason
            last = Event("cancelled", tally.summary()) if interrupt.pressed else _failed(error, tally)
        emit(last)
    return last


def _run(request: JobRequest, sources: Sequence[Path], place: Place, tally: "Tally", make: "Make") -> None:
    request.check()
    inputs = Inputs(request, sources)
    try:
        inputs.open_first()
    except SdopsError:
        if not request.partial:
            raise
        # The good ones were used before; nothing has to be loaded to say that of the others again.
        for item in request.items():
            failure = inputs.open(item.input) if item.index in tally.left else None
            if isinstance(failure, SdopsError):
                tally.emit(item_failed(item, failure))
        return
    inputs.tell(tally.emit)
    check_outputs(request, place.out, place.overwrite)
    tally.emit(Event("loading", {"model": request.settings.model}))
    make(request, inputs, place, tally)


def _failed(error: Exception, tally: "Tally") -> Event:
    _LOG.debug("the job failed", exc_info=True)
    if not isinstance(error, SdopsError):
        what = f"Something unexpected happened: {type(error).__name__}: {dialect.last_line(error)}"
        hint = "Run it again as sdops --debug run … and report what it prints."
        error = SdopsError("internal-error", what, hint)
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    return Event("failed", dict(tally.summary(), **told))


def summary(request: JobRequest, events: Sequence[Event]) -> dict[str, Any]:
    """The fields of a job's last event, from the others."""
    tally = Tally(request, lambda event: None)
    for event in events:
        tally.count(event)
    return tally.summary()


class Tally:
    """Counts what a job has done from its own events. interrupt: may have been lost somewhere."""

    def __init__(self, request: JobRequest, emit: Emit, interrupt: Optional[Interrupt] = None) -> None:
        self._interrupt = interrupt or Interrupt()
        self._started = time.monotonic()
        self._seeds = {item.index: item.seed for item in request.items()}
        self._emit = emit
        self._counts = {"images": 0, "failed": 0, "flagged": 0}
        #: Numbers of the pictures that are wanted and have neither been made nor failed.
        self.left = set(self._seeds).difference(request.skip)

    def emit(self, event: Event) -> None:
        """Counts an event and passes it on."""
        self.count(event)
        self._emit(event)
        self._interrupt.again()

    def count(self, event: Event) -> None:
        """Counts an event."""
        if event.kind == "image":
            self._counts["images"] += 1
            self._counts["flagged"] += bool(event.data["flagged"])
        elif event.kind == "item_failed":
            self._counts["failed"] += 1
        if event.kind in ("image", "item_failed"):
            self.left.discard(event.data["index"])

    def summary(self) -> dict[str, Any]:
        """Fields of every terminal event; ``missing`` are the seeds of what was not made."""
        missing = [self._seeds[index] for index in sorted(self.left)]
        seconds = round(time.monotonic() - self._started, 2)
        return dict(self._counts, missing=missing, seconds=seconds)


def item_failed(item: Item, error: SdopsError) -> Event:
    """The event of a picture that is not to be had."""
    where = {"index": item.index, "seed": item.seed, "input": item.input, "prompt": item.prompt}
    return Event("item_failed", {**where, "code": error.code, "message": error.message, "hint": error.hint})


#: Makes what is left of a job's pictures.
Make = Callable[[JobRequest, Inputs, Place, Tally], None]
