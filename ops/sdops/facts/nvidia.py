"""What nvidia-smi says: the driver and the GPUs, or its error. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Nvidia:
    """What nvidia-smi says: the driver and the GPUs, or its error."""


def parse(output: Output, wanted: Wanted) -> Nvidia:
    """The facts in what the probe printed."""
    return Nvidia()


PROBE = Probe("nvidia", 20, parse)
