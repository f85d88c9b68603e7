"""Makes a picture again from the record that it carries, and compares the two."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sdops_runtime.protocol import Event, JobRequest, Settings

from sdops.errors import SdopsError
from sdops.jobs import local, manifest, source
from sdops.jobs.likeness import Likeness, compare
from sdops.jobs.local import Outcome
from sdops.jobs.plan import digest
from sdops.jobs.request import Asked

if TYPE_CHECKING:
    from sdops_runtime.record import Record

Watch = Callable[[Event], None]
#: Makes a job's pictures in a folder.
Maker = Callable[[Asked, Path, Watch], Outcome]

#: Pictures that one input and prompt may have; see protocol.Settings.
_MOST_IMAGES = 10_000


@dataclass(frozen=True)
class Replayed:
    """A picture and its like. then, now: how each was made. same_file: whether all bytes are the same.

    kept: where the new one is, None if it was thrown away.
    """

    picture: Path
    source: Path
    then: "Record"
    now: "Record"
    likeness: Likeness
    same_file: bool
    kept: Path | None


def maker(host: str, inventory: Sequence[Path | str], device: str) -> Maker:
    """Who makes pictures again: the only place that knows of this machine and of others."""
    if host != local.NAME:
        return _maker_on(host, inventory, device)
    from sdops_runtime import job
    from sdops_runtime.course import Place
    from sdops_runtime.warm import Warm

    warm = Warm()  # the next picture's model is most often the same

    def make(asked: Asked, out: Path, watch: Watch) -> Outcome:
        outcome = Outcome(asked, out)

        def emit(event: Event) -> None:
            outcome.take(event)
            watch(event)

        job.run(asked.request, asked.sources, Place(out, device), emit, loader=warm.load)
        return outcome

    return make


def _maker_on(host: str, inventory: Sequence[Path | str], device: str) -> Maker:
    from sdops.jobs import choice, ticket

    def make(asked: Asked, out: Path, watch: Watch) -> Outcome:
        outcome = choice.run(asked, host, inventory, out, device, False, watch, False)
        ticket.forget(str(outcome.job))  # its folder is gone in a moment: no job to come back to
        return outcome

    return make


def replay(
    picture: Path, given: Sequence[Path], model: str | None, make: Maker, out: Path | None, watch: Watch
) -> Replayed:
    """Makes a picture again. given: files that may be its input. model: instead of the record's.

    out: folder where the new one is kept, under the same name. Raises SdopsError, KeyboardInterrupt.
    """
    from sdops_runtime import images, png

    record = png.read_record(picture)
    kept = None if out is None else out / picture.name
    if kept is not None and kept.exists():
        raise SdopsError("output-exists", f"{kept} is there already.", "Use another --out.")
    found = source.find(picture, record, given)
    asked = _asked(picture, record, found, model)
    with TemporaryDirectory(prefix="sdops-") as folder:
        again = _make(asked, Path(folder), make, watch)
        made = Replayed(
            picture,
            found,
            record,
            png.read_record(again),
            compare(images.open_image(picture).image, images.open_image(again).image),
            digest(picture) == digest(again),
            kept,
        )
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            png.keep(again.read_bytes(), kept)
    return made


def changes(then: "Record", now: "Record") -> Mapping[str, tuple[str, str]]:
    """What was otherwise when a picture was made: for each the value then and the one now."""

    def told(record: "Record") -> dict[str, str]:
        engine = {name: getattr(record, name) for name in ("model", "revision", "stack", "device", "dtype")}
        ways = {"batch": record.batch, "compiled": "yes" if record.compiled else "no"}
        values = {**engine, **ways, "sdops": record.sdops, **record.versions}
        return {name: "none" if value is None else str(value) for name, value in values.items()}

    one, other = told(then), told(now)
    names = [*one, *(name for name in other if name not in one)]
    pairs = {name: (one.get(name, "none"), other.get(name, "none")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _make(asked: Asked, folder: Path, make: Maker, watch: Watch) -> Path:
    """The picture's file. In the number format that there is, if its own is not."""
    try:
        return _made(make(asked, folder, watch))
    except SdopsError as error:
        if error.code != "dtype-unsupported":
            raise
        settings = replace(asked.request.settings, dtype="auto")
        return _made(make(replace(asked, request=replace(asked.request, settings=settings)), folder, watch))


def _made(outcome: Outcome) -> Path:
    if outcome.last.kind in ("cancelled", "detached"):
        raise KeyboardInterrupt
    for trouble in ([outcome.last.data] if outcome.last.kind == "failed" else []) + outcome.failed:
        raise SdopsError(trouble["code"], trouble["message"], trouble["hint"])
    for error in outcome.unsaved:
        raise error
    return outcome.out / str(outcome.pictures[0]["name"])


def _asked(picture: Path, record: "Record", found: Path, model: str | None) -> Asked:
    """The job of which a picture is the last one, all others left out."""
    name, revision = _model(picture, record, model)
    # Its place in the batch is what counts. Of the numbers with the same place its own is taken, if it can.
    index = record.index if record.index < _MOST_IMAGES else record.index % max(record.batch, 1)
    settings = Settings(
        model=name,
        revision=revision,
        dtype=record.dtype,
        width=record.width,
        height=record.height,
        strength=record.strength,
        steps=record.steps,
        guidance=record.guidance,
        negative_prompt=record.negative_prompt,
        images=index + 1,
        seed=record.seed - index,
        background=record.background,
    )
    first = 0 if record.slot is None else (record.slot - index) % max(record.batch, 1)
    request = JobRequest(
        (found.name,),
        (record.prompt,),
        settings,
        record.batch,
        skip=tuple(range(index)),
        first=first,
        compiled=record.compiled,
    )
    try:
        request.check()
    except SdopsError as error:
        raise SdopsError(
            "metadata-missing", f"The settings in {picture} cannot be right: {error.message}"
        ) from error
    return Asked(request, (found,))


def _model(picture: Path, record: "Record", wanted: str | None) -> tuple[str, str | None]:
    """The model and its revision. A record names a folder, which may name people, by its last part only."""
    from sdops_runtime import demo

    if wanted is not None:
        return wanted, record.revision if wanted == record.model else None
    if record.model == demo.NAME:
        return demo.NAME, None
    if record.revision is not None:
        return record.model, record.revision
    for item in manifest.read(picture.parent).items:
        folder = Path(str(item.settings.get("model")))
        of_it = item.input.sha256 == record.input_sha256 and folder.resolve().name == record.model
        if of_it and folder.is_dir():
            return str(folder), None
    raise SdopsError(
        "model-unknown",
        f"{picture} was made with a model in a folder {record.model}, and does not tell where that is.",
        "Name the folder: --model DIR",
    )
