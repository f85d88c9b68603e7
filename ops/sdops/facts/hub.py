"""Whether the model hub can be reached from the host. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Hub:
    """Whether the model hub can be reached from the host."""


def parse(output: Output, wanted: Wanted) -> Hub:
    """The facts in what the probe printed."""
    return Hub()


PROBE = Probe("hub", 20, parse)
