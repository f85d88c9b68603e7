"""The jobs of several hosts, asked for at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdops.errors import SdopsError
from sdops.jobs.place import Place, each


@dataclass(frozen=True)
class Listed:
    """A host's jobs, the oldest first, or why they are not known. left: how many older ones there are."""

    host: str
    jobs: tuple[Mapping[str, Any], ...] = ()
    left: int = 0
    serving: bool = False
    error: SdopsError | None = None


def look(found: Sequence[Place], most: int) -> list[Listed]:
    """The newest jobs of each host."""

    def ask(place: Place) -> Listed:
        with place.conversation() as one:
            serving = bool(one.hello().data.get("serving"))
            one.say("jobs", most=most)
            jobs = []
            while (message := one.hear("job", "listed")).kind == "job":
                jobs.append(message.data)
            return Listed(place.name, tuple(jobs), int(message.data["left"]), serving)

    answers = each(found, ask)
    return [
        Listed(place.name, error=one) if isinstance(one, SdopsError) else one
        for place, one in zip(found, answers, strict=True)
    ]
