"""A person at the controller's terminal, who types commands of sdops and presses keys."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte
from hosts.cell import Cell
from hosts.command import Completed
from hosts.host import Host
from hosts.lab import Lab

ROOT = Path(__file__).parents[1]
SDOPS = [sys.executable, "-c", "from sdops.start import main; main()"]


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 60) -> Any:
    """Waits until a condition holds, and gives what it gave."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not in {timeout:g} s"
        time.sleep(0.02)
    return found


class Running:
    """A command that runs. out, err: what it printed so far."""

    def __init__(self, argv: list[str], lab: Lab, folder: Path, env: Mapping[str, str], name: str) -> None:
        self._cell: Cell = lab.controller.new_cell()
        self._out, self._err = folder / f".{name}.out", folder / f".{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process: subprocess.Popen[bytes] = lab.controller.popen(
                argv, cell=self._cell, cwd=folder, env=dict(env), stdout=out, stderr=err
            )

    @property
    def out(self) -> str:
        """What it printed on stdout so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it printed on stderr so far."""
        return self._err.read_text()

    def press(self, number: int = signal.SIGINT) -> None:
        """Presses Ctrl-C: the signal goes to Python alone, as nsenter is no part of what a person has."""
        for pid in self.pids():
            os.kill(pid, number)

    def pids(self) -> list[int]:
        """Its Python's processes."""
        found = []
        for pid in self._cell.pids():
            with contextlib.suppress(OSError, IndexError):
                if b"sdops.start" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2]:
                    found.append(pid)
        return found

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def wait(self, timeout: float = 120) -> int:
        """Waits for its end; the exit code."""
        try:
            return self._process.wait(timeout)
        finally:
            self._cell.kill()


@dataclass
class Person:
    """Somebody with an inventory in a folder, and nothing else of her own."""

    lab: Lab
    folder: Path

    @classmethod
    def of(
        cls, lab: Lab, folder: Path, *hosts: Host, groups: Mapping[str, list[Host]] | None = None
    ) -> Person:
        """Somebody whose inventory has these hosts."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "inventory.ini").write_text(lab.inventory(*hosts, groups=groups).read_text())
        return cls(lab, folder)

    @property
    def environment(self) -> dict[str, str]:
        """What her commands run under."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": f"{ROOT / 'ops'}:{ROOT / 'runtime'}",
            "COLUMNS": "80",
        }

    def sdops(self, *words: object, timeout: float = 120, **env: str) -> Completed:
        """What a command left."""
        return self.lab.controller.run(
            [*SDOPS, *map(str, words)],
            timeout=timeout,
            check=False,
            env={**self.environment, **env},
            cwd=self.folder,
        )

    def json(self, *words: object, **env: str) -> dict[str, Any]:
        """The document of a command, whichever way it ended."""
        ran = self.sdops(*words, "--json", **env)
        assert ran.stdout.count("\n") == 1, ran.stdout + ran.stderr
        document: dict[str, Any] = json.loads(ran.stdout)
        return document

    def types(self, command: str, timeout: float = 400) -> Completed:
        """What a command left that was printed, typed as it stands; it has to succeed."""
        words = shlex.split(command)
        if words[0] == "sdops":
            ran = self.sdops(*words[1:], timeout=timeout)
        else:
            env = {name: value for name, value in self.environment.items() if name != "PYTHONPATH"}
            ran = self.lab.controller.run(words, timeout=timeout, check=False, env=env, cwd=self.folder)
        assert ran.rc == 0, ran.stdout + ran.stderr
        return ran

    def tickets(self) -> list[str]:
        """The jobs that this machine remembers, the oldest first."""
        return sorted(path.stem for path in (self.folder / ".local/state/sdops/jobs").glob("*.json"))

    def start(self, *words: object, name: str = "command", **env: str) -> Running:
        """A command that runs."""
        return Running([*SDOPS, *map(str, words)], self.lab, self.folder, {**self.environment, **env}, name)


class Terminal:
    """A command of a person's in a terminal of 80 by 24."""

    def __init__(self, person: Person, *words: object, **env: str) -> None:
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        ours, theirs = os.openpty()
        os.set_blocking(ours, False)
        self._ours = ours
        environment = {**person.environment, "TERM": "xterm-256color", "LINES": "24", **env}
        self._cell = person.lab.controller.new_cell()
        self.process = person.lab.controller.popen(
            # A session whose terminal this is, so that the key is the terminal's.
            ["setsid", "--ctty", *SDOPS, *map(str, words)],
            cell=self._cell,
            cwd=person.folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.text = b""

    def read(self) -> str:
        """What is shown."""
        try:
            while piece := os.read(self._ours, 1 << 16):
                self.text += piece
                self._stream.feed(piece)
        except OSError:
            pass
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def sees(self, *words: str) -> None:
        """Waits until all of these words are shown."""
        wait_for(
            lambda: all(word in self.read() for word in words) or self.process.poll() is not None, str(words)
        )
        assert all(word in self.read() for word in words), self.read()

    def press(self, keys: bytes = b"\x03") -> None:
        """Presses keys, Ctrl-C if none are named."""
        os.write(self._ours, keys)

    def hang_up(self) -> None:
        """Ends all of it at once, as when the connection or the laptop goes."""
        self._cell.kill()
        self.process.wait(30)
        os.close(self._ours)

    def end(self) -> int:
        """The exit code."""
        try:
            code = self.process.wait(30)
            self.read()
            return code
        finally:
            self._cell.kill()
            os.close(self._ours)


class Newcomer(Person):
    """Somebody who has the key, and has never seen a host."""

    @classmethod
    def of_key(cls, lab: Lab, folder: Path) -> Newcomer:
        """With the key that opens fresh hosts, and an ssh whose settings are hers.

        ssh looks for settings by the account, which is everybody's here, and not by HOME.
        """
        one = cls(lab, folder)
        programs = folder / "bin"
        programs.mkdir(parents=True)
        known = f"UserKnownHostsFile {one.known}\nHashKnownHosts yes\n"
        (programs / "config").write_text(f"IdentityFile {lab.controller.key}\nIdentitiesOnly yes\n{known}")
        (programs / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {programs}/config "$@"\n')
        (programs / "ssh").chmod(0o755)
        return one

    @property
    def environment(self) -> dict[str, str]:
        """With that ssh."""
        found = super().environment
        return {**found, "PATH": f"{self.folder / 'bin'}:{found['PATH']}"}

    @property
    def known(self) -> Path:
        """Her known hosts."""
        return self.folder / ".ssh/known_hosts"

    def written(self) -> dict[str, bytes]:
        """Her files, but for those of her commands."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        others = ("bin", ".cache", ".ansible", ".local")
        return {str(path): (self.folder / path).read_bytes() for path in found if path.parts[0] not in others}
