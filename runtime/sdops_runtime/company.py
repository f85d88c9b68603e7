"""Lets waiting jobs of equal settings use the slots that the last batch of a job leaves free.

A guest is claimed and told what it runs with. When that batch is done it has ended, if that was all of it, or
waits again, to go on at its next picture as after any other interruption. Its pictures stand behind the last
one of its host, and the slot of its first picture is recorded with the batch's size, since both decide on
bytes. So jobs of equal settings follow each other without a gap, however few pictures each of them wants.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

from sdops_runtime import job, memory
from sdops_runtime.chunks import Chunk, Slots, cut
from sdops_runtime.course import Place, Tally
from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Inputs, Ready
from sdops_runtime.jobfolder import Job, Journal
from sdops_runtime.maker import Maker, Part
from sdops_runtime.outbox import Outbox
from sdops_runtime.outputs import check_outputs
from sdops_runtime.pipeline import Picture
from sdops_runtime.protocol import Event, JobRequest
from sdops_runtime.queue import Queue

#: Settings that may differ between pictures of one batch.
_FREE = ("seed", "images", "background", "width", "height")

#: More waiting pictures than this do not change the choice of a batch size.
_MANY = max(memory.LARGEST_BATCH, job.CPU_BATCH**2)

_LOG = logging.getLogger(__name__)


class Company:
    """The jobs that wait behind one that runs, the host, and may be its guests."""

    def __init__(self, queue: Queue, host: Job, request: JobRequest) -> None:
        self._queue, self._host, self._wanted = queue, host, _kind(request)

    def crowd(self, size: tuple[int, int]) -> int:
        """How many pictures of a size they want, as far as it matters."""
        found = 0
        for one, request in self._waiting():
            if found >= _MANY:
                break
            first = Inputs(request, one.inputs(request)).open(request.needed[0])
            if isinstance(first, Ready) and first.image.size == size:
                found += request.wanted
        return found

    @contextlib.contextmanager
    def beside(
        self, chunk: Chunk, engine: Any, about: Mapping[str, Any], slots: Slots, total: int
    ) -> Iterator[Sequence[Part]]:
        """Guests for the slots behind picture ``total - 1``, if the chunk is of that one's batch."""
        guests: list[Guest] = []
        free = slots.of(total - 1) + 1
        try:
            if chunk.window == slots.window(total - 1) and free < slots.batch:
                guests = self._invite(chunk.inputs[0].image.size, engine, about, slots.batch, free)
            yield [(guest, guest.chunk) for guest in guests]
        finally:
            for guest in guests:
                guest.leave()

    def _invite(
        self, size: tuple[int, int], engine: Any, about: Mapping[str, Any], batch: int, free: int
    ) -> list["Guest"]:
        guests: list[Guest] = []
        for one, request in self._waiting():
            if free == batch:
                break
            slots = Slots(batch, free)
            request = dataclasses.replace(request, batch=batch, first=free)
            inputs = Inputs(request, one.inputs(request))
            items = request.items()[: batch - free]
            left = {item.index for item in items}.difference(request.skip)
            chunk = next(cut(items, inputs, slots, left), None)
            if chunk is None or chunk.failure is not None or chunk.inputs[0].image.size != size:
                continue
            with contextlib.suppress(SdopsError, OSError):  # it is left alone, then
                check_outputs(request, one.out, overwrite=True)
                guest = Guest(self._queue, one, request, about, slots, chunk)
                if guest.come(engine, inputs):
                    guests.append(guest)
                    free += len(items)
        return guests

    def _waiting(self) -> Iterator[tuple[Job, JobRequest]]:
        """Jobs of the same kind that wait and have not begun, in their order."""
        with contextlib.suppress(SdopsError, OSError):
            for one in self._queue.jobs():
                if one.state == "queued" and one.id != self._host.id and not one.cancel:
                    with contextlib.suppress(SdopsError):
                        request = one.request()
                        if _kind(request) == self._wanted and _is_new(one, request):
                            yield one, request


class Guest(Maker):
    """A waiting job, some of whose pictures are made along with another's. What fails in it stays in it."""

    def __init__(
        self,
        queue: Queue,
        one: Job,
        request: JobRequest,
        about: Mapping[str, Any],
        slots: Slots,
        chunk: Chunk,
    ) -> None:
        self._queue, self._job, self.chunk, self._gone = queue, one, chunk, False
        self._journal: Optional[Journal] = None
        self._tally = Tally(request, self._write)
        place = Place(one.out, overwrite=True)
        super().__init__(request, place, about, slots, Outbox(self._tally.emit))

    def come(self, engine: Any, inputs: Inputs) -> bool:
        """Claims the job and tells what it runs with; False if it does not wait any more."""
        if self._queue.claim(self._job.id) is None:
            self.outbox.close()
            return False
        self._safely(lambda: self._announce(engine, inputs))
        if self._gone:
            self.leave()
        return not self._gone

    def _announce(self, engine: Any, inputs: Inputs) -> None:
        self._journal = Journal(self._job)
        self._write(Event("loading", {"model": self._request.settings.model}))
        job.announce(self._request, engine, self._about, self._slots, self._write, 0.0)
        inputs.tell(self._write)

    def step(self, chunk: Chunk, done: int, of: int) -> None:
        """As ``Maker.step``; raises nothing."""
        self._safely(lambda: super(Guest, self).step(chunk, done, of))

    def notice(self, code: str, message: str) -> None:
        """As ``Maker.notice``; raises nothing."""
        self._safely(lambda: super(Guest, self).notice(code, message))

    def keep(self, chunk: Chunk, pictures: Sequence[Picture], seconds: float) -> None:
        """As ``Maker.keep``; raises nothing."""
        self._safely(lambda: super(Guest, self).keep(chunk, pictures, seconds))

    def leave(self) -> None:
        """Tells of what is saved. The job has ended if that was all; else it waits, at its old place."""
        self._safely(lambda: self.outbox.flush(wait=True))
        self.outbox.close()
        state = "queued"
        if not (self._gone or self._tally.left or self._queue.wants_cancelling(self._job)):
            self._safely(lambda: self._write(Event("done", self._tally.summary())))
            state = "queued" if self._gone else "done"
        if self._journal is not None:
            self._journal.close()
        # If the queue cannot be written now: it waits again as soon as the worker looks for jobs.
        with contextlib.suppress(SdopsError, OSError):
            self._queue.leave(self._job, state)

    def _write(self, event: Event) -> None:
        assert self._journal is not None
        self._journal.append(event)

    def _safely(self, act: Callable[[], None]) -> None:
        if self._gone:
            return
        try:
            act()
        except (SdopsError, OSError):
            _LOG.debug("job %s is no guest any more", self._job.id, exc_info=True)
            self._gone = True


def _kind(request: JobRequest) -> object:
    """What has to be equal for pictures to be made in one batch, but for their size; a sweep is alone."""
    if request.sweep:
        return object()
    settings = request.settings
    kind = dataclasses.asdict(dataclasses.replace(settings, revision=settings.wanted_revision))
    return {name: value for name, value in kind.items() if name not in _FREE}


def _is_new(one: Job, request: JobRequest) -> bool:
    """Whether nothing has been told of a job, nor its place been chosen."""
    return request.batch is None and not request.first and not any(True for _ in one.follow(0))
