"""Runs the project's roles on test hosts with a real ansible-playbook and tells what each task did."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hosts import base
from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError

ANSIBLE = Path(__file__).parents[1] / "ansible"

#: Folders that change without anybody's doing, or by a login alone.
VOLATILE = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/log",
    "/var/lib/systemd",
    "/var/lib/wtmpdb",
    "/tmp/systemd-private*",
)

PLAY = """\
- name: Make Stable Diffusion hosts
  hosts: all
  gather_facts: false
  roles:
"""


@dataclass(frozen=True)
class Outcome:
    """What a run of a playbook did. tasks: host, task and result in the order in which they came."""

    rc: int
    tasks: tuple[tuple[str, str, dict[str, Any]], ...]
    output: str

    def changed(self) -> list[str]:
        """Names of the tasks that changed something."""
        return [name for _, name, result in self.tasks if result.get("changed")]

    def failure(self) -> str:
        """The message of the task that failed last; the whole output where none says why the run failed."""
        failed = [result for _, _, result in self.tasks if result.get("failed") or result.get("unreachable")]
        return str(failed[-1]["msg"]) if failed else self.output

    def failed_task(self) -> str:
        """The name of the task that failed last, "" for none."""
        failed = [name for _, name, result in self.tasks if result.get("failed")]
        return failed[-1] if failed else ""


class Playbook:
    """The site's play with some of its roles, run from a lab's controller.

    roles: as in site.yml, with their tags. program: path of ansible-playbook.
    """

    def __init__(self, lab: Lab, folder: Path, roles: Sequence[str]) -> None:
        self._lab, self._folder = lab, folder
        self._program = program()
        folder.mkdir(exist_ok=True)
        if not (folder / "roles").exists():
            (folder / "roles").symlink_to(ANSIBLE / "roles")
        entries = ["    - role: sdops\n      tags: [always]\n"]
        entries += [f"    - role: {role}\n      tags: [{role}]\n" for role in roles]
        self._path = folder / "site.yml"
        self._path.write_text(PLAY + "".join(entries))

    def run(
        self, *hosts: Host, options: Sequence[str] = (), timeout: float = 300, **variables: Any
    ) -> Outcome:
        """Runs the playbook on hosts with these variables set."""
        inventory = self._lab.inventory(*hosts)
        settings = self._folder / "variables.json"
        settings.write_text(json.dumps(variables))
        ran = self._lab.controller.run(
            [self._program, "-i", inventory, self._path, "-e", f"@{settings}", *options],
            env=self._environment(),
            timeout=timeout,
            check=False,
        )
        return _outcome(ran.rc, ran.stdout, ran.stderr)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return {
            **kept,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_HOME": str(self._folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }


def releases() -> list[str]:
    """The Debian releases that hosts can be made of here."""
    found = []
    for name in base.RELEASES:
        with contextlib.suppress(UnavailableError):
            base.ready(name)
            found.append(name)
    return found


def listing(host: Host) -> str:
    """Everything on a host's disk with mode, owner, size and time, and its packages.

    Left out is what changes by itself, or by a login: /run and the like, and logs.
    """
    fields = r"%p %M %U:%G %l %s %T@\n"
    skipped = [word for path in VOLATILE for word in ("-path", path, "-prune", "-o")]
    folders = ["-type", "d", "-printf", fields.replace(" %s %T@", ""), "-o", "-printf", fields]
    files = host.inside(["find", "/", "-xdev", *skipped, *folders]).stdout
    packages = host.inside(["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Status}\n"]).stdout
    return "\n".join(sorted(files.splitlines())) + packages


def program(name: str = "ansible-playbook") -> str:
    """A program of Ansible's, beside this Python or on the PATH; skips the test where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def _outcome(rc: int, stdout: str, stderr: str) -> Outcome:
    begin = stdout.find("{")
    try:
        told = json.loads(stdout[begin:])
    except ValueError:
        return Outcome(rc, (), stdout + stderr)
    tasks = tuple(
        (host, task["task"]["name"].rpartition(" : ")[2], result)
        for play in told["plays"]
        for task in play["tasks"]
        for host, result in task["hosts"].items()
    )
    return Outcome(rc, tasks, stdout + stderr)
