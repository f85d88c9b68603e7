"""Cuts a job into chunks that are made together, and prepares the next chunk while one is made.

The cut decides on bytes: a picture's slot in its batch follows from its number in the job alone, so that its
bytes do not change when others fail, were made before, or are made elsewhere. No events here.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Inputs, Ready
from sdops_runtime.protocol import Item, JobRequest

#: A call of the UNet takes at least as long as this many pictures would in a large batch: an A100 makes 21.8,
#: 11.5 and 3.0 calls a second for 1, 4 and 16 pictures (diffusers' own page on speed with PyTorch 2).
LEAST_CALL = 2.2
#: So many pictures of a job decide on its batch size; the rest of a longer one is made like these.
_COUNTED = 4096


@dataclass(frozen=True)
class Slots:
    """Where a job's pictures stand in their batches; chosen once for a job, and recorded.

    batch: the fixed physical batch size. first: slot of picture 0; not 0 where the job began in the last
    batch of another one.
    """

    batch: int
    first: int = 0

    def of(self, index: int) -> int:
        """The slot of picture ``index``."""
        return (self.first + index) % self.batch

    def window(self, index: int) -> int:
        """Number of the batch that picture ``index`` belongs to."""
        return (self.first + index) // self.batch


@dataclass(frozen=True)
class Chunk:
    """Items that are made together: of one window, size and cell, or one failed input's."""

    window: int
    items: tuple[Item, ...]
    inputs: tuple[Ready, ...] = ()
    failure: Optional[SdopsError] = None


def cut(items: Sequence[Item], inputs: Inputs, slots: Slots, left: set[int]) -> Iterator[Chunk]:
    """The chunks of a job, in order. left: numbers of the pictures that are still to be made."""
    windows: dict[int, list[Item]] = {}
    for item in items:
        windows.setdefault(slots.window(item.index), []).append(item)
    for window, members in windows.items():
        alike: dict[Any, list[tuple[Item, Ready]]] = {}
        for item in members:
            if item.index not in left:
                continue
            ready = inputs.open(item.input)
            if isinstance(ready, SdopsError):
                yield Chunk(window, (item,), failure=ready)
            else:
                alike.setdefault((ready.image.size, item.cell), []).append((item, ready))
        for pairs in alike.values():
            yield Chunk(window, tuple(item for item, _ in pairs), tuple(ready for _, ready in pairs))


def kinds(
    request: JobRequest, sizes: Sequence[Optional[tuple[int, int]]]
) -> list[tuple[Optional[tuple[int, int]], int]]:
    """Of each picture that a job makes, in order, what those of its batch must have, too: size and cell.

    sizes: of each input's pictures, as ``Inputs.sizes``.
    """
    skipped = set(request.skip)
    return [
        (sizes[item.input], item.cell)
        for item in request.items()
        if sizes[item.input] is not None and item.index not in skipped
    ]


def even(kinds: Sequence[Any], most: int) -> int:
    """The batch size, of at most ``most``, that makes a job's pictures in the least time.

    kinds: as the function of that name. Slots that stay empty are computed all the same, so that the largest
    batch is not the quickest one for nine pictures, nor for many shapes.
    """
    kinds = kinds[:_COUNTED]

    def takes(batch: int) -> tuple[float, int]:
        calls = sum(len(set(kinds[start : start + batch])) for start in range(0, len(kinds), batch))
        return calls * max(LEAST_CALL, batch), calls * batch

    return min(range(most, 0, -1), key=takes)


class Ahead:
    """Takes chunks from ``cut``, one of them ahead, which a thread prepares."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sdops-open")
        self._next: Optional[Future[Optional[Chunk]]] = None

    def start(self) -> None:
        """Has the next chunk prepared, unless that is under way."""
        if self._next is None:
            self._next = self._pool.submit(next, self._chunks, None)

    def take(self) -> Optional[Chunk]:
        """The next chunk, None after the last. Waits for it, and raises what preparing it raised."""
        self.start()
        assert self._next is not None
        chunk = self._next.result()
        self._next = None
        return chunk

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown(wait=True)
