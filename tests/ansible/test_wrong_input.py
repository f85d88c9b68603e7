"""Wrong input ends site.yml in preflight, says what to set, and leaves the host as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.conda import mirror
from hosts.contents import listing
from hosts.host import Host
from hosts.lab import Lab, Service
from plays import Play

pytestmark = pytest.mark.hosts

VERSION = mirror.VERSIONS[1]


@pytest.fixture(scope="module")
def fresh(lab: Lab) -> Iterator[Host]:
    """A host that every test finds fresh, because none may change it."""
    host = lab.host(packages=False)
    yield host
    lab.remove(host)


@pytest.fixture
def settings(made: mirror.Mirror, served: Service) -> dict[str, object]:
    """Settings that would do."""
    return {
        "sdops_expect_gpu": False,
        "sdops_conda_channel_alias": f"{served.url}/channels",
        "miniconda_base_url": f"{served.url}/miniconda",
        "miniconda_version": VERSION,
        "miniconda_sha256": made.installers[VERSION],
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(
            {"sdops_stack": "cu99"},
            "sdops_stack is 'cu99', which is no stack. Set it to one of guide, cu124, cu130.",
            id="unknown stack",
        ),
        pytest.param({"sdops_user": "Big Boss"}, "Set it to a name of small letters", id="account"),
        pytest.param(
            {"hub_token_value": "hf_canary word"},
            "The hub access token is unusable: hub_token_value has a blank inside.",
            id="token",
        ),
        pytest.param(
            {"service_user_authorized_keys": ["ssh-ed25519"]},
            "Set it to lines as they stand in a file ~/.ssh/id_ed25519.pub.",
            id="key",
        ),
        pytest.param(
            {"preflight_disk_model_mb": 90_000}, "Take a host with a larger disk, or set", id="small disk"
        ),
        pytest.param(
            {"miniconda_sha256": "123"},
            "miniconda_sha256 is not a SHA-256: 64 hexadecimal digits.",
            id="hash",
        ),
        pytest.param(
            {"miniconda_sha256": "0" * 64},
            "is not the file that is expected: its SHA-256 is",
            id="checksum that does not match",
        ),
        pytest.param(
            {"miniconda_sha256": "", "miniconda_version": "py39_1.2.3-4"},
            "sdops does not know the SHA-256 of Miniconda py39_1.2.3-4. Set miniconda_sha256",
            id="unknown version",
        ),
        pytest.param(
            {"miniconda_version": "py39_1.2.3-4"},
            "cannot be read from the host: the answer is 404. Set miniconda_base_url",
            id="version that the mirror lacks",
        ),
        pytest.param(
            {"sdops_conda_channel_alias": "http://198.18.0.1:9"},
            "sdops_conda_channel_alias is http://198.18.0.1:9, which the host cannot reach",
            id="unreachable mirror",
        ),
        pytest.param(
            {"sdops_expect_gpu": True}, "The host has no NVIDIA GPU. Take a plan with one", id="no GPU"
        ),
        pytest.param(
            {"sdops_expect_gpu": True, "stack_env_torch_by_pip": True},
            "Set stack_env_torch_by_pip to false, or sdops_expect_gpu to false",
            id="torch without its CUDA",
        ),
    ],
)
def test_it_ends_in_preflight_and_nothing_is_changed(
    lab: Lab, tmp_path: Path, fresh: Host, settings: dict[str, object], wrong: dict[str, object], said: str
) -> None:
    before = listing(fresh)
    outcome = Play(lab, tmp_path, playbook="site.yml", variables={**settings, **wrong}).run(fresh, ok=False)
    assert said in outcome.text
    assert outcome.changed == ()
    assert listing(fresh) == before
