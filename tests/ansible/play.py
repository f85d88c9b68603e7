"""Runs roles against test hosts with a real ansible-playbook and tells what each task did.

    play = Play(lab, tmp_path, "miniconda", variables={"sdops_user": "joe"})
    assert play.run(host).changed == {...}

The roles run with the settings of the role sdops, as in site.yml; variables override them. The
inventory lies in a folder of its own, so that what is kept beside it (locks) is the test's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from doubles.conda import mirror
from hosts.command import Argument
from hosts.host import Host
from hosts.lab import Lab, Service

ANSIBLE = Path(__file__).parents[2] / "ansible"

#: A converge that downloads and installs; everything else is far quicker.
TIMEOUT = 600


def program() -> Path:
    """The ansible-playbook beside this Python, or else on the PATH; skips where there is none."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    if not found:
        pytest.skip("ansible-playbook is not installed")
    return Path(found)


@dataclass(frozen=True)
class Outcome:
    """What a run did. changed, failed: "host: task" of each, in order; messages: of the failed ones."""

    rc: int
    changed: tuple[str, ...]
    failed: tuple[str, ...]
    messages: tuple[str, ...]
    text: str
    seconds: float

    @property
    def message(self) -> str:
        """The message of the last failure."""
        return self.messages[-1] if self.messages else ""


class Play:
    """Roles, or a whole playbook of the project's, with variables."""

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        *roles: str,
        playbook: str = "",
        variables: Mapping[str, object] | None = None,
    ) -> None:
        """folder: the test's own. playbook: of ansible/, by name, instead of roles."""
        self.lab, self.folder = lab, folder
        self.variables = dict(variables or {})
        self.program = program()
        place = folder / "play"
        place.mkdir(exist_ok=True)
        listed = [{"role": "sdops", "tags": ["always"]}, *({"role": role, "tags": [role]} for role in roles)]
        play = {"name": "Roles", "hosts": "all", "gather_facts": False, "roles": listed}
        self.playbook = ANSIBLE / playbook if playbook else place / "play.yml"
        if not playbook:
            self.playbook.write_text(json.dumps([play]))

    def give(self, host: Host, **variables: object) -> None:
        """Sets variables of one host, beside the inventory; those of the play come before them."""
        folder = self.folder / "host_vars"
        folder.mkdir(exist_ok=True)
        (folder / f"{host.name}.json").write_text(json.dumps(variables))

    def run(
        self,
        *hosts: Host,
        check: bool = False,
        ok: bool = True,
        words: tuple[str, ...] = (),
        **variables: object,
    ) -> Outcome:
        """Runs it; variables override those of the play. Fails the test unless it ends as it should."""
        given = {**self.variables, **variables}
        inventory = self.folder / "inventory.ini"
        shutil.copy(self.lab.inventory(*hosts), inventory)
        argv: list[Argument] = [self.program, "-i", inventory]
        argv += ["--check", "--diff"] if check else []
        argv += ["-e", json.dumps(given), *words, self.playbook]
        environment = {
            **os.environ,
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_ROLES_PATH": str(ANSIBLE / "roles"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
        }
        ran = self.lab.controller.run(argv, timeout=TIMEOUT, check=False, env=environment)
        outcome = read(ran.rc, ran.stdout, ran.stderr, ran.seconds)
        rest = "" if outcome.failed else outcome.text[-3000:]
        assert (outcome.rc == 0) == ok, "\n".join((*outcome.failed, *outcome.messages, rest))
        return outcome


def read(rc: int, stdout: str, stderr: str, seconds: float) -> Outcome:
    """Reads what the json callback printed."""
    text = stdout + stderr
    start = stdout.find("{")
    try:
        told, _ = json.JSONDecoder().raw_decode(stdout[start:])
    except ValueError:
        return Outcome(rc, (), (), (), text, seconds)
    changed, failed, messages = [], [], []
    for play in told["plays"]:
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                named = f"{host}: {task['task']['name'].rsplit(' : ', 1)[-1]}"
                if result.get("failed") or result.get("unreachable"):
                    failed.append(named)
                    messages.append(_message(result))
                elif result.get("changed"):
                    changed.append(named)
    return Outcome(rc, tuple(changed), tuple(failed), tuple(messages), text, seconds)


def _message(result: Mapping[str, Any]) -> str:
    """The message of a failed result, or of its failed items."""
    items = [item for item in result.get("results", ()) if item.get("failed")]
    if items:
        return "\n".join(_message(item) for item in items)
    parts = [str(result.get(key, "")) for key in ("msg", "stderr", "stdout")]
    return "\n".join(part for part in parts if part)


def account(host: Host, name: str = "sdops") -> None:
    """Makes the account, as the role service_user leaves it to the roles after it."""
    key = host.root / "root/.ssh/authorized_keys"
    host.inside(["useradd", "--create-home", "--shell", "/bin/bash", name])
    host.inside(["install", "-d", "-m", "0700", "-o", name, "-g", name, f"/home/{name}/.ssh"])
    target = f"/home/{name}/.ssh/authorized_keys"
    host.put(target, key.read_bytes(), mode=0o600)
    host.inside(["chown", f"{name}:{name}", target])


def conda(host: Host, made: mirror.Mirror, served: Service, name: str = "sdops") -> None:
    """Makes account and conda on a host, as the roles before stack_env leave them, in a second."""
    account(host, name)
    version = mirror.VERSIONS[1]
    installer = f"Miniconda3-{version}-Linux-x86_64.sh"
    host.put(f"/opt/{installer}", (made.folder / "miniconda" / installer).read_bytes())
    settings = (
        f"channels: [conda-forge]\nchannel_alias: {served.url}/channels\n"
        f"envs_dirs:\n  - /home/{name}/.conda/envs\npkgs_dirs:\n  - /home/{name}/.conda/pkgs\n"
    )
    script = f"""set -e
cd; base=$PWD/miniconda3-{version}
sh /opt/{installer} -b -p "$base"
mkdir -p .conda/envs .conda/pkgs
ln -s "$base" miniconda3; ln -s "$PWD/.conda/envs" "$base/envs"
cat >"$base/.condarc"
echo '. ~/miniconda3/etc/profile.d/conda.sh' | tee -a .profile >>.bashrc
"""
    host.run(["su", "-", name, "-c", script], stdin=settings.replace("[conda-forge]", "\n  - conda-forge"))
