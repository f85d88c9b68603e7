"""Runs one job from its request to its last picture, and says so in events.

Knows files, knows neither queue nor terminal. A picture is on the disk, whole,
before its event is sent, so whatever stops a job leaves only whole pictures
behind. One bad input fails its pictures and not the job.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime import demo, device, dialect, memory, png, stack
from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Inputs, Ready
from sdops_runtime.outputs import check_outputs, output_name
from sdops_runtime.protocol import Event, Item, JobRequest, Settings
from sdops_runtime.record import Record

Emit = Callable[[Event], None]
Load = Callable[[Settings, "Place", Emit], tuple[Any, Mapping[str, Any]]]

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
    *,
    earlier: Sequence[Event] = (),
    loader: Optional[Load] = None,
    paused: Callable[[], bool] = lambda: False,
) -> Event:
    """Makes the job's pictures; emits events, exactly one terminal one, and returns that.

    sources: the files of ``request.inputs``, in that order. What stops the
    whole job is in ``failed``; an interrupt (Ctrl-C, or a KeyboardInterrupt
    out of ``emit``) ends in ``cancelled``, with every finished picture kept.

    earlier: the events of a run of this job that was stopped; what they tell
    of pictures is not made again. loader: instead of ``load``. paused: asked
    between pictures; when it says so, PausedError is raised and no last event
    emitted. Raises nothing else but what ``emit`` raises for the last event.
    """
    tally = _Tally(request, emit)
    for event in earlier:
        tally.count(event)
    try:
        _run(request, sources, place, tally, loader or load, paused)
        last = Event("done", tally.summary())
    except PausedError:
        raise
    except KeyboardInterrupt:
        last = Event("cancelled", tally.summary())
    except SdopsError as error:
        last = _failed(error, tally)
    except Exception as error:  # the job's top: whatever it was, the job has an end and a reason
        what = f"Something unexpected happened: {type(error).__name__}: {dialect.last_line(error)}"
        hint = "Run it again as sdops --debug run … and report what it prints."
        last = _failed(SdopsError("internal-error", what, hint), tally)
    emit(last)
    return last


def _failed(error: SdopsError, tally: "_Tally") -> Event:
    _LOG.debug("the job failed", exc_info=True)
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    return Event("failed", dict(tally.summary(), **told))


def _run(
    request: JobRequest,
    sources: Sequence[Path],
    place: Place,
    tally: "_Tally",
    loader: Load,
    paused: Callable[[], bool],
) -> None:
    emit = tally.emit
    request.check()
    inputs = Inputs(request, sources, emit)
    try:
        inputs.open_first()
    except SdopsError:
        if not request.skip:
            raise
        # The good ones were used before; nothing has to be loaded to say that of the others again.
        for item in request.items():
            failure = inputs.open(item.input) if item.index in tally.left else None
            if isinstance(failure, SdopsError):
                emit(_item_failed(item, failure))
        return
    check_outputs(request, place.out, place.overwrite)
    emit(Event("loading", {"model": request.settings.model}))
    engine, about = loader(request.settings, place, emit)
    plan = _plan(request, inputs, engine)
    batch = plan.rung.batch
    emit(Event("loaded", dict(about, batch=batch, seconds=round(engine.seconds, 2))))
    _notice(request, engine, emit)
    for message in plan.notices:
        emit(Event("notice", {"code": "memory", "message": message}))
    steps, strength = request.settings.steps, request.settings.strength
    passes = steps + 1 - dialect.first_timestep(steps, strength)
    emit(Event("planned", {"total": request.wanted, "passes": passes}))
    maker = _Maker(request, place, engine, about, batch, emit)
    for chunk in _chunks(request.items(), inputs, batch, tally.left):
        if paused():
            raise PausedError
        maker.make(chunk)


def summary(request: JobRequest, events: Sequence[Event]) -> dict[str, Any]:
    """The fields of a job's last event, from the others."""
    tally = _Tally(request, lambda event: None)
    for event in events:
        tally.count(event)
    return tally.summary()


class _Tally:
    """Counts what a job has done from its own events."""

    def __init__(self, request: JobRequest, emit: Emit) -> None:
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


