"""site.yml, killed at any task and run again: the host ends as one whose run nobody disturbed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from doubles import hub
from hosts.host import Host
from hosts.lab import Lab
from plays import Play

from . import boundaries, driver_packages
from .boundaries import Kill, Step
from .state import State, difference, state

pytestmark = pytest.mark.hosts

#: Those that change a host, in the order of site.yml.
ROLES = ("service_user", "miniconda", "stack_env", "hub_token", "runtime")

#: How many runs are under way at the same time; they wait for their hosts half of their time.
SIDE_BY_SIDE = 3


@dataclass(frozen=True)
class Undisturbed:
    """What a run did that nobody disturbed, and the state of its host afterwards."""

    steps: tuple[Step, ...]
    state: State

    def boundaries(self) -> dict[str, list[Kill]]:
        """Ends of the steps that change the host, by role: between two of them all boundaries are one."""
        found: dict[str, list[Kill]] = {}
        for step, after in itertools.pairwise(self.steps):
            if step.changed:
                found.setdefault(step.role, []).append(Kill(after))
        return found

    def middles(self, number: int) -> tuple[Kill, ...]:
        """The longest steps that change the host, when half their time is over."""
        longest = sorted((step for step in self.steps if step.changed), key=lambda step: -step.seconds)
        chosen = sorted(longest[:number], key=lambda step: step.number)
        return tuple(Kill(step, step.seconds / 2) for step in chosen)


class Site:
    """The whole of site.yml on hosts as a cloud has them: a GPU with its driver, logins by password."""

    def __init__(self, lab: Lab, folder: Path, variables: dict[str, object]) -> None:
        self.lab, self.folder = lab, folder
        self.variables = {
            **variables,
            "service_user_harden_ssh": True,
            "hub_token_value": hub.GOOD,
            "hub_token_check": True,
            "runtime_prefetch": True,
        }

    def play(self, name: str) -> Play:
        """The playbook, with a folder of its own for what the controller writes."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Play(self.lab, folder, playbook="site.yml", variables=self.variables)

    def host(self) -> Host:
        """A fresh one."""
        host = self.lab.host()
        # These hosts have a mirror in their own network; the other way leads to the public index.
        (host.root / "etc/pip.conf").unlink()
        driver_packages.install(host)
        host.inside(["rm", "/etc/ssh/sshd_config.d/10-test-host.conf"])
        host.put("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n")
        host.inside(["systemctl", "reload", "ssh"])
        return host

    def recovered(self, kills: Sequence[Kill], undisturbed: Undisturbed) -> str:
        """What is wrong with hosts whose run was killed then, after another one; as JSON."""
        hosts = [self.host() for _ in kills]
        try:
            with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                plays = [self.play(host.name) for host in hosts]
                list(pool.map(boundaries.kill, plays, hosts, kills))
            whole = self.play("all")
            whole.run(*hosts)
            wrong: dict[str, object] = {}
            for host, point in zip(hosts, kills, strict=True):
                if found := difference(state(self.lab, host), undisturbed.state):
                    wrong[str(point)] = found
            again = whole.run(*hosts).changed
            if again:
                wrong["changed by a third run"] = again
            return json.dumps(wrong, indent=1)
        finally:
            for host in hosts:
                self.lab.remove(host)


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory, small_site: dict[str, object]) -> Iterator[Site]:
    return Site(lab, tmp_path_factory.mktemp("interrupted"), small_site)


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> Undisturbed:
    host = site.host()
    try:
        steps = boundaries.watch(site.play("undisturbed"), host)
        return Undisturbed(steps, state(site.lab, host))
    finally:
        site.lab.remove(host)


@pytest.mark.slow
def test_a_run_that_was_killed_is_finished_by_the_next(site: Site, undisturbed: Undisturbed) -> None:
    """At one boundary of each role, and in the middle of the two longest steps. At all: make test-slow."""
    sample = [of_role[len(of_role) // 2] for of_role in undisturbed.boundaries().values()]
    assert site.recovered([*sample, *undisturbed.middles(2)], undisturbed) == "{}"


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_a_run_that_was_killed_at_any_boundary_is_finished_by_the_next(
    site: Site, undisturbed: Undisturbed, role: str
) -> None:
    assert tuple(undisturbed.boundaries()) == ROLES
    assert site.recovered(undisturbed.boundaries()[role], undisturbed) == "{}"


@pytest.mark.slow
def test_a_run_that_was_killed_within_a_step_is_finished_by_the_next(
    site: Site, undisturbed: Undisturbed
) -> None:
    assert site.recovered(undisturbed.middles(10), undisturbed) == "{}"
