"""Runs a playbook and kills it: at the beginning of a task, or while the host is at work on one.

All of the controller's half dies at once, ansible-playbook with its workers and its connections, as when
its machine loses power. What runs on the host is left to itself.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosts.host import Host
from plays import TIMEOUT, Play

CALLBACKS = Path(__file__).with_name("callbacks")


@dataclass(frozen=True)
class Step:
    """A task of an undisturbed run. number: from 0. seconds: how long it took. changed: by its own word."""

    number: int
    role: str
    name: str
    seconds: float
    changed: bool


@dataclass(frozen=True)
class Kill:
    """When to kill: at the beginning of the step or, with after, so many seconds later."""

    step: Step
    after: float = 0

    def __str__(self) -> str:
        when = f"{self.after:.1f} s into" if self.after else "before"
        return f"{when} {self.step.number}, {self.step.role} : {self.step.name}"


def watch(play: Play, host: Host) -> tuple[Step, ...]:
    """Runs the playbook to its end and returns what it did."""
    run = _Run(play, host)
    begun: list[tuple[float, str, str]] = []
    changed = set()
    for event in run.events:
        if "name" in event:
            begun.append((time.monotonic(), event["role"], event["name"]))
        else:
            changed.add(len(begun) - 1)
    run.end()
    ends = [*(start for start, _, _ in begun[1:]), time.monotonic()]
    return tuple(
        Step(number, role, name, end - start, number in changed)
        for number, ((start, role, name), end) in enumerate(zip(begun, ends, strict=True))
    )


def kill(play: Play, host: Host, point: Kill) -> None:
    """Runs the playbook until then. Fails the test if that step is another one than it was undisturbed."""
    run = _Run(play, host, stop=-1 if point.after else point.step.number)
    begun = (event["name"] for event in run.events if "name" in event)
    name = next(itertools.islice(begun, point.step.number, None), "the end")
    time.sleep(point.after)
    run.kill()
    assert name == point.step.name, run.output()


class _Run:
    """A run under way. events: as the callback tells them, until the end."""

    def __init__(self, play: Play, host: Host, stop: int = -1) -> None:
        assert play.lab
        self._cell = play.lab.controller.new_cell()
        self._log = play.folder / "log"
        reading, writing = os.pipe()
        more = {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "boundaries",
            "BOUNDARIES_PIPE": str(writing),
            "BOUNDARIES_STOP": str(stop),
        }
        where = {"cell": self._cell, "env": play.environment(**more), "cwd": play.folder}
        with self._log.open("wb") as log:
            pipes = {"stdout": log, "stderr": log, "pass_fds": [writing]}
            self._process = play.lab.controller.popen(play.argv(host), **where, **pipes)
        os.close(writing)
        self.events = self._read(reading)

    @staticmethod
    def _read(pipe: int) -> Iterator[dict[str, Any]]:
        with os.fdopen(pipe) as lines:
            yield from map(json.loads, lines)

    def end(self) -> None:
        """Waits for the end, which has to be a good one."""
        assert self._process.wait(TIMEOUT) == 0, self.output()
        self.kill()  # connections that ssh keeps open for a while

    def kill(self) -> None:
        """Ends all of it at once."""
        self._cell.kill()
        self._process.wait()

    def output(self) -> str:
        """The end of what the run wrote."""
        return self._log.read_text()[-3000:]
