"""The batches of a job that are left to hand out, and what became of them so far. No I/O here.

A batch that was failed at goes out alone from then on, so that it is known whose fault it is.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from sdops_runtime.chunks import Slots
from sdops_runtime.fleet import piece
from sdops_runtime.protocol import Item

Batch = tuple[Item, ...]


@dataclass
class Past:
    """What became of a batch so far.

    tried: the members that failed at it alone; failures: how often they did. ended: members that ended over
    it, and failures of nobody knows whom. avoid: who failed at a piece that it was part of.
    """

    tried: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()
    failures: int = 0
    ended: int = 0


class Stock:
    """The batches that are left, in the order in which they go out."""

    def __init__(self) -> None:
        self._slots: Optional[Slots] = None
        self._left: deque[Batch] = deque()
        self._pasts: dict[int, Past] = {}

    def fill(self, items: Iterable[Item], slots: Slots, left: set[int]) -> None:
        """Begins anew with what is left of a job. slots: the same each time."""
        self._slots = slots
        self._left = deque(piece.windows(tuple(items), slots, left))

    def __len__(self) -> int:
        return len(self._left)

    def past(self, batch: Batch) -> Past:
        """Of a batch, whichever of its pictures are left; to be changed."""
        return self._pasts.setdefault(self._number(batch), Past())

    def batches(self, items: Batch, left: set[int]) -> list[Batch]:
        """The batches of a piece, without what is not left."""
        assert self._slots is not None
        return piece.windows(items, self._slots, left)

    def first(self) -> tuple[Batch, Optional[Past]]:
        """The next batch, and what became of it so far; with a past it goes out alone."""
        return self._left[0], self._pasts.get(self._number(self._left[0]))

    def take(self) -> Batch:
        """The next batch, which is not left any more."""
        return self._left.popleft()

    def back(self, batches: Iterable[Batch]) -> None:
        """Has batches again, as the next ones."""
        self._left.extendleft(reversed(list(batches)))

    def _number(self, batch: Batch) -> int:
        assert self._slots is not None
        return self._slots.window(batch[0].index)
