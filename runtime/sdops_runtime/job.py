"""Runs one job from its request to its last picture, and says so in events.

Knows files, knows neither queue nor terminal. A picture is on the disk, whole,
before its event is sent, so whatever stops a job leaves only whole pictures
behind. One bad input fails its pictures and not the job.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Protocol

from sdops_runtime import demo, device, dialect, memory, readahead, stack
from sdops_runtime.chunks import Ahead, Chunk, Slots, cut
from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Inputs
from sdops_runtime.interrupt import Interrupt
from sdops_runtime.maker import Maker, Part, item_failed, make
from sdops_runtime.outbox import Emit, Outbox
from sdops_runtime.outputs import check_outputs
from sdops_runtime.protocol import Event, JobRequest, Settings

Load = Callable[[Settings, "Place", Emit], tuple[Any, Mapping[str, Any]]]

#: Pictures at once on a CPU, for a model so small that calling its layers costs as much as computing them
#: (measured by make bench-cpu). No more than a quarter of the job, so that the first ones come soon.
CPU_BATCH = 4

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where a job runs. out: folder of the pictures. wanted: auto, cuda or cpu."""

    out: Path
    wanted: str = "auto"
    overwrite: bool = False


class Company(Protocol):
    """Other jobs that wait for the same model and settings."""

    def crowd(self, size: tuple[int, int]) -> int:
        """How many pictures of a size they want."""

    def beside(
        self, chunk: Chunk, engine: Any, about: Mapping[str, Any], slots: Slots, total: int
    ) -> AbstractContextManager[Sequence[Part]]:
        """Pictures of theirs for the slots that a chunk leaves free; told and saved when the block ends."""


class Alone:
    """No other job."""

    def crowd(self, size: tuple[int, int]) -> int:
        """None."""
        return 0

    def beside(
        self, chunk: Chunk, engine: Any, about: Mapping[str, Any], slots: Slots, total: int
    ) -> AbstractContextManager[Sequence[Part]]:
        """None."""
        return nullcontext(())


class PausedError(Exception):
    """A job was left between two pictures, to go on later: it has no last event yet."""


def run(
    request: JobRequest,
    sources: Sequence[Path],
    place: Place,
    emit: Emit,
    *,
    earlier: Sequence[Event] = (),
    loader: Optional[Load] = None,
    paused: Callable[[], bool] = lambda: False,
    company: Optional[Company] = None,
) -> Event:
    """Makes the job's pictures; emits events, exactly one terminal one, and returns that.

    sources: the files of ``request.inputs``, in that order. What stops the
    whole job is in ``failed``; an interrupt (Ctrl-C, or a KeyboardInterrupt
    out of ``emit``) ends in ``cancelled``, with every finished picture kept.

    earlier: the events of a run of this job that was stopped; what they tell
    of pictures is not made again. loader: instead of ``load``. paused: asked
    between pictures; when it says so, PausedError is raised and no last event
    emitted. company: other jobs whose pictures may be made along with the last
    of this one. Raises nothing else but what ``emit`` raises for the last event.
    """
    with Interrupt() as interrupt:
        tally = Tally(request, emit, interrupt)
        for event in earlier:
            tally.count(event)
        try:
            _run(request, sources, place, tally, loader or load, paused, company or Alone())
            last = Event("done", tally.summary())
        except PausedError:
            raise
        except KeyboardInterrupt:
            last = Event("cancelled", tally.summary())
        except Exception as error:  # the job's top: whatever it was, the job has an end and a reason
            last = Event("cancelled", tally.summary()) if interrupt.pressed else _failed(error, tally)
        emit(last)
    return last


def _failed(error: Exception, tally: "Tally") -> Event:
    _LOG.debug("the job failed", exc_info=True)
    if not isinstance(error, SdopsError):
        what = f"Something unexpected happened: {type(error).__name__}: {dialect.last_line(error)}"
        hint = "Run it again as sdops --debug run … and report what it prints."
        error = SdopsError("internal-error", what, hint)
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    return Event("failed", dict(tally.summary(), **told))


def _run(
    request: JobRequest,
    sources: Sequence[Path],
    place: Place,
    tally: "Tally",
    loader: Load,
    paused: Callable[[], bool],
    company: Company,
) -> None:
    request.check()
    inputs = Inputs(request, sources)
    try:
        inputs.open_first()
    except SdopsError:
        if not request.skip:
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
    engine, about = loader(request.settings, place, tally.emit)
    plan = _plan(request, inputs, engine, company)
    slots = Slots(plan.rung.batch, request.first % plan.rung.batch)
    announce(request, engine, about, slots, tally.emit, engine.seconds)
    outbox = Outbox(tally.emit)
    ahead = Ahead(cut(request.items(), inputs, slots, tally.left))
    maker = Maker(request, place, about, slots, outbox)
    try:
        while True:
            chunk = ahead.take()
            inputs.tell(outbox.tell)
            stopped = chunk is not None and paused()
            if chunk is None or stopped:
                break
            if chunk.failure is not None:
                maker.fail(chunk, chunk.failure)
                continue
            with company.beside(chunk, engine, about, slots, request.total) as others:
                make(engine, [(maker, chunk), *others], slots.batch, ahead.start)
        outbox.flush(wait=True)
        if stopped:
            raise PausedError
    except BaseException:
        outbox.settle()
        raise
    finally:
        ahead.close()
        outbox.close()


