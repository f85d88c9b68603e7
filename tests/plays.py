"""Plays a role on test hosts with the real ansible-playbook, and tells what it changed and said."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts.command import Argument, Completed
from hosts.host import Host
from hosts.lab import Lab

ANSIBLE = Path(__file__).parents[1] / "ansible"
TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?:.* : )?(.*)\] \*+$")
RESULT = re.compile(r"^(changed|fatal): \[")


def ansible_playbook() -> Path:
    """The ansible-playbook beside this Python, or else on the PATH; skips the test without one."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    if not found:
        pytest.skip("ansible-playbook is not installed")
    return Path(found)


@dataclass(frozen=True)
class Played:
    """What came of a play: exit code, and the names of the tasks that changed or failed, in order."""

    rc: int
    changed: tuple[str, ...]
    failed: tuple[str, ...]
    output: str

    @property
    def said(self) -> str:
        """The output on one line, so that a message can be looked for whatever its lines."""
        return " ".join(self.output.split())


class Plays:
    """Plays roles on hosts. home: the controller's home folder, where ansible writes what is its own."""

    def __init__(self, lab: Lab, folder: Path, *hosts: Host) -> None:
        self._lab = lab
        self._folder = folder
        self.inventory = lab.inventory(*hosts)
        self.home = folder / "ansible-home"
        self.home.mkdir()

    def argv(self, playbook: Path, words: Sequence[Argument] = (), **variables: Any) -> list[Argument]:
        """The command that runs a playbook with these variables, which stand in a file and not in argv."""
        given = self._folder / "given.yml"
        given.write_text(yaml.safe_dump(variables))
        given.chmod(0o600)
        return [ansible_playbook(), "-i", self.inventory, playbook, "--extra-vars", f"@{given}", *words]

    def role(self, name: str) -> Path:
        """A playbook of one role, with the settings of all."""
        path = self._folder / f"{name}.yml"
        play = {
            "name": f"Play {name}",
            "hosts": "all",
            "gather_facts": False,
            "roles": [{"role": "sdops"}, {"role": name}],
        }
        path.write_text(yaml.safe_dump([play], sort_keys=False))
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """What ansible-playbook runs under: nothing of the person's own settings."""
        path = f"{ansible_playbook().parent}:{os.environ['PATH']}"
        own = {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
        return {**own, "ANSIBLE_ROLES_PATH": str(ANSIBLE / "roles"), **more}

    def play(
        self,
        playbook: Path,
        *words: Argument,
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
        **variables: Any,
    ) -> Played:
        """Runs a playbook to its end."""
        ran = self._lab.controller.run(
            self.argv(playbook, words, **variables),
            env=self.environment(**(env or {})),
            timeout=timeout,
            check=False,
            cwd=self._folder,
        )
        return read(ran)


def read(ran: Completed) -> Played:
    """What the output of ansible-playbook tells."""
    task, changed, failed = "", [], []
    for line in ran.stdout.splitlines():
        if found := TASK.match(line):
            task = found[1]
        elif found := RESULT.match(line):
            (changed if found[1] == "changed" else failed).append(task)
    return Played(ran.rc, tuple(changed), tuple(failed), ran.stdout + ran.stderr)
