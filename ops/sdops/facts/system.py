"""Release, kernel, libc, clock, memory, disk and what waits for a reboot. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class System:
    """Release, kernel, libc, clock, memory, disk and what waits for a reboot."""


def parse(output: Output, wanted: Wanted) -> System:
    """The facts in what the probe printed."""
    return System()


PROBE = Probe("system", 20, parse)
