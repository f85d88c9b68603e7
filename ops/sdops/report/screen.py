"""What is shown anew until Ctrl-C is pressed: one screen on a terminal, a table each round elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from sdops.errors import SdopsError
from sdops.jobs.lookout import PAUSE, Lookout
from sdops.report.terminal import messages, plain, results

#: Seconds until the time of day, and ages of answers, are shown anew; and between two changes of the screen.
CLOCK, LEAST = 1.0, 0.1
#: Seconds after which an answer is said to be old: a healthy host has answered twice by then.
OLD = 3 * PAUSE


@dataclass(frozen=True)
class View:
    """What is to be seen: the result, and what there is to say of it."""

    body: Sequence[RenderableType]
    notes: Sequence[Text]


def refuse_both(watch: bool, as_json: bool, command: str) -> None:
    """Raises SdopsError("usage") for what is shown anew for ever as one document."""
    if watch and as_json:
        raise SdopsError(
            "usage",
            "--json prints one document, and --watch has no end.",
            f"Leave one out: sdops {command} --json prints how it is now.",
        )


def keep(there: Lookout[Any], draw: Callable[[int], View]) -> None:
    """Shows what is known of hosts until Ctrl-C is pressed. draw: makes it, so many columns wide."""
    console = results()
    with suppress(KeyboardInterrupt), there:
        if not sys.stdout.isatty() or console.is_dumb_terminal:
            _rounds(there, draw)
        with Live(console=console, auto_refresh=False) as live:
            while True:
                view = draw(console.width)
                live.update(Group(*view.body, *view.notes, _stamp()), refresh=True)
                there.news(CLOCK)
                # Many hosts answer in a moment; nobody sees more than this.
                time.sleep(LEAST)


def aged(host: str, answered: bool, age: float) -> Text | None:
    """What is to be said of a host that has not answered, or not for long; None for nothing."""
    if not answered:
        return Text(f"{plain(host).plain}: no answer yet, for {age:.0f} s", style="dim")
    if age > OLD:
        return Text(
            f"{plain(host).plain}: no answer for {age:.0f} s; this is what it said last", style="yellow"
        )
    return None


def _rounds(there: Lookout[Any], draw: Callable[[int], View]) -> NoReturn:
    """Prints it again and again, the first time when all hosts have answered, or one keeps us waiting."""
    end = time.monotonic() + PAUSE
    while not there.all_known() and time.monotonic() < end:
        there.news(LEAST)
    while True:
        console = results()
        view = draw(console.width)
        for one in (_stamp(), *view.body):
            console.print(one)
        for note in view.notes:
            messages().print(note, soft_wrap=True)
        time.sleep(PAUSE)


def _stamp() -> Text:
    return Text(time.strftime("%H:%M:%S"), style="dim")
