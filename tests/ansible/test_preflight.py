"""Preflight on hosts: it passes or says what to set, and changes nothing in either case."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from fleets import of_each_release
from hosts.contents import listing
from hosts.fixtures import need_release
from hosts.gpu import install_fake_gpu
from hosts.host import Host
from hosts.lab import Lab
from plays import SHOWN, Outcome, Play

from .candidates import A100, CANDIDATES, boot_slowly, install_packages

NewHost = Callable[..., Host]

#: Nobody's address: TEST-NET-3 of RFC 5737.
NOBODY = ("-i", "203.0.113.9,")
NO_GPU = {"sdops_expect_gpu": False}
#: As many as Ansible works on at once.
BATCH = 5


@pytest.fixture(scope="module")
def play(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Play:
    return Play(lab, tmp_path_factory.mktemp("preflight"), "preflight")


@pytest.mark.hosts
def test_it_passes_on_every_release_and_changes_nothing(lab: Lab, play: Play) -> None:
    with of_each_release(lab) as hosts:
        everyone = tuple(hosts.values())
        for host in everyone:
            install_fake_gpu(host, A100)
        before = [listing(host) for host in everyone]
        assert "/etc/passwd " in before[0]
        for check in (True, False):
            assert play.run(*everyone, check=check).changed == ()
        assert [listing(host) for host in everyone] == before


def test_wrong_settings_fail_before_any_host_is_reached(tmp_path: Path) -> None:
    wrong = {"sdops_stack": "cu99", "sdops_env": "base"}
    said = Play(None, tmp_path, "preflight", variables=wrong).run(words=NOBODY, ok=False).message
    assert "sdops_stack is 'cu99', which is no stack. Set it to one of guide, cu124, cu130." in said
    assert "sdops_env is 'base', which is no name for an environment." in said


def test_an_old_ansible_fails_before_any_host_is_reached(tmp_path: Path) -> None:
    play = Play(None, tmp_path, "preflight", variables={"__preflight_ansible": "2.14.18"})
    assert "sdops needs 2.19 or later. Install" in play.run(words=NOBODY, ok=False).message


def test_a_malformed_token_fails_before_any_host_is_reached_and_is_not_shown(tmp_path: Path) -> None:
    play = Play(None, tmp_path, "preflight", variables={"hub_token_value": "hf_can ary"})
    shown = play.run(words=(*NOBODY, "-vvv"), ok=False, env=SHOWN)
    assert (
        "The hub access token is unusable: hub_token_value has a blank inside. A token is one word such as "
        "hf_AbCd. Copy it again from https://huggingface.co/settings/tokens." in shown.said
    )
    assert "can ary" not in shown.text


@dataclass(frozen=True)
class Judged:
    """What preflight did on a host, and whether the host is as it was before."""

    outcome: Outcome
    untouched: bool


@pytest.fixture(scope="module")
def judged(lab: Lab, play: Play) -> dict[str, Judged]:
    """All candidates, each judged on a host of its own. A few at a time: hosts share the machine's limits."""
    need_release("bookworm")
    names = list(CANDIDATES)
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    return {name: result for batch in batches for name, result in judge(lab, play, batch).items()}


def judge(lab: Lab, play: Play, names: list[str]) -> dict[str, Judged]:
    """Runs preflight on some of the candidates at once."""
    hosts = {name: lab.host(name, disk=CANDIDATES[name].disk, wait=False) for name in names}
    try:
        for name, host in hosts.items():
            host.wait_up()
            CANDIDATES[name].prepare(host)
            play.give(host, **CANDIDATES[name].settings)
        before = {name: listing(host) for name, host in hosts.items()}
        outcome = play.run(*hosts.values(), ok=all(not CANDIDATES[name].said for name in names))
        return {name: Judged(outcome.on(host), listing(host) == before[name]) for name, host in hosts.items()}
    finally:
        for host in hosts.values():
            lab.remove(host)


@pytest.mark.hosts
@pytest.mark.parametrize("name", CANDIDATES)
def test_a_host_passes_or_is_refused_and_stays_as_it_was(judged: dict[str, Judged], name: str) -> None:
    outcome = judged[name].outcome
    assert bool(outcome.failed) == bool(CANDIDATES[name].said)
    assert re.fullmatch(CANDIDATES[name].said, outcome.message), outcome.message
    assert outcome.changed == ()
    assert judged[name].untouched


@pytest.mark.hosts
def test_what_is_on_a_small_disk_already_counts(play: Play, new_host: NewHost) -> None:
    host = new_host(disk="1G")
    small: dict[str, object] = {"preflight_disk_stack_mb": {"guide": 900}, "preflight_disk_model_mb": 100}
    play.run(host, **NO_GPU, **small)
    host.inside(["sh", "-c", "useradd -m sdops && head -c 500M /dev/zero > /home/sdops/model"])
    play.run(host, **NO_GPU, **small)

    # But not what stays beside a stack that is still to come.
    there = "/home/sdops/.conda/envs/env1-guide-01234567"
    host.inside(["sh", "-c", f"mkdir -p {there} && mv /home/sdops/model {there}"])
    host.put(f"{there}/.sdops.json", '{"stack": "guide"}')
    play.run(host, **NO_GPU, **small)
    small["preflight_disk_stack_mb"] = {"cu124": 900}
    assert (
        "set preflight_disk_stack_mb"
        in play.run(host, ok=False, **NO_GPU, **small, sdops_stack="cu124").message
    )


@pytest.mark.hosts
def test_a_mirror_that_answers_will_do(lab: Lab, play: Play, host: Host, tmp_path: Path) -> None:
    command = ["python3", "-m", "http.server", "--directory", tmp_path, "8000", "--bind"]
    service = lab.serve(lambda address: [*command, address], 8000)
    play.run(host, sdops_expect_gpu="false", sdops_pip_index_url=f"{service.url}/none/simple")
    service.stop()


@pytest.mark.hosts
def test_a_lock_of_another_package_manager_is_waited_for(play: Play, host: Host) -> None:
    install_packages(host)
    host.inside(["sh", "-c", "(sleep 8; systemctl stop other-packages) >/dev/null 2>&1 &"])
    outcome = play.run(host, **NO_GPU)
    (waited,) = [task for task in outcome.tasks if task.name.startswith("Wait")]
    assert not waited.result.get("skipped", False)


@pytest.mark.hosts
def test_a_first_boot_is_waited_for(play: Play, host: Host) -> None:
    host.put("/usr/local/bin/cloud-init", '#!/bin/sh\n[ "$*" = "status --wait" ]\n', mode=0o755)
    play.run(host, **NO_GPU)
    host.inside(["sh", "-c", "mkdir /run/cloud-init; echo '{}' > /run/cloud-init/result.json"])
    boot_slowly(host)
    play.run(host, **NO_GPU)
