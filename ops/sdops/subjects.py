"""Whom doctor examines: hosts of the inventory, this machine, stored facts, or a pasted output."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sdops.facts.host import HostFacts

Waiting = Callable[[int, bool], AbstractContextManager[None]]


def gather(
    names: Sequence[str],
    inventory: Sequence[Path],
    quick: bool,
    stored: Path | None,
    pasted: Path | None,
    waiting: Waiting,
    quiet: bool,
) -> tuple[HostFacts, ...]:
    """The facts of all that was named; of all hosts of the inventory where nothing was."""
    raise NotImplementedError
