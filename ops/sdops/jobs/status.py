"""How several hosts are right now, asked for at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdops.desk import Conversation
from sdops.errors import SdopsError
from sdops.jobs.lookout import Lookout
from sdops.jobs.place import Place, each


@dataclass(frozen=True)
class State:
    """How a host is (``sdops_runtime.status``), or why that is not known; neither before it has answered.

    age: seconds since it said so, or since it was asked.
    """

    host: str
    told: Mapping[str, Any] | None = None
    error: SdopsError | None = None
    age: float = 0.0


def look(found: Sequence[Place]) -> list[State]:
    """How each of the hosts is."""

    def call(place: Place) -> Mapping[str, Any]:
        with place.conversation() as one:
            return _ask(place, one)

    return [_state(place, one) for place, one in zip(found, each(found, call), strict=True)]


def lookout(found: Sequence[Place]) -> Lookout[Mapping[str, Any]]:
    """Asks them again and again; see ``states``."""
    return Lookout(found, _ask)


def states(there: Lookout[Mapping[str, Any]]) -> list[State]:
    """How each of the hosts is, as far as that is known."""
    return [_state(*one) for one in there.seen()]


def _ask(place: Place, one: Conversation) -> Mapping[str, Any]:
    one.hello()
    return one.ask("status", "status").data


def _state(place: Place, answer: Mapping[str, Any] | SdopsError | None, age: float = 0.0) -> State:
    if isinstance(answer, SdopsError):
        return State(place.name, error=answer, age=age)
    return State(place.name, answer, age=age)
