"""Which models are on the host's disk, and whether they are complete. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Cache:
    """Which models are on the host's disk, and whether they are complete."""


def parse(output: Output, wanted: Wanted) -> Cache:
    """The facts in what the probe printed."""
    return Cache()


PROBE = Probe("cache", 20, parse)
