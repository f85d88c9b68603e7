"""The table of hosts' states, as wide as there is room. No I/O here. Trusts nothing that a host says.

Where it is narrow, what seldom changes leaves its column for a line below the table; then the names of GPU
and host take several lines. Nothing is cut.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from rich.table import Table
from rich.text import Text

from sdops.jobs.status import State
from sdops.report.jobs import SHORT, duration
from sdops.report.terminal import plain

_COLUMNS = ("host", "GPU", "GB", "driver", "worker", "job", "waits", "error")
_RIGHT = ("GB", "waits")
_GAP = 2
#: What values that change all the time may take, or the table would change its form with them.
_ROOM = {"GB": len("79.3/85.9"), "worker": len("stopped"), "job": len("0123abcd 1203/5000 25%")}
#: What goes where it is narrow, one after the other, and how it is said below. The notes tell of errors.
_BELOW = {"driver": "driver {}", "model": "{} in memory", "error": "", "GPU": "GPU {}"}
#: A host's name is not made narrower.
_LEAST_HOST = 8

#: Cells by heading. "model" is none; it stands beside the worker.
_Row = Mapping[str, Text]


@dataclass(frozen=True)
class Tabulated:
    """A table, the lines below it, and whether the times of the last errors are in it."""

    table: Table
    below: Sequence[Text]
    times: bool


def tabulate(states: Sequence[State], width: int) -> Tabulated:
    """The states, so many columns wide."""
    rows = [_cells(one) for one in states]
    gone, widths = _layout(rows, width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, wide in widths.items():
        table.add_column(
            name, justify="right" if name in _RIGHT else "left", overflow="fold", width=wide or None
        )
    for row in rows:
        table.add_row(*(_cell(row, name, gone) for name in widths))
    return Tabulated(table, _below(rows, gone), "error" not in gone)


def _layout(rows: Sequence[_Row], width: int) -> tuple[list[str], dict[str, int]]:
    """What has no place, and how wide the columns are; 0 for all where even the least is too wide."""
    gone: list[str] = []
    going = list(_BELOW)
    while True:
        widths = {
            name: max(len(name), _ROOM.get(name, 0), *(_width(_cell(row, name, gone)) for row in rows))
            for name in _COLUMNS
            if name not in gone
        }
        over = sum(widths.values()) + _GAP * (len(widths) - 1) - width
        if len(going) < 2:
            # Before the GPU's name goes, and after it, names take several lines.
            for name, least in (("GPU", _longest_word(rows, "GPU")), ("host", _LEAST_HOST)):
                if over > 0 and name in widths:
                    given = max(0, min(over, widths[name] - least))
                    widths[name] -= given
                    over -= given
        if over <= 0:
            return gone, widths
        if not going:
            return gone, dict.fromkeys(widths, 0)
        gone.append(going.pop(0))


def _cell(row: _Row, name: str, gone: Sequence[str]) -> Text:
    if name == "worker" and "model" not in gone and row["model"]:
        return row["worker"].copy().append(", ").append(row["model"])
    return row[name]


def _width(cell: Text) -> int:
    return max(line.cell_len for line in cell.split("\n", allow_blank=True))


def _longest_word(rows: Sequence[_Row], name: str) -> int:
    return max(len(name), *(Text(word).cell_len for row in rows for word in row[name].plain.split()))


def _below(rows: Sequence[_Row], gone: Sequence[str]) -> list[Text]:
    """A line for each value that has no column, with the hosts that have it."""
    lines = []
    for name in gone:
        hosts: dict[str, list[str]] = {}
        for row in rows:
            if row[name].plain and _BELOW[name]:
                hosts.setdefault(row[name].plain, []).append(row["host"].plain)
        lines += [
            Text(f"{_BELOW[name].format(value)}: {', '.join(names)}".replace("\n", " "))
            for value, names in hosts.items()
        ]
    return lines


def _cells(one: State) -> _Row:
    told = one.told
    if told is None:
        unknown = Text("…", style="dim") if one.error is None else Text("?", style="red")
        return {**dict.fromkeys((*_COLUMNS, "model"), Text()), "host": plain(one.host), "worker": unknown}
    gpu = mapping(told.get("gpu"))
    return {
        "host": plain(one.host),
        "GPU": plain(str(gpu.get("name", "none")).removeprefix("NVIDIA ")),
        "GB": plain(_memory(gpu)),
        "driver": plain(str(gpu.get("driver", ""))),
        "worker": _worker(told),
        "model": plain(_model(told)),
        "job": plain(_job(told)),
        "waits": plain(str(told.get("waiting") or "")),
        "error": plain(ago(mapping(told.get("error")))),
    }


def _memory(gpu: Mapping[str, Any]) -> str:
    used, total = gpu.get("used"), gpu.get("total")
    if not _is_number(used) or not _is_number(total):
        return ""
    return f"{used / 1e9:.1f}/{total / 1e9:.1f}"


def _worker(told: Mapping[str, Any]) -> Text:
    if told.get("serving") is not True:
        return Text("stopped", style="yellow")
    busy = bool(mapping(told.get("job")))
    return Text("busy" if busy else "ready", style="cyan" if busy else "green")


def _model(told: Mapping[str, Any]) -> str:
    model = told.get("model")
    return str(model).rpartition("/")[2] if model and told.get("serving") is True else ""


def _job(told: Mapping[str, Any]) -> str:
    job, step = mapping(told.get("job")), told.get("step")
    if not job:
        return ""
    made, wanted = job.get("made"), job.get("wanted")
    share = f" {step:.0%}" if _is_number(step) and step else ""
    return f"{str(job.get('job'))[-SHORT:]} {made}/{wanted}{share}"


def ago(error: Mapping[str, Any]) -> str:
    """How long an error is ago, "" without one."""
    at = error.get("at")
    if not error:
        return ""
    return f"{duration(time.time() - at)} ago" if _is_number(at) else "yes"


def mapping(value: object) -> Mapping[str, Any]:
    """What a host may have made something else of; empty then."""
    return value if isinstance(value, Mapping) else {}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
