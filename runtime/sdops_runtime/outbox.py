"""Saves a job's pictures in a thread, and tells its events in the order in which they came.

While the device works on the next pictures, the last ones are compressed, written and hashed here. An event
that comes after a picture waits until that picture is on the disk, so that whoever reads the events sees the
order that there would be without a thread. It knows neither what is saved nor who reads.
"""

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Union

from sdops_runtime.protocol import Event

Emit = Callable[[Event], None]


class Outbox:
    """Events on their way, some of which wait for a picture. For one thread, which alone calls ``emit``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._queue: deque[Union[Event, Future[Event]]] = deque()
        # One thread: pictures are saved in their order, and it is many times faster than a GPU makes them.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sdops-save")
        self._broken = threading.Event()

    def tell(self, event: Event) -> None:
        """Emits an event, now or when what came before it is saved. Raises what ``flush`` raises."""
        self._queue.append(event)
        self.flush()

    def save(self, write: Callable[[], Event]) -> None:
        """Has a picture saved by ``write``, whose result is the event to tell of it."""
        self._queue.append(self._pool.submit(self._write, write))

    def flush(self, wait: bool = False) -> None:
        """Emits what may be told by now; with ``wait`` everything, once it is saved.

        Raises what ``emit`` raises, and what the first picture raised that could not be saved: none after it
        is saved or told.
        """
        while self._queue:
            first: Any = self._queue[0]
            if isinstance(first, Future):
                if not wait and not first.done():
                    return
                first = first.result()
            # Taken out first: ``emit`` may raise when it has told the event.
            self._queue.popleft()
            self._emit(first)

    def settle(self) -> None:
        """After a failure or an interrupt: tells of the pictures that are still saved, and of nothing else.

        What fails in it stays untold: there is a better reason already. A second Ctrl-C ends the waiting.
        """
        while self._queue:
            first: Any = self._queue.popleft()
            try:
                event = first.result() if isinstance(first, Future) else first
            except (Exception, KeyboardInterrupt):
                break
            if event.kind != "step":
                try:
                    self._emit(event)
                except KeyboardInterrupt:
                    continue  # the very request that led here, told once more
                except Exception:
                    break
        self._queue.clear()

    def close(self) -> None:
        """Ends the thread; nothing is written from then on."""
        self._broken.set()
        self._pool.shutdown(wait=True)

    def _write(self, write: Callable[[], Event]) -> Event:
        if self._broken.is_set():
            raise RuntimeError("one before it was not saved")
        try:
            return write()
        except BaseException:
            self._broken.set()
            raise
