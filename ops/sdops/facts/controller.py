"""This side of the connection: what the person's own machine has for it. No I/O here but in ``look``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Controller:
    """The machine that sdops is typed on."""
