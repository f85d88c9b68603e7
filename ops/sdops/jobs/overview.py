"""The jobs of several hosts, asked for at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sdops.desk import Conversation
from sdops.errors import SdopsError
from sdops.jobs.lookout import Lookout
from sdops.jobs.place import Place, each


@dataclass(frozen=True)
class Listed:
    """A host's jobs, the oldest first, or why they are not known. left: how many older ones there are.

    answered: whether it has, or is known not to. age: seconds since it did, or since it was asked.
    """

    host: str
    jobs: tuple[Mapping[str, Any], ...] = ()
    left: int = 0
    serving: bool = False
    error: SdopsError | None = None
    answered: bool = True
    age: float = 0.0


def look(found: Sequence[Place], most: int) -> list[Listed]:
    """The newest jobs of each host."""

    def call(place: Place) -> Listed:
        with place.conversation() as one:
            return _ask(most, place, one)

    return [_listed(place, one) for place, one in zip(found, each(found, call), strict=True)]


def lookout(found: Sequence[Place], most: int) -> Lookout[Listed]:
    """Asks for them again and again; see ``listings``."""
    return Lookout(found, partial(_ask, most))


def listings(there: Lookout[Listed]) -> list[Listed]:
    """The newest jobs of each host, as far as they are known."""
    return [_listed(*one) for one in there.seen()]


def _ask(most: int, place: Place, one: Conversation) -> Listed:
    serving = one.hello().data.get("serving")
    one.say("jobs", most=most)
    jobs = []
    while (message := one.hear("job", "listed")).kind == "job":
        jobs.append(message.data)
    # A runtime of before says it at the beginning of a conversation only.
    serving = message.data.get("serving", serving)
    return Listed(place.name, tuple(jobs), int(message.data["left"]), bool(serving))


def _listed(place: Place, answer: Listed | SdopsError | None, age: float = 0.0) -> Listed:
    if isinstance(answer, Listed):
        return replace(answer, age=age)
    return Listed(place.name, error=answer, answered=answer is not None, age=age)