class _Maker:
    """Makes chunk after chunk of a job and saves what comes out."""

    def __init__(
        self,
        request: JobRequest,
        place: Place,
        engine: Any,
        about: Mapping[str, Any],
        batch: int,
        emit: Emit,
    ) -> None:
        from sdops_runtime import pipeline

        self._request = request
        self._place = place
        self._engine = engine
        self._about = about
        self._batch = batch
        self._emit = emit
        self._draw = pipeline.Draw
        #: Of the pictures that were made.
        self._sizes: set[tuple[int, int]] = set()
        settings = request.settings
        self._recipe = pipeline.Recipe(
            settings.strength, settings.steps, settings.guidance, settings.negative_prompt or ""
        )

    def make(self, chunk: "Chunk") -> None:
        """Makes and saves the chunk's pictures, or reports why its input gives none."""
        if chunk.failure is not None:
            for item in chunk.items:
                self._fail(item, chunk.failure)
            return
        began = time.monotonic()
        indices = [item.index for item in chunk.items]
        draws = [
            self._draw(
                ready.image,
                ready.sha256,
                self._request.prompts[item.prompt],
                item.seed,
                item.index % self._batch,
            )
            for item, ready in zip(chunk.items, chunk.inputs)
        ]

        def step(done: int, of: int) -> None:
            self._emit(Event("step", {"indices": indices, "step": done, "steps": of}))

        def notice(message: str) -> None:
            self._emit(Event("notice", {"code": "memory", "message": message}))

        try:
            pictures = self._engine.make(draws, self._recipe, self._batch, step, on_notice=notice)
        except SdopsError as error:
            # A size that does not fit fails its pictures, and not the others' job.
            if error.code != "out-of-memory" or not self._sizes - {draws[0].image.size}:
                raise
            for item in chunk.items:
                self._fail(item, error)
            return
        self._sizes.add(draws[0].image.size)
        for item, ready, picture in zip(chunk.items, chunk.inputs, pictures):
            if picture.failure is not None:
                self._fail(item, picture.failure)
            else:
                self._save(item, ready, picture, (time.monotonic() - began) / len(pictures))

    def _fail(self, item: Item, error: SdopsError) -> None:
        self._emit(_item_failed(item, error))

    def _save(self, item: Item, ready: Ready, picture: Any, seconds: float) -> None:
        name = output_name(self._request.inputs[item.input], item.seed)
        record = Record(
            **{
                key: self._about[key] for key in ("model", "revision", "stack", "versions", "device", "dtype")
            },
            batch=picture.rung.batch,
            rung=str(picture.rung) or None,
            prompt=self._request.prompts[item.prompt],
            seed=item.seed,
            index=item.index,
            width=picture.image.width,
            height=picture.image.height,
            input_sha256=ready.sha256,
            input_size=ready.original,
            flagged=picture.flagged,
            retried_float32=picture.retried,
            **{
                key: getattr(self._request.settings, key)
                for key in ("negative_prompt", "strength", "guidance", "steps", "background")
            },
        )
        digest = png.save_png(picture.image, self._place.out / name, record, self._place.overwrite)
        data = {
            "index": item.index,
            "name": name,
            "sha256": digest,
            "seed": item.seed,
            "input": item.input,
            "prompt": item.prompt,
            "input_sha256": ready.sha256,
            "width": picture.image.width,
            "height": picture.image.height,
            "seconds": round(seconds, 2),
            "flagged": picture.flagged,
            "retried": picture.retried,
        }
        self._emit(Event("image", data))


def _item_failed(item: Item, error: SdopsError) -> Event:
    where = {"index": item.index, "seed": item.seed, "input": item.input, "prompt": item.prompt}
    return Event("item_failed", {**where, "code": error.code, "message": error.message, "hint": error.hint})


@dataclass(frozen=True)
class Chunk:
    """Items that are made together: of one size, or one failed input's."""

    items: tuple[Item, ...]
    inputs: tuple[Ready, ...] = ()
    failure: Optional[SdopsError] = None


def _chunks(items: Sequence[Item], inputs: Inputs, batch: int, left: set[int]) -> Iterator[Chunk]:
    """Cuts a job into chunks: pictures of one size from the same window of ``batch`` numbers.

    So a picture's slot in its batch follows from its number in the job, and
    its bytes do not change when others fail, were made before or elsewhere.
    """
    for start in range(0, len(items), batch):
        by_size: dict[Any, list[tuple[Item, Ready]]] = {}
        for item in items[start : start + batch]:
            if item.index not in left:
                continue
            ready = inputs.open(item.input)
            if isinstance(ready, SdopsError):
                yield Chunk((item,), failure=ready)
            else:
                by_size.setdefault(ready.image.size, []).append((item, ready))
        for pairs in by_size.values():
            yield Chunk(tuple(item for item, _ in pairs), tuple(ready for _, ready in pairs))


def _plan(request: JobRequest, inputs: Inputs, engine: Any) -> memory.Plan:
    """How the job's pictures are made, for the largest of the first inputs.

    Raises SdopsError("out-of-memory") where that does not fit.
    """
    settings = request.settings
    sizes = [one.image.size for one in inputs.open_first()]
    asked = settings.width, settings.height or settings.width
    size = max(sizes, key=lambda size: size[0] * size[1], default=asked)
    plan: memory.Plan = engine.plan(size, request.total, settings.guidance, request.batch)
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
