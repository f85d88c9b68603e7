"""What of a job is still to be made, decided before anything is loaded or sent.

Reads the manifest of the job's folder, the inputs and the pictures that are there already.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdops_runtime.outputs import name_of
from sdops_runtime.protocol import Event, JobRequest
from sdops_runtime.protocol import Item as Wanted

from sdops.errors import SdopsError
from sdops.jobs import manifest
from sdops.jobs.entry import Begun, Input, Item, Output
from sdops.jobs.manifest import Manifest
from sdops.jobs.request import Asked

_PIECE = 1 << 20


@dataclass(frozen=True)
class Plan:
    """How a job is to be run.

    asked: with its seed, batch and what is skipped; not to be run if ``complete``. overwrite: as for
    job.Place. there: the pictures that are skipped, as events tell of pictures. hashes: SHA-256 of each
    input's bytes, None where they cannot be read. before: a job on the same host that the same command was
    given to, and of which not all is known here.
    """

    asked: Asked
    overwrite: bool
    hashes: tuple[str | None, ...]
    there: tuple[Mapping[str, Any], ...] = ()
    before: str | None = None

    @property
    def complete(self) -> bool:
        """Whether there is nothing to make."""
        return len(self.there) == self.asked.request.total

    def tell(self, watch: Callable[[Event], None]) -> None:
        """Says what is left out: ``there(count, total)``, and a notice about ``before``."""
        if self.there and not self.complete:
            watch(Event("there", {"count": len(self.there), "total": self.asked.request.total}))
        if self.before and not self.complete:
            message = (
                f"Job {self.before} is of the same command. If it still runs: sdops attach {self.before}"
            )
            watch(Event("notice", {"code": "job-before", "message": message}))


def plan(asked: Asked, out: Path, host: str, overwrite: bool, force: bool) -> Plan:
    """Decides what of a job is made, and from which seed.

    What the manifest of ``out`` knows and what is there unchanged is skipped. A seed that was drawn for the
    same job there is taken again; so is its batch, on which the bytes of pictures depend. force: nothing of
    that; what the manifest knows is made anew and replaced, other files are not. Raises SdopsError.
    """
    written = manifest.read(out)
    hashes = digests(asked.sources)
    same = [job for job in written.jobs if _is_same(job, asked, hashes, out, written)]
    drawn = [job for job in same if job.drawn]
    if asked.drawn and drawn and not force:
        asked = _with(asked, settings=replace(asked.request.settings, seed=drawn[-1].seed))
    same = [job for job in same if job.seed == asked.request.settings.seed]
    written = _with_orphans(written, same, asked.request, hashes, out)
    if force:
        return Plan(asked, _may_replace(asked.request, out, written, overwrite), hashes)
    request = asked.request
    there = tuple(_there(request, hashes, out, written))
    on_host = [job for job in same if job.host == host]
    batch, first = _batch(on_host, written)
    asked = _with(asked, batch=batch, first=first)
    if there and len(there) < request.total:
        asked = _with(asked, skip=tuple(one["index"] for one in there))
    return Plan(asked, overwrite, hashes, there, _unfinished(on_host, written, there, request.total))


def digest(source: Path) -> str | None:
    """The SHA-256 of a file's bytes, hex; None where it cannot be read."""
    from sdops_runtime.images import open_file  # which brings Pillow along

    found = hashlib.sha256()
    try:
        with open_file(source) as stream:
            while piece := stream.read(_PIECE):
                found.update(piece)
    except (SdopsError, OSError):
        return None
    return found.hexdigest()


def digests(sources: Sequence[Path]) -> tuple[str | None, ...]:
    """The ``digest`` of each, of the same ones once."""
    known = {source: digest(source) for source in dict.fromkeys(sources)}
    return tuple(known[source] for source in sources)


def _with(asked: Asked, **changes: Any) -> Asked:
    return replace(asked, request=replace(asked.request, **changes))


def _is_same(job: Begun, asked: Asked, hashes: Sequence[str | None], out: Path, written: Manifest) -> bool:
    """Whether a job was of the same inputs, prompts and settings; the seed may be another.

    An input of which that job made no picture is the same if its path is: it may have been mended.
    """
    request = asked.request
    theirs, ours = (
        (job.prompts, job.images, job.sweep),
        (request.prompts, request.settings.images, request.sweep),
    )
    if theirs != ours:
        return False
    if job.settings != manifest.common(request.settings) or len(job.inputs) != len(asked.sources):
        return False
    each = len(job.prompts) * job.images
    fruitful = {
        item.index // each % len(job.inputs)
        for item in written.items
        if item.run == job.run and item.output is not None
    }
    for number, (before, source) in enumerate(zip(job.inputs, asked.sources, strict=True)):
        if before.sha256 is not None and before.sha256 == hashes[number]:
            continue
        if number in fruitful or before.path != manifest.shorten(source, out):
            return False
    return True


