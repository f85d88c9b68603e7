"""Plays roles on test hosts with a real ansible-playbook, and tells what each task did.

    play = Play(lab, tmp_path, "miniconda", variables={"sdops_user": "joe"})
    assert play.run(host).changed == ("Run the installer",)

The role sdops, which has the settings, comes before the roles, as in site.yml. Variables stand in a file that
only its owner may read, because some are secrets. The person's own environment and settings do not count.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hosts.command import Argument, Completed, run
from hosts.host import Host
from hosts.lab import Lab

ANSIBLE = Path(__file__).parents[1] / "ansible"

#: A converge that downloads and installs; everything else is far quicker.
TIMEOUT = 600

#: ansible-playbook's exit status when tasks failed, and every host was reached.
FAILED = 2

JSON = "ansible.posix.json"
#: The environment of a run whose text is what a person sees. Such a run's outcome has no tasks.
SHOWN = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}


def program(name: str = "ansible-playbook") -> Path:
    """A program of Ansible's, beside this Python or on the PATH; skips the test where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return Path(found)


@dataclass(frozen=True)
class Task:
    """What a task, or a handler, did on one host. name: without its role's. result: all that it told."""

    host: str
    name: str
    result: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it failed, rescued or not, or did not reach its host."""
        return bool(self.result.get("failed") or self.result.get("unreachable"))

    @property
    def changed(self) -> bool:
        """Whether it changed something, and did not fail."""
        return bool(self.result.get("changed")) and not self.failed

    @property
    def message(self) -> str:
        """What it said, or its failed items did."""
        items = [item for item in self.result.get("results", ()) if item.get("failed")]
        parts = [
            str(one.get(key, "")) for one in items or [self.result] for key in ("msg", "stderr", "stdout")
        ]
        return "\n".join(part for part in parts if part)


@dataclass(frozen=True)
class Outcome:
    """What a run did. tasks: in order. text: all that it printed. seconds: how long it took."""

    rc: int
    tasks: tuple[Task, ...]
    text: str
    seconds: float

    def on(self, host: Host) -> Outcome:
        """What it did on one of its hosts."""
        return replace(self, tasks=tuple(task for task in self.tasks if task.host == host.name))

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the tasks that changed something, in order; once for each host."""
        return tuple(task.name for task in self.tasks if task.changed)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tasks that failed, in order, those whose failure was rescued among them."""
        return tuple(task.name for task in self.tasks if task.failed)

    @property
    def message(self) -> str:
        """What the task said that failed last; "" when none has."""
        return next((task.message for task in reversed(self.tasks) if task.failed), "")

    @property
    def said(self) -> str:
        """All that tasks said, and the text of a run that was shown, on one line."""
        told = [task.message for task in self.tasks] or [self.text]
        return " ".join(" ".join(told).split())


class Play:
    """Roles, or a whole playbook of the project's, with variables.

    lab: where its hosts are. folder: the test's own; its inventory and what is kept beside that (locks,
    variables of hosts) lie there, for all plays with that folder. home: the controller's home, where Ansible
    writes what is its own. program, playbook: what argv begins with.
    """

    def __init__(
        self,
        lab: Lab | None,
        folder: Path,
        *roles: str,
        playbook: str = "",
        variables: Mapping[str, object] | None = None,
    ) -> None:
        """lab: None for what reaches no host. playbook: of ansible/ by name, or a path, instead of roles."""
        self.lab, self.folder, self.variables = lab, folder, dict(variables or {})
        self.program = program()
        self._name = "-".join(roles) or Path(playbook).stem
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.playbook = ANSIBLE / playbook if playbook else folder / f"{self._name}.yml"
        if not playbook:
            listed = [
                {"role": "sdops", "tags": ["always"]},
                *({"role": role, "tags": [role]} for role in roles),
            ]
            play = {"name": "Roles", "hosts": "all", "gather_facts": False, "roles": listed}
            self.playbook.write_text(json.dumps([play]))

    def give(self, host: Host, **variables: object) -> None:
        """Sets variables of one host, beside the inventory; those of the play come before them."""
        folder = self.folder / "host_vars"
        folder.mkdir(exist_ok=True)
        (folder / f"{host.name}.json").write_text(json.dumps(variables))

    def argv(
        self, *hosts: Host, check: bool = False, words: Sequence[Argument] = (), **variables: object
    ) -> list[Argument]:
        """The command that runs it; variables override those of the play. Without hosts, words name them."""
        argv: list[Argument] = [self.program, self.playbook]
        if hosts:
            assert self.lab
            inventory = self.folder / "inventory.ini"
            shutil.copy(self.lab.inventory(*hosts), inventory)
            argv += ["-i", inventory]
        given = self.folder / f"{self._name}.variables.json"
        given.touch(mode=0o600)
        given.write_text(json.dumps({**self.variables, **variables}))
        return [*argv, "-e", f"@{given}", *(["--check", "--diff"] if check else []), *words]

    def environment(self, **more: str) -> dict[str, str]:
        """What it runs under: nothing of the person's own but the PATH."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.program.parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_ROLES_PATH": str(ANSIBLE / "roles"),
            "ANSIBLE_STDOUT_CALLBACK": JSON,
            **more,
        }

    def run(
        self,
        *hosts: Host,
        check: bool = False,
        ok: bool = True,
        words: Sequence[Argument] = (),
        timeout: float = TIMEOUT,
        env: Mapping[str, str] | None = None,
        **variables: object,
    ) -> Outcome:
        """Runs it to its end. Fails the test unless that is good, or, without ok, that tasks failed.

        check: only tells what it would change, and how. Hosts, words and variables as for argv.
        """
        argv = self.argv(*hosts, check=check, words=words, **variables)
        environment = self.environment(**(env or {}))
        runner = self.lab.controller.run if self.lab else run
        ran = runner(argv, timeout=timeout, check=False, env=environment, cwd=self.folder)
        told = environment["ANSIBLE_STDOUT_CALLBACK"] == JSON
        outcome = Outcome(ran.rc, _tasks(ran) if told else (), ran.stdout + ran.stderr, ran.seconds)
        failures = [f"{task.host}: {task.name}: {task.message}" for task in outcome.tasks if task.failed]
        assert outcome.rc == (0 if ok else FAILED), "\n".join(failures) or outcome.text[-3000:]
        assert bool(outcome.tasks) == told, f"no task ran:\n{outcome.text[-3000:]}"
        return outcome


def _tasks(ran: Completed) -> tuple[Task, ...]:
    """Reads what the JSON callback printed; nothing when it did not come to that."""
    try:
        told, _ = json.JSONDecoder().raw_decode(ran.stdout[ran.stdout.find("{") :])
    except ValueError:
        return ()
    return tuple(
        Task(host, task["task"]["name"].partition(" : ")[2] or task["task"]["name"], result)
        for play in told["plays"]
        for task in play["tasks"]
        for host, result in task["hosts"].items()
    )
