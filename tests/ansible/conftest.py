"""What tests of roles share: the look-alike mirror, small stacks and their package index."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import fleet_hosts
import pytest
from doubles import env, hub, model_files, package_index, wheelhouse
from doubles.conda import mirror
from fleets import Fleet
from groundwork import conda
from hosts.base import RELEASES
from hosts.fixtures import need_release
from hosts.host import Host
from hosts.lab import Lab, Service
from hosts.machine import UnavailableError
from sdops_runtime import stack

from . import small_stacks


@pytest.fixture(scope="session")
def made(lab: Lab) -> mirror.Mirror:
    """The look-alike conda mirror's files; skips where they cannot be had."""
    try:
        return mirror.ready()
    except UnavailableError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def served(lab: Lab, made: mirror.Mirror) -> Service:
    """The look-alike conda mirror in the test network."""
    return made.serve(lab)


@pytest.fixture(scope="session")
def model_hub(lab: Lab, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The hub's double with a gated model: the demo model, with papers."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    shutil.copytree(demo_folder, folder)
    (folder / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\n")
    (folder / "LICENSE").write_text(model_files.LICENCE)
    program = [sys.executable, hub.__file__, "--port", "8080", "--model-dir", folder, "--gated"]
    return lab.serve(lambda address: [*program, "--bind", address], 8080)


@pytest.fixture(scope="session")
def wheels(lab: Lab) -> Service:
    """A package index with the wheels of the guide's lock."""
    program = [
        sys.executable,
        "-I",
        "-m",
        "http.server",
        "--directory",
        wheelhouse.ready(stack.load("guide").cpu_lock),
    ]
    return lab.serve(lambda address: [*program, "--bind", address, "8080"], 8080)


@pytest.fixture(scope="session")
def mirrored(made: mirror.Mirror, served: Service, wheels: Service, model_hub: Service) -> dict[str, object]:
    """Settings of a person who has mirrors of everything, for hosts without a GPU."""
    version = mirror.VERSIONS[1]
    return {
        "sdops_expect_gpu": False,
        "stack_env_torch_by_pip": True,
        "sdops_conda_channel_alias": f"{served.url}/channels",
        "sdops_pip_index_url": f"{wheels.url}/simple",
        "sdops_hub_endpoint": model_hub.url,
        "miniconda_base_url": f"{served.url}/miniconda",
        "miniconda_version": version,
        "miniconda_sha256": made.installers[version],
    }


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> small_stacks.Stacks:
    """Stacks that take seconds."""
    return small_stacks.write(tmp_path_factory.mktemp("stacks"))


@pytest.fixture(scope="session")
def index(lab: Lab, stacks: small_stacks.Stacks) -> Service:
    """The small stacks' package index in the test network."""
    command = [sys.executable, "-I", "-m", "http.server", "--directory", stacks.index, "--bind"]
    return lab.serve(lambda address: [*command, address, "8080"], 8080)


@pytest.fixture(scope="session")
def small(stacks: small_stacks.Stacks, served: Service, index: Service) -> dict[str, object]:
    """Variables by which a person behind a mirror would get a small stack, for hosts without a GPU."""
    return {
        "sdops_stack": "alpha",
        "sdops_expect_gpu": False,
        "sdops_conda_channel_alias": f"{served.url}/channels",
        "sdops_pip_index_url": f"{index.url}/simple",
        "__stack_env_sources": str(stacks.folder),
    }


@pytest.fixture(scope="session")
def small_site(
    lab: Lab,
    tmp_path_factory: pytest.TempPathFactory,
    made: mirror.Mirror,
    served: Service,
    stacks: small_stacks.Stacks,
) -> dict[str, object]:
    """Variables for the whole of site.yml that takes seconds: a small stack, with the hub's real libraries.

    The hub's double has a gated model of a few kilobytes.
    """
    folder = tmp_path_factory.mktemp("site")
    wheels = folder / "wheels"
    shutil.copytree(wheelhouse.ready(stack.load("guide").lock), wheels)
    stand_ins = {name: text for name, text in env.FAKES.items() if name != "torch"}
    wheel = package_index.make_wheel(wheels, "stand-ins", "1", stand_ins)
    package_index.write(wheels)
    serve = [sys.executable, "-I", "-m", "http.server", "--directory", wheels, "--bind"]
    index = lab.serve(lambda address: [*serve, address, "8080"], 8080)
    lock = env.hub_lock() + package_index.lock(wheel)
    sources = small_stacks.in_place_of_guide(stacks, folder / "sources", lock)
    model = model_files.write_model(folder / "model")
    program = [sys.executable, hub.__file__, "--port", "8080", "--model-dir", model, "--gated", "--bind"]
    endpoint = lab.serve(lambda address: [*program, address], 8080)
    version = mirror.VERSIONS[1]
    return {
        "sdops_conda_channel_alias": f"{served.url}/channels",
        "sdops_pip_index_url": f"{index.url}/simple",
        "sdops_hub_endpoint": endpoint.url,
        "miniconda_base_url": f"{served.url}/miniconda",
        "miniconda_version": version,
        "miniconda_sha256": made.installers[version],
        "__stack_env_sources": str(sources),
    }


@pytest.fixture
def ready(new_host: Callable[..., Host], made: mirror.Mirror, served: Service) -> Host:
    """A host with account and conda."""
    host = new_host(packages=False)
    conda(host, made, served)
    return host


@pytest.fixture(params=sorted(RELEASES))
def provisioned(request: pytest.FixtureRequest, fleet: Fleet) -> Host:
    """The host of each release in turn of the fleet that the test's module provisions."""
    need_release(request.param)
    return fleet.hosts[request.param]


@pytest.fixture(scope="session")
def fleet_index(lab: Lab) -> str:
    """A package index with the real wheels of the fleet's lock."""
    return fleet_hosts.index(lab)
