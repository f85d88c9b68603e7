"""Conversations with a host, the first of which begins before it is needed."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from sdops.desk import Conversation
from sdops.errors import SdopsError
from sdops.jobs.place import Place

#: Seconds for which one that has begun is good: a desk that is told nothing takes its client for gone, after
#: 120 s (SILENCE of the runtime's desk).
FRESH = 60.0


class Begun:
    """Begins one at once, while this side has other things to do: to log in over a slow line and to start a
    Python there takes 0.7 s. What goes wrong is told to whoever wants the conversation.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._first: _First | None = _First(place)

    def __enter__(self) -> "Begun":
        return self

    def __exit__(self, *_: object) -> None:
        if self._first:
            self._first.end()

    @contextmanager
    def conversation(self) -> Iterator[Conversation]:
        """The one that has begun, or a new one; ended behind this. Raises SdopsError."""
        first, self._first = self._first, None
        if first:
            try:
                if one := first.wait():
                    yield one
                    return
            finally:
                first.end()
        with self.place.conversation() as new:
            yield new


class _First:
    """One conversation that begins by itself."""

    def __init__(self, place: Place) -> None:
        self._whole: AbstractContextManager[Conversation] = place.conversation()
        self._one: Conversation | None = None
        self._error: SdopsError | None = None
        self._wanted, self._since = True, 0.0
        self._lock, self._done = threading.Lock(), threading.Event()
        threading.Thread(target=self._begin, daemon=True).start()

    def wait(self) -> Conversation | None:
        """The conversation; None if it has become too old, or something unexpected happened."""
        # In pieces, so that Ctrl-C is heard.
        while not self._done.wait(0.5):
            pass
        if self._error:
            raise self._error
        return self._one if time.monotonic() - self._since < FRESH else None

    def end(self) -> None:
        """Ends it, now or as soon as it has begun; never raises, and may be called again."""
        with self._lock:
            wanted, self._wanted = self._wanted, False
            if wanted and self._one:
                self._whole.__exit__(None, None, None)

    def _begin(self) -> None:
        try:
            one = self._whole.__enter__()
            with self._lock:
                self._one = one
                if not self._wanted:
                    self._whole.__exit__(None, None, None)
                    return
            one.hello()
            self._since = time.monotonic()
        except SdopsError as error:
            self._error = error
        finally:
            self._done.set()
