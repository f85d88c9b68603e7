"""A cgroup as a cell: whatever is started in it can be ended for certain, by the cell and not by name."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .command import Argument


@dataclass(frozen=True)
class Cell:
    """A cgroup v2 folder; its processes, and theirs, cannot leave it by forking or by a new session."""

    path: Path

    def make(self) -> Cell:
        """Makes the folder where it is not there yet."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def inner(self, name: str) -> Cell:
        """A cell inside this one, which may not exist."""
        return Cell(self.path / name)

    def argv(self, argv: Sequence[Argument]) -> list[str]:
        """The command that moves into the cell and becomes argv."""
        move = 'echo 0 >"$0/cgroup.procs" && exec "$@"'
        return ["sh", "-c", move, str(self.path), *(str(word) for word in argv)]

    def pids(self) -> tuple[int, ...]:
        """Processes directly in the cell, not in cells inside it."""
        try:
            return tuple(int(word) for word in (self.path / "cgroup.procs").read_text().split())
        except FileNotFoundError:
            return ()

    def populated(self) -> bool:
        """Whether a process is left in the cell or in a cell inside it."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except FileNotFoundError:
            return False

    def kill(self, timeout: float = 15) -> None:
        """Ends every process in the cell, hard, and waits until they are gone."""
        if self.populated():
            (self.path / "cgroup.kill").write_text("1")
        self.wait_empty(timeout)

    def wait_empty(self, timeout: float) -> None:
        """Waits until the cell has no process. Raises TimeoutError."""
        end = time.monotonic() + timeout
        while self.populated():
            if time.monotonic() > end:
                raise TimeoutError(f"processes {self.pids()} of {self.path} did not end in {timeout:g} s")
            time.sleep(0.005)  # cgroup.events has no wait that works with every kernel's inotify

    def remove(self) -> None:
        """Kills what is in the cell and removes it with the cells inside it."""
        self.kill()
        for folder, _, _ in os.walk(self.path, topdown=False):
            Path(folder).rmdir()
