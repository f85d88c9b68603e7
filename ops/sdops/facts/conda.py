"""Where conda is, its version, channels and terms of service. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Conda:
    """Where conda is, its version, channels and terms of service."""


def parse(output: Output, wanted: Wanted) -> Conda:
    """The facts in what the probe printed."""
    return Conda()


PROBE = Probe("conda", 20, parse)