def announce(
    request: JobRequest, engine: Any, about: Mapping[str, Any], slots: Slots, emit: Emit, seconds: float
) -> None:
    """Tells what a job runs with and what is to be known of it, before its first picture.

    seconds: how long it waited for the model.
    """
    emit(Event("loaded", dict(about, batch=slots.batch, first=slots.first, seconds=round(seconds, 2))))
    _notice(request, engine, emit)
    for message in engine.lowered:
        emit(Event("notice", {"code": "memory", "message": message}))
    steps, strength = request.settings.steps, request.settings.strength
    passes = steps + 1 - dialect.first_timestep(steps, strength)
    emit(Event("planned", {"total": request.wanted, "passes": passes}))


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
        self._seeds = [item.seed for item in request.items()]
        self._emit = emit
        self._counts = {"images": 0, "failed": 0, "flagged": 0}
        #: Numbers of the pictures that are wanted and have neither been made nor failed.
        self.left = set(range(len(self._seeds))).difference(request.skip)

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


def load(settings: Settings, place: Place, emit: Emit) -> tuple[Any, Mapping[str, Any]]:
    """The engine for a job's model, and what every picture's record says about it.

    Emits ``download`` while the model comes from the hub.
    """
    # Imported here: the libraries behind them take seconds, and say best themselves if they are missing.
    readahead.begin(settings.model, settings.wanted_revision)
    dialect.libraries()
    from sdops_runtime import hub, pipeline

    chosen = device.pick(place.wanted)
    dtype = device.number_format(settings.dtype, chosen)
    if settings.model == demo.NAME:
        local = hub.LocalModel(demo.ensure(), demo.NAME, f"recipe {demo.RECIPE}")
    else:
        local = hub.resolve(
            settings.model,
            settings.wanted_revision,
            weights=dialect.weight_suffixes(),
            progress=lambda done, total: emit(Event("download", {"bytes": done, "total": total})),
        )
    if local.note:
        emit(Event("notice", {"code": "model", "message": local.note}))
    if settings.revision and (settings.model == demo.NAME or hub.is_folder(settings.model)):
        ignored = f"Revision {settings.revision} is left out: only models at the hub have revisions."
        emit(Event("notice", {"code": "revision", "message": ignored}))
    engine = pipeline.load(local.path, chosen, dtype)
    versions = dialect.versions()
    return engine, {
        "model": local.name,
        "revision": local.revision,
        "stack": stack.identify(versions),
        "versions": versions,
        "device": chosen.name,
        "dtype": engine.dtype,
    }


def _plan(request: JobRequest, inputs: Inputs, engine: Any, company: Company) -> memory.Plan:
    """How the job's pictures are made, for the largest of the first inputs.

    Raises SdopsError("out-of-memory") where that does not fit.
    """
    settings = request.settings
    sizes = [one.image.size for one in inputs.open_first()]
    asked = settings.width, settings.height or settings.width
    size = max(sizes, key=lambda size: size[0] * size[1], default=asked)
    batch, total = request.batch, request.total
    if batch is None:
        crowd = company.crowd(size)
        total += crowd
        if engine.device.kind == "cpu" and engine.small:
            batch = max(1, min(CPU_BATCH, total if crowd else total // CPU_BATCH))
    plan: memory.Plan = engine.plan(size, total, settings.guidance, batch)
    return plan


def _notice(request: JobRequest, engine: Any, emit: Emit) -> None:
    def notice(code: str, message: str) -> None:
        emit(Event("notice", {"code": code, "message": message}))

    if engine.device.reason:
        notice("cpu", f"The CPU makes the pictures, which is slow: {engine.device.reason}.")
    for code, message in engine.notices:
        notice(code, message)
    texts = [(prompt, False) for prompt in request.prompts]
    if request.settings.negative_prompt:
        texts.append((request.settings.negative_prompt, True))
    for text, negative in texts:
        dropped = engine.dropped(text, negative)
        if dropped:
            what = "negative prompt" if negative else "prompt"
            notice("prompt-cut", f"The {what} is longer than the model reads. It will not see: {dropped}")
