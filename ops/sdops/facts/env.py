"""The environment of the stack: its Python, packages and hook, without importing torch. No I/O here."""

from dataclasses import dataclass

from sdops.facts.probe import Output, Probe
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Env:
    """The environment of the stack: its Python, packages and hook, without importing torch."""


def parse(output: Output, wanted: Wanted) -> Env:
    """The facts in what the probe printed."""
    return Env()


PROBE = Probe("env", 20, parse)
