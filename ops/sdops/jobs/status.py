"""How several hosts are right now, asked for at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdops.errors import SdopsError
from sdops.jobs.place import Place, each


@dataclass(frozen=True)
class State:
    """How a host is (``sdops_runtime.status``), or why that is not known."""

    host: str
    told: Mapping[str, Any] | None = None
    error: SdopsError | None = None


def look(found: Sequence[Place]) -> list[State]:
    """How each of the hosts is."""

    def ask(place: Place) -> State:
        with place.conversation() as one:
            one.hello()
            return State(place.name, one.ask("status", "status").data)

    answers = each(found, ask)
    return [
        State(place.name, error=one) if isinstance(one, SdopsError) else one
        for place, one in zip(found, answers, strict=True)
    ]
