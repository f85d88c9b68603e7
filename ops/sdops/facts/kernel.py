"""What torch says of itself and of the GPU, and whether it computes there. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Kernel:
    """What torch says of itself and of the GPU, and whether it computes there."""


def parse(output: Output, wanted: Wanted) -> Kernel:
    """The facts in what the probe printed."""
    return Kernel()


PROBE = Probe("kernel", 20, parse)