def _there(
    request: JobRequest, hashes: Sequence[str | None], out: Path, written: Manifest
) -> Iterator[Mapping[str, Any]]:
    """The pictures of a job that are in the folder as they were made."""
    known = {_key(item.input.sha256, item.prompt, item.seed, item.settings): item for item in written.items}
    for wanted in request.items():
        settings, prompt = manifest.common(request.at(wanted.cell)), request.prompts[wanted.prompt]
        found = known.get(_key(hashes[wanted.input], prompt, wanted.seed, settings))
        if found is None or found.output is None or found.input.sha256 is None:
            continue
        if digest(out / found.output.name) == found.output.sha256:
            yield {**vars(found.output), **vars(wanted)}


def _key(sha256: str | None, prompt: str, seed: int, settings: Mapping[str, Any]) -> object:
    return sha256, prompt, seed, frozenset(settings.items())


def _batch(same: Sequence[Begun], written: Manifest) -> tuple[int | None, int]:
    """The batch that the last of these jobs was made in, None if nobody knows, and where in it that began."""
    for job in reversed(same):
        for item in reversed(written.items):
            if item.run == job.run and item.batch:
                return item.batch, item.first % item.batch
        if job.batch is not None:
            return job.batch, 0
    return None, 0


def _unfinished(
    same: Sequence[Begun], written: Manifest, there: Sequence[Mapping[str, Any]], total: int
) -> str | None:
    """The name of the last of these jobs, if a host has it and not all that came of it is known."""
    if not same or same[-1].job is None:
        return None
    known = {item.index for item in written.items if item.run == same[-1].run}
    return None if len(known.union(one["index"] for one in there)) == total else same[-1].job


def _may_replace(request: JobRequest, out: Path, written: Manifest, overwrite: bool) -> bool:
    """True, or SdopsError("output-exists") for a file in the way that the manifest does not know."""
    ours = {item.output.name for item in written.items if item.output is not None}
    names = (name_of(request, item) for item in request.items())
    stranger = next((name for name in names if name not in ours and (out / name).exists()), None)
    if stranger is not None and not overwrite:
        raise SdopsError(
            "output-exists",
            f"{out / stranger} is there already, and was not made by this command.",
            "Use another --seed or --out, or --overwrite to replace.",
        )
    return True


def _with_orphans(
    written: Manifest, same: Sequence[Begun], request: JobRequest, hashes: Sequence[str | None], out: Path
) -> Manifest:
    """The manifest with the pictures that were saved right before a crash, which came before their lines.

    Only where the same job was begun, with the same seed. They are added to the file, too.
    """
    if not same:
        return written
    listed = {item.output.name for item in written.items if item.output is not None}
    found = []
    for wanted in request.items():
        name = name_of(request, wanted)
        if name not in listed and (out / name).exists():
            orphan = _orphan(same[-1], wanted, request, hashes[wanted.input], out / name)
            found += [orphan] if orphan else []
    if found:
        manifest.append(out, *found)
    return replace(written, items=(*written.items, *found))


def _orphan(job: Begun, wanted: Wanted, request: JobRequest, sha256: str | None, path: Path) -> Item | None:
    """The item that the picture in ``path`` is, if its record says that it is that one."""
    from sdops_runtime.png import read_record  # which brings Pillow along

    settings, prompt = request.at(wanted.cell), request.prompts[wanted.prompt]
    try:
        record = read_record(path)
    except SdopsError:
        return None
    told = (record.index, record.seed, record.input_sha256, record.prompt, record.negative_prompt)
    if told != (wanted.index, wanted.seed, sha256, prompt, settings.negative_prompt):
        return None
    told_settings = (record.strength, record.steps, record.guidance, record.width, record.background)
    if told_settings != (
        settings.strength,
        settings.steps,
        settings.guidance,
        settings.width,
        settings.background,
    ):
        return None
    bytes_of = digest(path)
    if bytes_of is None:
        return None
    return Item(
        run=job.run,
        job=job.job,
        host=job.host,
        time=manifest.now(),
        index=wanted.index,
        input=Input(job.inputs[wanted.input].path, sha256),
        prompt=prompt,
        seed=wanted.seed,
        settings=manifest.common(settings),
        batch=record.batch,
        engine={name: getattr(record, name) for name in ("model", "revision", "stack", "device", "dtype")},
        output=Output(
            path.name,
            bytes_of,
            record.width,
            record.height,
            None,
            record.flagged,
            record.retried_float32,
        ),
        failure=None,
        first=0 if record.slot is None else (record.slot - wanted.index) % max(record.batch, 1),
    )
