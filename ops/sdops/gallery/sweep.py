"""Finds sweeps among pictures: the same but for strength and guidance, as rows and columns. No I/O here."""

from collections.abc import Sequence
from dataclasses import dataclass

from sdops.gallery.collect import Picture


@dataclass(frozen=True)
class Sweep:
    """Pictures of one input, prompt and seed. strengths: of the rows, rising; guidances: of the columns.

    cells: by row, then column, the number of a picture; None for one that is not there.
    """

    strengths: tuple[float, ...]
    guidances: tuple[float, ...]
    cells: tuple[tuple[int | None, ...], ...]


def sweeps(pictures: Sequence[Picture]) -> tuple[Sweep, ...]:
    """The sweeps among pictures, in the order of their first ones; of equal pictures the last one counts."""
    groups: dict[object, dict[tuple[float, float], int]] = {}
    for number, picture in enumerate(pictures):
        record = picture.record
        same = (
            record.input_sha256,
            record.prompt,
            record.negative_prompt,
            record.seed,
            record.steps,
            record.model,
            record.revision,
            record.width,
            record.height,
            record.background,
        )
        groups.setdefault(same, {})[record.strength, record.guidance] = number
    found = []
    for group in groups.values():
        if len(group) > 1:
            rows = tuple(sorted({strength for strength, _ in group}))
            columns = tuple(sorted({guidance for _, guidance in group}))
            cells = tuple(tuple(group.get((row, column)) for column in columns) for row in rows)
            found.append(Sweep(rows, columns, cells))
    return tuple(found)
