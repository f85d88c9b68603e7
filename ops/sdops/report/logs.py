"""How the events of a job are shown: a line each, with the time, in the words of the progress."""

import time
from collections.abc import Sequence
from contextlib import suppress

from rich.text import Text
from sdops_runtime.protocol import Event

from sdops.desk import Message
from sdops.jobs.find import Found
from sdops.jobs.sound import sound
from sdops.report.progress import describe
from sdops.report.terminal import document, plain, results


def render(found: Found, told: Sequence[Message], worker: str, as_json: bool) -> None:
    """Prints what happened, and the worker's last lines."""
    if as_json:
        events = [{key: value for key, value in one.data.items() if key != "offset"} for one in told]
        lines = worker.splitlines()
        document({"ok": True, "job": found.name, "host": found.place.name, "events": events, "worker": lines})
        return
    for one in told:
        event = sound(one)
        line = None if event is None else _line(event)
        if line is not None:
            results().print(
                Text(_clock(one.data.get("at")), style="dim").append("  ").append(line), soft_wrap=True
            )
    for text in worker.splitlines():
        results().print(plain(text), soft_wrap=True)


def _line(event: Event) -> Text | None:
    data = event.data
    if event.kind == "image":
        flagged = ", flagged" if data["flagged"] else ""
        return plain(f"{data['name']} in {data['seconds']:.1f} s{flagged}")
    if event.kind == "failed":
        return Text("The job failed: ", style="red").append(
            plain(f"{data['message']} {data['hint']}".strip())
        )
    if event.terminal:
        return plain(f"{event.kind.capitalize()}: {data['images']} made, {data['failed']} failed")
    return describe(event)


def _clock(at: object) -> str:
    if isinstance(at, (int, float)):
        with suppress(OverflowError, ValueError, OSError):  # no time that a calendar has
            return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    return " " * 19
