"""A probe: shell text that looks at one part of a host, and the parser of what it prints. No I/O here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

#: What ``timeout`` of the coreutils ends with when the time was over; 137 when it had to kill.
TIMED_OUT = (124, 137)


@dataclass(frozen=True)
class Output:
    """What a probe printed, stdout and stderr in one, and its exit status."""

    text: str
    status: int = 0

    @property
    def timed_out(self) -> bool:
        """Whether it was stopped because its time was over."""
        return self.status in TIMED_OUT


@dataclass(frozen=True)
class Probe:
    """One look at a host.

    name: the field of HostFacts that it fills, and the name of its script
    ``NAME.sh`` beside this file. timeout: seconds. parse: a pure function; it
    may raise ValueError for a text that makes no sense, which becomes an
    Unknown. quick: whether ``--quick`` still asks it.
    """

    name: str
    timeout: int
    parse: Callable[[Output, Wanted], Any]
    quick: bool = True

    @cached_property
    def script(self) -> str:
        """POSIX shell. See ``script.PREAMBLE`` for the variables and functions that it may use."""
        return (files("sdops.facts") / f"{self.name}.sh").read_text(encoding="utf-8")

    def read(self, output: Output | None, wanted: Wanted) -> Any:
        """The fact, or why there is none."""
        if output is None:
            return Unknown("the connection ended before this was read")
        if output.timed_out and not output.text.strip():
            return Unknown(f"no answer within {self.timeout} s")
        try:
            return self.parse(output, wanted)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            said = str(error) or type(error).__name__
            return Unknown(f"the answer cannot be understood ({said})")
