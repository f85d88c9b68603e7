"""Hosts that are looked at again and again, each by a thread of its own: one that hangs holds up no other.

Prints nothing, and knows nothing of what the hosts are asked.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar

from sdops.desk import Conversation
from sdops.errors import SdopsError
from sdops.jobs.place import Place

T = TypeVar("T")

#: Seconds between an answer and the next question.
PAUSE = 2.0
#: Seconds between attempts to reach a host again: twice as long each time, up to this. A login every other
#: second would have a host shut this machine out.
LONGEST_PAUSE = 15.0
#: Seconds for connections to be closed at the end; those that hang end with the program.
LEAVE = 0.3


class Lookout(Generic[T]):
    """Asks each host over a connection that it keeps, from ``with`` on to the end of the block.

    ask: asks one host, and returns what it says; every wait in it has its end.
    """

    def __init__(self, found: Sequence[Place], ask: Callable[[Place, Conversation], T]) -> None:
        self._places, self._ask = tuple(found), ask
        self._known: list[tuple[T | SdopsError | None, float]] = [(None, time.monotonic()) for _ in found]
        self._news, self._over = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._look, args=(number,), daemon=True) for number in range(len(found))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        end = time.monotonic() + LEAVE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def seen(self) -> list[tuple[Place, T | SdopsError | None, float]]:
        """What is known of each host, and how many seconds old that is.

        An error is known until the host answers again; None, and for how long it is asked, until it answers.
        """
        now = time.monotonic()
        return [
            (place, answer, now - at)
            for place, (answer, at) in zip(self._places, list(self._known), strict=True)
        ]

    def all_known(self) -> bool:
        """Whether every host has answered, or is known not to."""
        return all(answer is not None for answer, _ in list(self._known))

    def news(self, seconds: float) -> bool:
        """Waits until something has become known, but not longer than so many seconds; whether it has."""
        there = self._news.wait(seconds)
        self._news.clear()
        return there

    def _tell(self, number: int, answer: T | SdopsError) -> None:
        self._known[number] = (answer, time.monotonic())
        self._news.set()

    def _look(self, number: int) -> None:
        place = self._places[number]
        # What stands if this thread ends in a way that nobody has thought of.
        last = SdopsError("internal-error", f"Something unexpected happened with {place.name}.")
        try:
            pause = PAUSE
            while not self._over.is_set():
                try:
                    with place.conversation() as one:
                        while not self._over.is_set():
                            self._tell(number, self._ask(place, one))
                            pause = PAUSE
                            self._over.wait(PAUSE)
                except SdopsError as error:
                    self._tell(number, error)
                    self._over.wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            if not self._over.is_set():
                self._tell(number, last)
