"""The guide's own stack with its real packages, on a host; only torch is a look-alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from doubles import wheelhouse
from hosts.host import Host
from hosts.lab import Lab, Service
from plays import Play
from sdops_runtime import stack

pytestmark = pytest.mark.hosts

GUIDE = stack.load("guide")
VERSIONS = """
import importlib.metadata as m, json, sys
print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))
"""


def serve(lab: Lab, lock: str) -> Service:
    """The lock's wheels, as a package index in the test network."""
    command = [sys.executable, "-I", "-m", "http.server", "--directory", wheelhouse.ready(lock), "--bind"]
    return lab.serve(lambda address: [*command, address, "8080"], 8080)


def play(lab: Lab, folder: Path, conda: Service, index: Service, **variables: object) -> Play:
    places = {
        "sdops_conda_channel_alias": f"{conda.url}/channels",
        "sdops_pip_index_url": f"{index.url}/simple",
    }
    return Play(lab, folder, "stack_env", variables={"sdops_expect_gpu": False, **places, **variables})


def in_env(host: Host, program: str, *words: str) -> str:
    """What a Python program prints in the account's environment."""
    script = 'conda activate env1 && exec python - "$@"'
    return host.run(
        ["bash", "-lc", script, "python", *words], user="sdops", stdin=program, timeout=300
    ).stdout


def test_the_guides_versions_are_installed(lab: Lab, tmp_path: Path, ready: Host, served: Service) -> None:
    role = play(lab, tmp_path, served, serve(lab, GUIDE.lock))
    role.run(ready)
    names = [pin.name for pin in GUIDE.pip]
    found = json.loads(in_env(ready, VERSIONS, *names, "torch"))
    assert found == {name: GUIDE.pin(name) for name in [*names, "torch"]}
    assert stack.identify(found) == "guide"
    assert in_env(ready, "import numpy, tokenizers; print(numpy.ones(3).sum())") == "3.0\n"
    assert role.run(ready).changed == ()
