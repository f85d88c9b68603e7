"""Shows a job's events while they happen: live bars on a terminal, plain lines elsewhere. On stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from sdops_runtime.protocol import Event

from sdops.report.terminal import messages, plain

Watch = Callable[[Event], None]


class Count(ProgressColumn):
    """How much of a task is done, in its own unit; empty where nobody knows how much there is."""

    def render(self, task: Task) -> Text:
        """As in 12/41, or 310/2613 MB."""
        if task.total is None:
            return Text("")
        return Text(f"{task.completed:.0f}/{task.total:.0f}{task.fields.get('unit', '')}")


class Rate(ProgressColumn):
    """UNet passes a second, as it/s is known from everywhere else."""

    def render(self, task: Task) -> Text:
        """The rate of a task that counts steps; empty for others."""
        if not task.fields.get("rate") or not task.speed:
            return Text("")
        return Text(f"{task.speed:.2f} it/s" if task.speed >= 1 else f"{1 / task.speed:.1f} s/it")


#: What only a job on another host knows; see jobs.follower.
_AWAY = {
    "queued": "Job {job} on {host}",
    "lost": "{message} The job goes on there; trying to reach it again.",
    "back": "Connected again",
    "detached": "Detached. The job goes on: sdops attach {job}\nCtrl-C again, now, cancels it.",
    "cancelling": "Cancelling {job}",
    "uncancelled": "{host} was not reached. The job may go on there. To cancel it: sdops cancel {job}",
    "left": "The job may go on on {host}: sdops attach {job}",
}


@contextmanager
def watch(quiet: bool) -> Iterator[Watch]:
    """Yields what takes the events; ``quiet`` shows nothing at all."""
    console = messages()
    if quiet:
        yield lambda event: None
    elif console.is_terminal and not console.is_dumb_terminal:
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            Count(),
            Rate(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        ) as bars:
            yield _Live(bars).take
    else:
        yield _Lines(console).take


def describe(event: Event) -> Text | None:
    """The one line that an event is worth on paper, or None."""
    data = event.data
    if event.kind == "loading":
        return Text("Loading ").append(plain(str(data["model"])))
    if event.kind == "loaded":
        stack = f", stack {data['stack']}" if data.get("stack") else ""
        members = data.get("members")
        by = f", {members} workers" if isinstance(members, int) and members > 1 else ""
        return plain(
            f"Loaded {data['model']} on {data['device']}{by} in {data['seconds']:.1f} s "
            f"({data['dtype']}{stack})"
        )
    if event.kind == "planned":
        pictures = "1 picture" if data["total"] == 1 else f"{data['total']} pictures"
        least = data.get("fewest", data["passes"])
        # plain: a host may say anything.
        steps = plain(f"{least} to {data['passes']}" if least != data["passes"] else f"{data['passes']}")
        return Text(f"{pictures}, ").append(steps).append(" steps each")
    if event.kind == "notice":
        return Text("Note: ", style="yellow").append(plain(data["message"]))
    if event.kind == "item_failed":
        return Text("Failed: ", style="red").append(plain(f"{data['message']} {data['hint']}".strip()))
    if event.kind == "there":
        are = "is" if data["count"] == 1 else "are"
        return Text(f"{data['count']} of {data['total']} pictures {are} here already")
    if event.kind in _AWAY:
        return plain(_AWAY[event.kind].format(**data))
    if event.kind == "waiting" and data["ahead"]:
        before = "1 job is" if data["ahead"] == 1 else f"{data['ahead']} jobs are"
        return Text(f"{before} before it")
    return None


class _Once:
    """Describes events; a reason for which many pictures fail is told once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def describe(self, event: Event) -> Text | None:
        line = describe(event)
        if line is None or event.kind != "item_failed":
            return line
        known = line.plain in self._told
        self._told.add(line.plain)
        return None if known else line


class _Lines:
    """A line when something was done, none for every step: for pipes, files, CI, terminals without cursor."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._done = 0
        self._total = 0
        self._once = _Once()

    def take(self, event: Event) -> None:
        line = self._once.describe(event)
        if event.kind == "planned":
            self._total = event.data["total"]
        if event.kind in ("image", "item_failed"):
            self._done += 1
        if event.kind == "image":
            line = plain(
                f"[{self._done}/{self._total}] {event.data['name']} in {event.data['seconds']:.1f} s"
            )
        if line is not None:
            self._console.print(line, soft_wrap=True)


class _Live:
    """For terminals: what was done stays as lines, what is going on moves below them."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._sending = bars.add_task("Sending", total=None, visible=False, unit=" kB")
        self._loading = bars.add_task("Opening", total=None, unit=" MB")
        self._steps = bars.add_task("Steps", total=None, visible=False, rate=True)
        self._images = bars.add_task("Pictures", total=None, visible=False)
        self._chunk: tuple[int, ...] = ()
        self._once = _Once()

    def take(self, event: Event) -> None:
        data = event.data
        line = self._once.describe(event)
        if event.kind == "upload":
            done, total = data["bytes"] / 1e3, data["total"] / 1e3
            self._bars.update(self._sending, completed=done, total=total, visible=done < total)
        elif event.kind == "connecting":
            self._bars.update(self._loading, description=f"Connecting to {plain(data['host']).plain}")
        elif event.kind == "queued":
            self._bars.update(self._loading, description="Waiting")
        elif event.kind == "download":
            self._bars.update(self._loading, completed=data["done"] / 1e6, total=data["total"] / 1e6)
        elif event.kind == "loading":
            self._bars.update(self._loading, description=f"Loading {plain(data['model']).plain}")
            line = None
        elif event.kind == "planned":
            self._bars.update(self._loading, visible=False)
            self._bars.update(self._images, total=data["total"], visible=True)
        elif event.kind == "step":
            if self._chunk != tuple(data["indices"]):
                self._chunk = tuple(data["indices"])
                self._bars.reset(self._steps, total=data["steps"], visible=True)
            self._bars.update(self._steps, completed=data["step"])
        elif event.kind in ("image", "item_failed"):
            self._bars.advance(self._images)
        if line is not None:
            self._bars.console.print(line, soft_wrap=True)
