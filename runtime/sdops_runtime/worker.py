"""The resident worker: runs the jobs of a queue one after the other and keeps the model loaded between them.

Whatever ends it, a job goes on with the first picture that is missing when a worker is there again.
Told to stop it finishes the picture in hand. Knows no command line.
"""

import contextlib
import dataclasses
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable

from sdops_runtime import course, dialect, job, room
from sdops_runtime.company import Company
from sdops_runtime.course import PausedError, Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import membership, sharing
from sdops_runtime.fleet.membership import Membership
from sdops_runtime.jobfolder import Job, Journal
from sdops_runtime.protocol import Event
from sdops_runtime.queue import Queue
from sdops_runtime.warm import Warm

#: Seconds between two looks at whether the job that runs was cancelled.
PAUSE = 0.5
#: Seconds between two looks at the queue without ``Queue.ring``, which may be lost with the power.
LOOK = 2.0
#: Seconds between two attempts while the disk is full or the queue cannot be written.
RETRY = 30.0

_LOG = logging.getLogger(__name__)


class UnwrittenError(PausedError):
    """An event could not be written: the job goes on from the last one that was."""


class Worker:
    """Serves a queue until it is told to stop.

    wanted: auto, cuda or cpu. idle: seconds without a job after which the model's memory is given back.
    leave: whether it ends then, too. loaded: told of each model that was loaded, with its name.
    """

    def __init__(
        self,
        queue: Queue,
        wanted: str = "auto",
        idle: float = 600.0,
        leave: bool = False,
        loaded: Callable[[Any, str], None] = lambda engine, model: None,
    ) -> None:
        self._queue, self._wanted, self._idle, self._leave = queue, wanted, idle, leave

        def tell(engine: Any, model: str) -> None:
            room.write(queue.root, engine, model)
            loaded(engine, model)

        self._warm = Warm(tell, lambda: room.forget(queue.root))
        self._stop = threading.Event()

    def stop(self) -> None:
        """Has it end after the picture in hand. May be called by a signal's handler."""
        self._stop.set()
        self._queue.ring()

    def serve(self, ready: Callable[[], None] = lambda: None) -> None:
        """Runs jobs until ``stop``. ready: called when it has begun. Raises SdopsError("worker-running")."""
        self._work(ready)
        # Whoever gave it a job just then found it here, and started no other.
        while self._leave and not self._stop.is_set() and self._queue.waiting() and not self._queue.served():
            self._work(ready)

    def _work(self, ready: Callable[[], None]) -> None:
        with self._queue.serving(), self._queue.listening() as wait:
            room.forget(self._queue.root)  # of one that was killed
            # Nobody waits for it: whoever needs the libraries first, waits for the rest.
            threading.Thread(target=_import, name="sdops-import").start()
            ready()
            notify("READY=1")
            last = time.monotonic()
            while not self._stop.is_set():
                try:
                    self._queue.wait_again()
                    claimed = self._queue.claim()
                    if claimed is not None:
                        self._serve(claimed)
                        last = time.monotonic()
                        continue
                except (SdopsError, OSError) as error:
                    # The disk is full, most likely. The job waits; what was made is safe.
                    notify(f"STATUS=Waiting: {error}")
                    _LOG.warning("%s", error)
                    self._stop.wait(RETRY)
                    continue
                if time.monotonic() - last > self._idle:
                    self._warm.drop()
                    if self._leave:
                        break
                notify("STATUS=Ready, with a model" if self._warm.holds else "STATUS=Ready")
                wait(min(LOOK, self._idle))
            notify("STOPPING=1")

    def _serve(self, claimed: Job) -> None:
        earlier = claimed.events()
        ended = [event.kind for event in earlier if event.terminal]
        if ended:  # killed between the last event and the change of state
            self._queue.leave(claimed, ended[0])
            return
        notify(f"STATUS=Making pictures of job {claimed.id}")
        for left in claimed.out.glob(".*.part"):  # of a worker that was killed while it saved
            left.unlink()
        journal = Journal(claimed)
        try:
            state = self._run(claimed, earlier, journal)
        finally:
            journal.close()
        self._queue.leave(claimed, state)
        if state == "failed":
            self._warm.drop()  # whatever it was, it does not meet the next job

    def _run(self, claimed: Job, earlier: list[Event], journal: Journal) -> str:
        """Runs a job, or goes on with it; returns the state that it is left in."""
        looked = -PAUSE
        planned = False

        def emit(event: Event) -> None:
            nonlocal looked, planned
            planned = planned or event.kind == "planned"
            if planned and event.kind == "failed" and event.data["code"] == "disk-full":
                # No end of a job that has begun: it goes on when there is space.
                raise UnwrittenError(event.data["message"])
            try:
                journal.append(event)
            except OSError as error:
                raise UnwrittenError(str(error)) from error
            if not event.terminal:
                look()

        def look() -> None:
            nonlocal looked
            now = time.monotonic()
            if now - looked >= PAUSE:
                looked = now
                if self._queue.wants_cancelling(claimed):
                    raise KeyboardInterrupt

        try:
            request = claimed.request()
        except SdopsError as error:
            told = {"code": error.code, "message": error.message, "hint": error.hint}
            journal.append(Event("failed", {**_NOTHING, **told}))
            return "failed"
        for event in earlier:
            if event.kind == "loaded":  # what decides on bytes is chosen once
                chosen = {"batch": event.data["batch"], "first": event.data.get("first", 0)}
                request = dataclasses.replace(request, **chosen, compiled=event.data.get("compiled"))
        place = Place(claimed.out, self._wanted, overwrite=True)
        mine = membership.read()
        try:
            if mine is not None:
                self._warm.drop()  # the GPU is the fleet's
                share = _share(mine, claimed, look, self._stop.is_set)
                return course.run(request, claimed.inputs(request), place, emit, share, earlier).kind
            return job.run(
                request,
                claimed.inputs(request),
                place,
                emit,
                earlier=earlier,
                loader=self._warm.load,
                paused=self._stop.is_set,
                company=Company(self._queue, claimed, request),
            ).kind
        except UnwrittenError as error:
            raise OSError(str(error)) from error
        except PausedError:
            return "queued"


def _share(
    mine: Membership, claimed: Job, look: Callable[[], None], paused: Callable[[], bool]
) -> sharing.Sharing:
    """Shares a job out: over the whole fleet at its head, over the host's own GPUs elsewhere."""
    from sdops_runtime.fleet import dask_engine

    def usable(name: str) -> bool:
        return mine.head or name.rpartition("/")[0] == mine.name

    return sharing.Sharing(dask_engine.crew(mine), claimed.id, usable, look, paused)


def _import() -> None:
    """Imports the libraries ahead of the first job, which says it if that fails."""
    with contextlib.suppress(SdopsError):
        if membership.read() is None:
            dialect.libraries()


_NOTHING: Mapping[str, Any] = {"images": 0, "failed": 0, "flagged": 0, "missing": [], "seconds": 0.0}


def notify(text: str) -> None:
    """Tells systemd, where it has started this; see sd_notify(3)."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if place[:1] not in ("/", "@"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
        try:
            pipe.connect("\0" + place[1:] if place[0] == "@" else place)
            pipe.send(text.encode())
        except OSError as error:
            _LOG.debug("systemd cannot be told: %s", error)
