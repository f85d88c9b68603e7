"""What the fleet needs of an engine that spreads work over hosts, so that another can take its place.

The engine alone decides which member does what, knows who is there, and does again what was lost with one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from sdops_runtime.errors import SdopsError

#: So many members may end over the same pictures, or one so often over the same model, before these are
#: given up: what ends one process may be chance, what ends three is not.
ENDED = 3


class LostError(Exception):
    """The engine's head is gone, and with it all that was handed to it."""


@dataclass(frozen=True)
class There:
    """A member that is there. process: another one each time it was started; busy: whether it has a task."""

    process: str
    busy: bool = False


@dataclass(frozen=True)
class Done:
    """A task that has ended, with its result or the reason why there is none."""

    ticket: int
    result: Any = None
    error: Optional[SdopsError] = None


class Crew(Protocol):
    """The members of a fleet, each with one GPU, while a job has them.

    Anything raises LostError, but for ``close``, which raises nothing.
    """

    def members(self) -> Mapping[str, There]:
        """Those that are there, by name."""

    def toll(self, ticket: int) -> int:
        """How many members have ended while they had a task, by the last look at the members."""

    def hand(self, action: str, words: tuple[Any, ...], among: Collection[str]) -> int:
        """Gives a task, a function of ``member`` and its arguments, to one of some members; its ticket."""

    def withdraw(self, ticket: int) -> None:
        """Forgets a task, and its result."""

    def next(self, seconds: float) -> Optional[Done]:
        """A task that has ended; None if none does within so many seconds."""

    def heard(self) -> list[Mapping[str, Any]]:
        """What members have told meanwhile (``member.tell``)."""

    def close(self) -> None:
        """Withdraws everything and leaves the fleet."""


def deadly(message: str) -> SdopsError:
    """The error of what has ended members, as often as they may."""
    return SdopsError("fleet-piece", message, "What they said: sdops logs --worker 50")
