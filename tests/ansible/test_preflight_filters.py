"""Preflight's judgement: what is wrong with settings and hosts, in sentences that say what to set."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sdops_runtime import stack

FILTERS = Path(__file__).parents[2] / "ansible" / "roles" / "preflight" / "filter_plugins" / "preflight.py"

KEY = "ssh-ed25519 " + "A" * 68

GOOD: dict[str, Any] = {
    "sdops_stack": "guide",
    "sdops_user": "sdops",
    "sdops_env": "env1",
    "sdops_model": "somebody/some-model",
    "sdops_expect_gpu": True,
    "mirrors": {
        "sdops_conda_channel_alias": "",
        "sdops_pip_index_url": "",
        "sdops_hub_endpoint": "https://hub.example",
    },
    "keys": [],
}

RELEASES = {"debian": ["11", "12", "13"], "ubuntu": ["22.04", "24.04"]}
BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\r\nID=debian\r\nVERSION_ID="12"\r\n'
X86 = "MACHINE=x86_64\r\nUSER_ID=0\r\nPYTHON=/usr/bin/python3\r\n"


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preflight", FILTERS)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mirrors(**urls: str) -> dict[str, Any]:
    return {"mirrors": {**GOOD["mirrors"], **urls}}


def account_fault(name: str) -> str:
    return (
        f"sdops_user is {name!r}, which is no name for an account. Set it to a name of small letters, "
        "digits, _ and -, that begins with a letter and has 32 characters at most."
    )


def environment_fault(name: str) -> str:
    return (
        f"sdops_env is {name!r}, which is no name for an environment. Set it to a name of letters, digits, "
        "_, . and -, other than base and root."
    )


def address_fault(variable: str, url: str) -> str:
    return (
        f"{variable} is {url!r}, which is no address. Set it to one that begins with http://, https:// or "
        "file://, or leave it empty for the public one."
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sdops_stack": "cu124"},
        {"sdops_user": "stable-diffusion_2"},
        {"sdops_env": "Env.1"},
        {"sdops_expect_gpu": "false"},
        {"sdops_expect_gpu": "no"},
        mirrors(sdops_conda_channel_alias="http://user:word@mirror.example:8080/conda/"),
        mirrors(sdops_pip_index_url="file:///srv/pip/simple"),
        {"keys": [KEY, f"{KEY} me@laptop", f'from="192.0.2.1",no-pty {KEY}', f"{KEY}\n"]},
    ],
    ids=str,
)
def test_good_settings_have_no_faults(judge: ModuleType, change: dict[str, Any]) -> None:
    assert judge.setting_faults({**GOOD, **change}) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"sdops_stack": "cu99"},
            "sdops_stack is 'cu99', which is no stack. Set it to one of guide, cu124, cu130.",
        ),
        ({"sdops_user": "Bad User"}, account_fault("Bad User")),
        ({"sdops_user": "1st"}, account_fault("1st")),
        ({"sdops_user": "x" * 33}, account_fault("x" * 33)),
        ({"sdops_user": "me\n"}, account_fault("me\n")),
        ({"sdops_user": ""}, account_fault("")),
        (
            {"sdops_user": "root"},
            "sdops_user is 'root'. Set it to the name of an account without privileges.",
        ),
        ({"sdops_env": "a/b"}, environment_fault("a/b")),
        ({"sdops_env": "base"}, environment_fault("base")),
        ({"sdops_env": ".."}, environment_fault("..")),
        ({"sdops_expect_gpu": "maybe"}, "sdops_expect_gpu is 'maybe'. Set it to true or false."),
        (
            {"sdops_model": " "},
            "sdops_model is empty. Set it to a model's name at the hub or to a folder on the host.",
        ),
        (
            mirrors(sdops_pip_index_url="pip.example"),
            address_fault("sdops_pip_index_url", "pip.example"),
        ),
        (
            mirrors(sdops_conda_channel_alias="http://me:word@conda.example:port"),
            address_fault("sdops_conda_channel_alias", "http://…@conda.example:port"),
        ),
        (
            mirrors(sdops_conda_channel_alias="https://"),
            address_fault("sdops_conda_channel_alias", "https://"),
        ),
        (
            mirrors(sdops_hub_endpoint=""),
            "sdops_hub_endpoint is empty. Set it to the address of the model hub.",
        ),
        (
            mirrors(sdops_hub_endpoint="file:///srv/hub"),
            "sdops_hub_endpoint is 'file:///srv/hub', which is no address. Set it to one that begins with "
            "http:// or https://.",
        ),
        (
            {"keys": ["ssh-ed25519 short"]},
            "service_user_authorized_keys has 'ssh-ed25519 short', which is no public key. Set it to lines "
            "as they stand in a file ~/.ssh/id_ed25519.pub.",
        ),
        (
            {"keys": "ssh-ed25519 AAAA me@laptop"},
            "service_user_authorized_keys is 'ssh-ed25519 AAAA me@laptop', which is no list. Set it to a "
            "list of lines as they stand in a file ~/.ssh/id_ed25519.pub: ['ssh-ed25519 AAAA...'].",
        ),
        (
            {"keys": ["-----BEGIN OPENSSH PRIVATE KEY-----\nabcdefgh"]},
            "service_user_authorized_keys has '-----BEGIN OPENSSH PRIVATE KEY-----', which is no public "
            "key. Set it to lines as they stand in a file ~/.ssh/id_ed25519.pub.",
        ),
    ],
)
def test_wrong_settings_are_told_with_what_to_set(
    judge: ModuleType, change: dict[str, Any], fault: str
) -> None:
    assert judge.setting_faults({**GOOD, **change}) == [fault]


@pytest.mark.parametrize(
    ("version", "passes"), [("2.14.18", False), ("2.18.9", False), ("2.19.0rc1", True), ("3.0.0", True)]
)
def test_an_ansible_that_is_too_old_is_told(judge: ModuleType, version: str, passes: bool) -> None:
    meta = (FILTERS.parents[1] / "meta" / "main.yml").read_text()
    faults = judge.ansible_faults(version, meta)
    assert len(faults) == (0 if passes else 1)
    assert all(
        fault.startswith(f"The Ansible on this machine has ansible-core {version},") for fault in faults
    )


def test_all_wrong_settings_are_told_at_once(judge: ModuleType) -> None:
    assert len(judge.setting_faults({**GOOD, "sdops_stack": "x", "sdops_user": "X", "sdops_env": "a b"})) == 3


def test_only_mirrors_that_somebody_set_are_asked(judge: ModuleType) -> None:
    public = {"hub": "https://hub.example"}
    assert judge.named_mirrors({"hub": "https://hub.example/", "pip": ""}, public) == {}
    assert judge.named_mirrors({"hub": "http://mirror.example", "pip": "http://p"}, public) == {
        "hub": "http://mirror.example",
        "pip": "http://p",
    }


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(BOOKWORM + X86, [], id="Debian 12"),
        pytest.param('ID=ubuntu\nVERSION_ID="24.04"\n' + X86, [], id="Ubuntu 24.04"),
        pytest.param(
            'PRETTY_NAME="Debian GNU/Linux 10 (buster)"\nID=debian\nVERSION_ID="10"\n' + X86,
            [
                "The host runs Debian GNU/Linux 10 (buster). sdops knows Debian 11, 12, 13 and Ubuntu 22.04, "
                "24.04: make the host anew with one of these."
            ],
            id="too old",
        ),
        pytest.param(
            'PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n' + X86,
            [
                "The host runs Debian GNU/Linux forky/sid. sdops knows Debian 11, 12, 13 and Ubuntu 22.04, "
                "24.04: make the host anew with one of these."
            ],
            id="unreleased",
        ),
        pytest.param(
            X86,
            [
                "The host runs an unknown system. sdops knows Debian 11, 12, 13 and Ubuntu 22.04, 24.04: "
                "make the host anew with one of these."
            ],
            id="no os-release",
        ),
        pytest.param(
            BOOKWORM + "MACHINE=aarch64\nUSER_ID=1000\nPYTHON=\n",
            [
                "The host's processor is aarch64. The packages are for x86_64: take a host with that.",
                "The login has no root rights. Set ansible_user: root, or ansible_become: true.",
                "The host has no python3, which Ansible needs. Run there: "
                "apt-get update && apt-get install --yes python3",
            ],
            id="everything else",
        ),
    ],
)
def test_a_host_is_judged_by_its_first_look(judge: ModuleType, text: str, faults: list[str]) -> None:
    assert judge.host_faults(judge.host_facts(text), RELEASES) == faults


def gpu(driver: str, *kinds: tuple[str, str | None]) -> dict[str, Any]:
    found = [{"name": name, "capability": capability, "memory_mb": 1} for name, capability in kinds]
    return {"state": "ok", "driver": driver, "cuda": "", "gpus": found}


A100, H100 = ("GRID A100D-10C", "8.0"), ("NVIDIA H100 PCIe", "9.0")


@pytest.mark.parametrize(
    ("probe", "name"),
    [
        pytest.param(gpu("510.85.02", A100), "guide", id="the guide's own"),
        pytest.param(gpu("470.82.01", ("A100", None)), "guide", id="a driver that tells no capability"),
        pytest.param(gpu("610.12.01", ("NVIDIA L40S", "8.9")), "guide", id="same major number"),
        pytest.param(gpu("550.54.14", H100), "cu124", id="Hopper"),
        pytest.param(gpu("580.65.06", ("NVIDIA B200", "10.0"), H100), "cu130", id="Blackwell and Hopper"),
    ],
)
def test_a_stack_that_runs_has_no_faults(judge: ModuleType, probe: dict[str, Any], name: str) -> None:
    assert judge.gpu_faults(probe, name) == []


@pytest.mark.parametrize(
    ("probe", "name", "fault"),
    [
        pytest.param(
            gpu("470.82.01", A100),
            "cu124",
            "The NVIDIA driver is 470.82.01; stack cu124 needs {cu124.minimum_driver} or newer. "
            "Set sdops_stack: guide.",
            id="driver too old",
        ),
        pytest.param(
            gpu("550.54.14", H100),
            "guide",
            "NVIDIA H100 PCIe has compute capability 9.0; stack guide has kernels for {kernels}. "
            "Set sdops_stack: cu124.",
            id="GPU too new",
        ),
        pytest.param(
            gpu("610.12.01", H100, H100),
            "guide",
            "NVIDIA H100 PCIe has compute capability 9.0; stack guide has kernels for {kernels}. "
            "Set sdops_stack: cu124 or cu130.",
            id="two stacks will do",
        ),
        pytest.param(
            gpu("470.82.01", H100),
            "guide",
            "NVIDIA H100 PCIe has compute capability 9.0; stack guide has kernels for {kernels}. "
            "No other stack runs there either. Make the host anew from an image with a newer driver, or take "
            "another GPU; sdops never changes a driver.",
            id="none will do",
        ),
    ],
)
def test_a_stack_that_cannot_run_is_refused_and_the_one_that_can_is_named(
    judge: ModuleType, probe: dict[str, Any], name: str, fault: str
) -> None:
    kernels = ", ".join(stack.load("guide").kernels)
    expected = fault.format(cu124=stack.load("cu124"), kernels=kernels)
    assert judge.gpu_faults(probe, name) == [expected]


def test_every_state_of_the_driver_has_a_remedy_that_leaves_it_alone(judge: ModuleType) -> None:
    for state in judge.GPU_STATES:
        (fault,) = judge.gpu_faults({"state": state, "said": "x", "code": 9}, "guide")
        assert "nvidia-smi said 'x' (exit code 9)." in fault
        assert "apt" not in fault


def room(**change: Any) -> dict[str, Any]:
    found = {
        "account": {"uid": None, "home": "/home/sdops", "groups": []},
        "free_mb": 20000,
        "occupied_mb": 0,
        "memory_mb": 16000,
        "root_keys": 1,
        "mirrors": {},
        "installer": {},
    }
    return {**found, **change}


WANTED = {
    "user": "sdops",
    "stack": "guide",
    "disk_mb": "13500",
    "memory_mb": 3500,
    "keys": [],
    "mirrors": {"sdops_pip_index_url": "http://me:word@pip.example/simple"},
    "installer": {"url": "http://me:word@conda.example/M.sh", "sha256": "aa"},
}


@pytest.mark.parametrize(
    ("probe", "faults"),
    [
        pytest.param(room(), [], id="enough"),
        pytest.param(room(free_mb=4000, occupied_mb=10000), [], id="there already"),
        pytest.param(
            room(free_mb=4000, occupied_mb=1),
            [
                "/home/sdops has 4000 MB of free disk; stack guide and the model need 13500 MB. Take a host "
                "with a larger disk, or set preflight_disk_stack_mb and preflight_disk_model_mb to what "
                "yours need."
            ],
            id="disk",
        ),
        pytest.param(
            room(memory_mb=1000),
            [
                "The host has 1000 MB of memory; loading the model needs 3500 MB. Take a larger host, or set "
                "preflight_memory_mb to what your model needs."
            ],
            id="memory",
        ),
        pytest.param(
            room(account={"uid": 33, "home": "/var/www", "groups": ["www-data"]}),
            ["sdops is an account of the host's own system. Set sdops_user to another name."],
            id="a system's account",
        ),
        pytest.param(
            room(account={"uid": 1000, "home": "/home/sdops", "groups": ["adm", "lxd", "sudo"]}),
            [
                "sdops is an account on the host that has root's rights (group lxd, sudo), a person's "
                "perhaps. Set sdops_user to another name."
            ],
            id="a person's account",
        ),
        pytest.param(room(account={"uid": 1000, "home": "/home/sdops", "groups": ["sdops"]}), [], id="own"),
        pytest.param(
            room(mirrors={"sdops_pip_index_url": "timed out."}),
            [
                "sdops_pip_index_url is http://…@pip.example/simple, which the host cannot reach: timed out. "
                "Set it to an address that answers, or leave it out for the public one."
            ],
            id="mirror, without its password",
        ),
        pytest.param(room(installer={"sha256": "aa", "fault": None}), [], id="installer"),
        pytest.param(
            room(installer={"sha256": "bb", "fault": None}),
            [
                "http://…@conda.example/M.sh is not the file that is expected: its SHA-256 is bb, and not "
                "aa. If it is your mirror's own and you trust it, set miniconda_sha256 to that."
            ],
            id="another installer",
        ),
        pytest.param(
            room(installer={"sha256": None, "fault": "the answer is 404"}),
            [
                "Miniconda's installer, http://…@conda.example/M.sh, cannot be read from the host: the "
                "answer is 404. Set miniconda_base_url to a place that has this file, or miniconda_version "
                "to one that is there."
            ],
            id="no installer",
        ),
    ],
)
def test_a_host_is_judged_by_its_room(judge: ModuleType, probe: dict[str, Any], faults: list[str]) -> None:
    assert judge.room_faults(probe, WANTED) == faults
