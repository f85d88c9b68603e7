"""Pieces of a job: some of its pictures, as a request of their own that needs nothing of the others.

A piece consists of whole batches, so that a picture has the same neighbours and the same slot, and with them
the same bytes, wherever it is made. No I/O here.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from sdops_runtime.chunks import Slots
from sdops_runtime.protocol import Item, JobRequest


@dataclass(frozen=True)
class Piece(JobRequest):
    """A request for some pictures of a job, by the numbers that they have in it. chosen: those."""

    chosen: tuple[Item, ...] = ()

    @property
    def total(self) -> int:
        """How many pictures the piece has."""
        return len(self.chosen)

    @property
    def partial(self) -> bool:
        """Always."""
        return True

    def items(self) -> tuple[Item, ...]:
        """The piece's pictures; input and prompt are the piece's own, all else is the job's."""
        return self.chosen


@dataclass(frozen=True)
class Cut:
    """A piece in the form in which it travels. sources: numbers of the inputs that go along, in order."""

    items: tuple[Item, ...]
    text: str
    sources: tuple[int, ...]


def windows(items: Sequence[Item], slots: Slots, left: set[int]) -> list[tuple[Item, ...]]:
    """The batches of a job, in order, without what is not left to be made."""
    found: dict[int, list[Item]] = {}
    for item in items:
        if item.index in left:
            found.setdefault(slots.window(item.index), []).append(item)
    return [tuple(members) for members in found.values()]


def cut(request: JobRequest, items: Iterable[Item], slots: Slots) -> Cut:
    """A piece with these pictures of a job."""
    chosen = tuple(items)
    inputs = sorted({item.input for item in chosen})
    prompts = sorted({item.prompt for item in chosen})
    part = replace(
        request,
        inputs=tuple(request.inputs[number] for number in inputs),
        prompts=tuple(request.prompts[number] for number in prompts),
        prepared=None if request.prepared is None else tuple(request.prepared[number] for number in inputs),
        skip=(),
        batch=slots.batch,
        first=slots.first,
        compiled=False,  # it would have to pay for each member, and the pictures be alike from all of them
    )
    here = [
        [item.index, inputs.index(item.input), prompts.index(item.prompt), item.seed, item.cell]
        for item in chosen
    ]
    return Cut(chosen, json.dumps({"request": part.to_json(), "items": here}), tuple(inputs))


def read(text: str) -> Piece:
    """The piece in the text of a ``Cut``. Raises SdopsError("request-invalid")."""
    data = json.loads(text)
    part = JobRequest.from_json(data["request"])
    values = {entry.name: getattr(part, entry.name) for entry in fields(JobRequest)}
    return Piece(**values, chosen=tuple(Item(*numbers) for numbers in data["items"]))
