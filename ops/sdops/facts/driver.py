"""What the kernel and libcuda say of the driver, beside nvidia-smi. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Driver:
    """What the kernel and libcuda say of the driver, beside nvidia-smi."""


def parse(output: Output, wanted: Wanted) -> Driver:
    """The facts in what the probe printed."""
    return Driver()


PROBE = Probe("driver", 20, parse)
