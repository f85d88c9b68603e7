"""How hosts' states are shown: a table that is read at a glance. Trusts nothing that a host says."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeGuard

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sdops.errors import Exit
from sdops.jobs.status import State
from sdops.report import failure
from sdops.report.jobs import PAUSE, SHORT, duration
from sdops.report.terminal import document, messages, plain, results

_COLUMNS = ("host", "GPU", "GB", "driver", "worker", "job", "waits", "error")


def exit_code(states: Sequence[State]) -> Exit:
    """1 if a host could not be asked."""
    return Exit.FAILED if any(one.error for one in states) else Exit.OK


def render(states: Sequence[State], as_json: bool) -> None:
    """Prints how all hosts are, and why that is not known of some."""
    if as_json:
        hosts = [
            {
                "host": one.host,
                "status": None if one.told is None else dict(one.told),
                "error": None if one.error is None else failure.as_data(one.error),
            }
            for one in states
        ]
        document({"ok": exit_code(states) is Exit.OK, "hosts": hosts})
        return
    if not states:
        messages().print("There are no hosts but this machine.")
        return
    results().print(_table(states))
    for note in _notes(states):
        messages().print(note, soft_wrap=True)


def watch(look: Callable[[], Sequence[State]]) -> None:
    """Shows it until Ctrl-C is pressed."""
    with suppress(KeyboardInterrupt), Live(console=results(), auto_refresh=False) as live:
        while True:
            states = look()
            stamp = Text(time.strftime("%H:%M:%S"), style="dim")
            live.update(Group(_table(states), *_notes(states), stamp), refresh=True)
            time.sleep(PAUSE)


def _table(states: Sequence[State]) -> Table:
    rows = [
        [plain(one.host), *([Text("?", style="red")] if one.told is None else _cells(one.told))]
        for one in states
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        right = name in ("GB", "waits")
        # Where it is narrow the GPU's name gives way, and the worker's model; never a number.
        gives = name in ("GPU", "worker")
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=not gives,
            min_width=len("stopped") if gives else None,
        )
    for row in rows:
        for cell in row:
            cell.no_wrap, cell.overflow = True, "ellipsis"
        table.add_row(*row)
    return table


def _cells(told: Mapping[str, Any]) -> list[Text]:
    gpu = _map(told.get("gpu"))
    return [
        plain(str(gpu.get("name", "none")).removeprefix("NVIDIA ")),
        plain(_memory(gpu)),
        plain(str(gpu.get("driver", ""))),
        _worker(told),
        plain(_job(told)),
        plain(str(told.get("waiting") or "")),
        plain(_error(_map(told.get("error")))),
    ]


def _memory(gpu: Mapping[str, Any]) -> str:
    used, total = gpu.get("used"), gpu.get("total")
    if not _is_number(used) or not _is_number(total):
        return ""
    return f"{used / 1e9:.1f}/{total / 1e9:.1f}"


def _worker(told: Mapping[str, Any]) -> Text:
    if told.get("serving") is not True:
        return Text("stopped", style="yellow")
    busy = bool(_map(told.get("job")))
    word = Text("busy" if busy else "ready", style="cyan" if busy else "green")
    model = told.get("model")
    return word.append(plain(f", {str(model).rpartition('/')[2]}")) if model else word


def _job(told: Mapping[str, Any]) -> str:
    job, step = _map(told.get("job")), told.get("step")
    if not job:
        return ""
    made, wanted = job.get("made"), job.get("wanted")
    share = f" {step:.0%}" if _is_number(step) and step else ""
    return f"{str(job.get('job'))[-SHORT:]} {made}/{wanted}{share}"


def _error(error: Mapping[str, Any]) -> str:
    at = error.get("at")
    if not error:
        return ""
    return f"{duration(time.time() - at)} ago" if _is_number(at) else "yes"


def _notes(states: Sequence[State]) -> list[Text]:
    notes = []
    for one in states:
        if one.error is not None:
            notes.append(
                Text("Error: ", style="bold red").append(plain(f"{one.error.message} {one.error.hint}"))
            )
            continue
        told = one.told or {}
        fleet = _fleet(one.host, _map(told.get("fleet")))
        if fleet is not None:
            notes.append(fleet)
        if told.get("serving") is not True and told.get("waiting"):
            notes.append(plain(f"{one.host}: jobs wait, and no worker runs: sdops doctor {one.host}"))
        error = _map(told.get("error"))
        if error:
            name = str(error.get("job"))[-SHORT:]
            notes.append(plain(f"{one.host}, job {name}: {error.get('message')}".replace("\n", " ")))
    return notes


def _fleet(host: str, fleet: Mapping[str, Any]) -> Text | None:
    """Who is in a fleet, as its head knows."""
    if fleet.get("head") is not True:
        return None
    members = [one for one in fleet.get("members") or () if isinstance(one, Mapping)]
    there = ", ".join(f"{one.get('name')}{' busy' if one.get('busy') is True else ''}" for one in members)
    return plain(f"{host}, head of a fleet: {there or 'none of its workers is there'}".replace("\n", " "))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
