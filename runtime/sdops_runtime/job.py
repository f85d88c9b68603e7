"""Makes the pictures of one job in this process, batch by batch, and loads the model for them."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Callable, Optional, Protocol

from sdops_runtime import course, demo, device, dialect, gains, readahead, stack
from sdops_runtime.chunks import Ahead, Chunk, Slots, cut, even, kinds
from sdops_runtime.course import PausedError, Place, Tally
from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Inputs
from sdops_runtime.maker import Maker, Part, make
from sdops_runtime.outbox import Emit, Outbox
from sdops_runtime.protocol import Event, JobRequest, Settings

Load = Callable[[Settings, Place, Emit], tuple[Any, Mapping[str, Any]]]

#: Pictures at once on a CPU, for a model so small that calling its layers costs as much as computing them
#: (measured by make bench-cpu). No more than a quarter of the job, so that the first ones come soon.
CPU_BATCH = 4


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
    """Makes the job's pictures here; as ``course.run``.

    loader: instead of ``load``. paused: asked between pictures; when it says
    so, PausedError is raised and no last event emitted. company: other jobs
    whose pictures may be made along with the last of this one.
    """

    def here(request: JobRequest, inputs: Inputs, place: Place, tally: Tally) -> None:
        _make(request, inputs, place, tally, loader or load, paused, company or Alone())

    return course.run(request, sources, place, emit, here, earlier)


def _make(
    request: JobRequest,
    inputs: Inputs,
    place: Place,
    tally: Tally,
    loader: Load,
    paused: Callable[[], bool],
    company: Company,
) -> None:
    engine, about = loader(request.settings, place, tally.emit)
    sizes = inputs.sizes()
    crowd = company.crowd(largest(request, sizes)) if request.batch is None else 0
    slots, size = plan(request, sizes, engine, crowd)
    why = compile_if_it_pays(request, engine, about, size, slots.batch, tally.left)
    announce(request, engine, about, slots, tally.emit, engine.seconds)
    if why:
        tally.emit(Event("notice", {"code": "compile", "message": why}))
    outbox = Outbox(tally.emit)
    ahead = Ahead(cut(request.items(), inputs, slots, tally.left))
    maker = Maker(request, place, about, slots, outbox, several=len(set(filter(None, sizes))) > 1)
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
    chosen = {"batch": slots.batch, "first": slots.first, "compiled": engine.compiles}
    emit(Event("loaded", dict(about, **chosen, seconds=round(seconds, 2))))
    _notice(request, engine, emit)
    for message in engine.lowered:
        emit(Event("notice", {"code": "memory", "message": message}))
    passes = _passes(request)
    emit(Event("planned", {"total": request.wanted, "passes": max(passes), "fewest": min(passes)}))


def compile_if_it_pays(
    request: JobRequest,
    engine: Any,
    about: Mapping[str, Any],
    size: tuple[int, int],
    batch: int,
    left: Collection[int],
) -> Optional[str]:
    """Has a job's pictures of a size made with compiled networks, if it is long enough or asks for it.

    To be called after ``plan``. left: numbers of the pictures to make. Returns what a person should know.
    """
    if request.compiled is False or not (request.compiled or gains.read()):
        return None
    guidance = max(request.at(cell).guidance for cell in range(len(request.sweep) or 1))
    if request.compiled:
        if engine.compiling_lacks:
            return f"The model is not compiled, as it was then: {engine.compiling_lacks} is missing here."
        if not engine.compile(size, batch, guidance):
            return "The model is not compiled, as it was then: there is too little memory."
        return None
    network = engine.network
    passes = _passes(request)
    calls = sum(passes[item.cell] for item in request.items() if item.index in left) / batch
    subject = gains.Subject(about["device"], network.architecture, engine.dtype)
    found = gains.estimate(subject, engine.load_of(size, batch, guidance), calls)
    if found is None or not (network.exact and found.pays) or engine.compiling_lacks:
        return None
    return str(found) if engine.compile(size, batch, guidance) else None


def load(settings: Settings, place: Place, emit: Emit) -> tuple[Any, Mapping[str, Any]]:
    """The engine for a job's model, and what every picture's record says about it.

    Emits ``download`` while the model comes from the hub.
    """
    # Imported here: the libraries behind them take seconds, and say best themselves if they are missing.
    began = time.monotonic()
    readahead.begin(settings.model, settings.wanted_revision)
    dialect.libraries()
    from sdops_runtime import hub, pipeline

    chosen = device.pick(place.wanted)
    dtype = device.number_format(settings.dtype, chosen)
    before = time.monotonic()
    if settings.model == demo.NAME:
        local = hub.LocalModel(demo.ensure(), demo.NAME, f"recipe {demo.RECIPE}")
    else:
        local = hub.resolve(
            settings.model,
            settings.wanted_revision,
            weights=dialect.weight_suffixes(),
            progress=lambda done, total: emit(Event("download", {"done": done, "total": total})),
        )
    if local.note:
        emit(Event("notice", {"code": "model", "message": local.note}))
    if settings.revision and (settings.model == demo.NAME or hub.is_folder(settings.model)):
        ignored = f"Revision {settings.revision} is left out: only models at the hub have revisions."
        emit(Event("notice", {"code": "revision", "message": ignored}))
    began += time.monotonic() - before  # what the hub takes is told as a download
    engine = pipeline.load(local.path, chosen, dtype)
    engine.seconds = time.monotonic() - began
    versions = dialect.versions()
    return engine, {
        "model": local.name,
        "revision": local.revision,
        "stack": stack.identify(versions),
        "versions": versions,
        "device": chosen.name,
        "dtype": engine.dtype,
    }


#: Width and height in pixels.
Size = tuple[int, int]


def largest(request: JobRequest, sizes: Sequence[Optional[Size]]) -> Size:
    """Width and height of the largest pictures of a job, or else what was asked for."""
    settings = request.settings
    return max(filter(None, sizes), key=_area, default=(settings.width, settings.height or settings.width))


def plan(
    request: JobRequest, sizes: Sequence[Optional[Size]], engine: Any, crowd: int = 0
) -> tuple[Slots, Size]:
    """How a job's pictures are put into batches, and the size for which that was worked out.

    sizes: of each input's pictures, as ``Inputs.sizes``. crowd: pictures of others that would fill the last
    batch. The largest size that fits decides; raises SdopsError("out-of-memory") where none does.
    """
    alike = kinds(request, sizes)
    alike += alike[-1:] * crowd
    batch, total = request.batch, request.total // (len(request.sweep) or 1) + crowd
    if batch is None and engine.device.kind == "cpu" and engine.small:
        batch = even(alike, max(1, min(CPU_BATCH, total if crowd else total // CPU_BATCH)))
    guidance = max(request.at(cell).guidance for cell in range(len(request.sweep) or 1))
    left = sorted({one for one in sizes if one is not None}, key=_area) or [largest(request, sizes)]
    while True:
        size = left.pop()
        try:
            found = engine.plan(size, total, guidance, batch, lambda most: even(alike, most))
        except SdopsError as error:
            if error.code != "out-of-memory" or not left:
                raise
        else:
            return Slots(found.rung.batch, request.first % found.rung.batch), size


def _area(size: Size) -> int:
    return size[0] * size[1]


def _passes(request: JobRequest) -> list[int]:
    """How often the UNet is called for a batch, in each cell of the sweep."""
    every = [request.at(cell) for cell in range(len(request.sweep) or 1)]
    return [one.steps + 1 - dialect.first_timestep(one.steps, one.strength) for one in every]


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
