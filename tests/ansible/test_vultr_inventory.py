"""The example inventory for Vultr, against a double of its API on loopback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from doubles.vultr import KEY, Vultr, instance
from hosts.gpu import install_fake_gpu
from hosts.host import Host
from hosts.lab import Lab
from plays import ANSIBLE, Play, program

INVENTORY = ANSIBLE / "inventory.vultr.yml"

INSTANCES = [
    instance("gpu1", "203.0.113.10"),
    instance("gpu2", "203.0.113.11", region="fra", tags=["sdops", "blackwell"]),
    instance("cpu1", "203.0.113.12", plan="vc2-2c-4gb"),
    instance("stopped", "203.0.113.13", power_status="stopped"),
    instance("booting", "0.0.0.0"),
    instance("somebody's", "203.0.113.14", tags=[]),
]


def finding(api: Vultr, key: str = KEY) -> dict[str, str]:
    """What the inventory plugin finds the double by."""
    return {"VULTR_API_KEY": key, "VULTR_API_ENDPOINT": api.endpoint, "no_proxy": "*"}


def ask(api: Vultr, home: Path, *words: str, key: str = KEY, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs ansible-inventory with the example and the double."""
    return subprocess.run(
        [program("ansible-inventory"), "-i", INVENTORY, *words],
        capture_output=True,
        text=True,
        env=Play(None, home).environment(**finding(api, key), **more),
        timeout=60,
        check=False,
    )


def plain(value: Any) -> Any:
    """A value without the mark that Ansible puts on what comes from outside."""
    if isinstance(value, dict):
        return (
            value["__ansible_unsafe"]
            if "__ansible_unsafe" in value
            else {k: plain(v) for k, v in value.items()}
        )
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_running_instances_with_the_tag_become_hosts(tmp_path: Path) -> None:
    with Vultr(INSTANCES) as api:
        told = plain(json.loads(ask(api, tmp_path, "--list").stdout))
    hosts = told.pop("_meta")["hostvars"]
    assert sorted(hosts) == ["cpu1", "gpu1", "gpu2"]
    assert {name: (host["ansible_host"], host["sdops_expect_gpu"]) for name, host in hosts.items()} == {
        "gpu1": ("203.0.113.10", True),
        "gpu2": ("203.0.113.11", True),
        "cpu1": ("203.0.113.12", False),
    }
    assert {name: group["hosts"] for name, group in told.items() if "hosts" in group} == {
        "gpu": ["gpu1", "gpu2"],
        "region_ewr": ["gpu1", "cpu1"],
        "region_fra": ["gpu2"],
        "tag_sdops": ["gpu1", "gpu2", "cpu1"],
        "tag_blackwell": ["gpu2"],
    }


def test_all_pages_are_read(tmp_path: Path) -> None:
    many = [instance(f"gpu{number}", f"203.0.113.{number}") for number in range(1, 6)]
    with Vultr(many) as api:
        told = json.loads(ask(api, tmp_path, "--list", VULTR_API_RESULTS_PER_PAGE="2").stdout)
    assert len(told["_meta"]["hostvars"]) == 5
    assert api.asked == [(0, 2), (2, 2), (4, 2)]


def test_a_key_that_is_refused_is_said_and_not_shown(tmp_path: Path) -> None:
    strict = {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "true"}
    with Vultr(INSTANCES) as api:
        refused = ask(api, tmp_path, "--list", "-vvv", key="canary", **strict)
    assert refused.returncode != 0
    assert "401" in refused.stderr
    assert "canary" not in refused.stdout + refused.stderr
    with Vultr(INSTANCES, blocked=True) as api:
        blocked = ask(api, tmp_path, "--list", **strict)
    assert "403" in blocked.stderr


@pytest.mark.hosts
def test_the_play_reaches_its_hosts(lab: Lab, host: Host, tmp_path: Path) -> None:
    reach = {
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab.controller.known_hosts}",
        "ansible_ssh_private_key_file": str(lab.controller.key),
        "ansible_control_path_dir": str(lab.folder / "cp"),
    }
    play = Play(lab, tmp_path, "preflight", variables=reach)
    install_fake_gpu(
        host,
        {
            "": "| NVIDIA-SMI 535.129.03   Driver Version: 535.129.03   CUDA Version: 12.2     |\n",
            "*": "GRID A100D-10C, 10240, 8.0\n",
        },
    )
    with Vultr([instance("gpu1", host.address)], listening=lab.listen()) as api:
        ran = play.run(words=("-i", INVENTORY, "--limit", "gpu"), env=finding(api))
    assert {task.host for task in ran.tasks} == {"gpu1"}
