"""The deployed runtime, its service and its queue. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Runtime:
    """The deployed runtime, its service and its queue."""


def parse(output: Output, wanted: Wanted) -> Runtime:
    """The facts in what the probe printed."""
    return Runtime()


PROBE = Probe("runtime", 20, parse)
