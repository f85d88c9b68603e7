"""What compiling took and saved on this very host, and whether a job is long enough for it.

Measured by ``sdops bench --switches``; on a host where that was not run nothing is compiled.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Optional

from sdops_runtime import compiling
from sdops_runtime.compiling import Load

#: How many times what compiling costs it has to save: both are estimates.
MARGIN = 1.5

#: The times of a measurement.
TIMES = ("first_s", "again_s", "plain_ms", "compiled_ms")


@dataclass(frozen=True)
class Subject:
    """What a measurement holds for. network: as in ``memory.Network``. dtype: the number format's name."""

    device: str
    network: str
    dtype: str


@dataclass(frozen=True)
class Measured:
    """One measurement. first_s: seconds that compiling took; again_s: those with what it had kept.

    plain_ms, compiled_ms: milliseconds of a call of the UNet. date: of UTC, as in 2026-11-24.
    """

    subject: Subject
    load: Load
    first_s: float
    again_s: float
    plain_ms: float
    compiled_ms: float
    date: str


@dataclass(frozen=True)
class Estimate:
    """Seconds that compiling takes, and that it saves of a job."""

    costs: float
    saves: float
    date: str

    @property
    def pays(self) -> bool:
        """Whether the job is long enough."""
        return self.saves > MARGIN * self.costs

    def __str__(self) -> str:
        return (
            f"The model is compiled, which takes about {_span(self.costs)} and saves this job about "
            f"{_span(self.saves)}, by what was measured here on {self.date}."
        )


def estimate(subject: Subject, load: Load, calls: float) -> Optional[Estimate]:
    """What compiling comes to for so many calls of the UNet; None where it was not measured."""
    known = [one for one in read() if one.subject == subject]
    if not known:
        return None
    # Of several the nearest; the time of a call grows with its work, at least where that fills the device.
    nearest = min(known, key=lambda one: abs(math.log(one.load.work / load.work)))
    share = load.work / nearest.load.work
    saves = calls * share * (nearest.plain_ms - nearest.compiled_ms) / 1000
    kept = compiling.is_kept(load, astuple(subject))
    return Estimate(nearest.again_s if kept else nearest.first_s, max(saves, 0.0), nearest.date)


def read() -> Sequence[Measured]:
    """What was measured on this host with this torch; nothing where that cannot be read."""
    try:
        told = json.loads((compiling.folder() / compiling.MEASURED).read_text(encoding="utf-8"))
        return [_measured(one) for one in told]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def keep(found: Sequence[Measured]) -> None:
    """Keeps measurements, in place of earlier ones of the same. Raises OSError."""
    place = compiling.folder() / compiling.MEASURED
    place.parent.mkdir(parents=True, exist_ok=True)
    of_each = {(one.subject, one.load): one for one in [*read(), *found]}
    beside = place.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps([asdict(one) for one in of_each.values()], indent=1), encoding="utf-8")
    beside.replace(place)


def _measured(told: Mapping[str, Any]) -> Measured:
    """One measurement of what JSON held. Raises KeyError, TypeError, ValueError."""
    subject = Subject(**{name: str(value) for name, value in dict(told["subject"]).items()})
    load = Load(**{name: int(value) for name, value in dict(told["load"]).items()})
    times = {name: float(told[name]) for name in TIMES}
    if load.work <= 0 or not all(0 < time < math.inf for time in times.values()):
        raise ValueError("no measurement")
    return Measured(subject, load, **times, date=str(told["date"]))


def _span(seconds: float) -> str:
    """A time in words, no more exact than an estimate is."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
