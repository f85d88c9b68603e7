"""Whether the hub's access token is there, whose it is and who may read it; never the token. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Token:
    """Whether the hub's access token is there, whose it is and who may read it; never the token."""


def parse(output: Output, wanted: Wanted) -> Token:
    """The facts in what the probe printed."""
    return Token()


PROBE = Probe("token", 20, parse)
