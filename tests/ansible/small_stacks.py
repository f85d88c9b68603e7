"""Stacks that take seconds instead of minutes, for tests of what the roles do with stacks.

Their manifest has the form of the project's own, which the roles are led to look past: torch and CUDA
as the guide's stack pins them (shells in the look-alike channel), one more conda package and one
wheel that differ between the stacks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from doubles import package_index
from doubles.conda.channels import PROBE
from sdops_runtime import stack

MODULE = "sdops-probe"
_KEPT = ("python", "pytorch", "cudatoolkit", "mkl")


@dataclass(frozen=True)
class Stacks:
    """folder: what the roles are to read. index: a package index with the wheels, to be served."""

    folder: Path
    index: Path


def write(folder: Path) -> Stacks:
    """Writes alpha and beta, which work, and gamma, whose torch is for another CUDA than it says."""
    sources, index = folder / "sources", folder / "index"
    (sources / "locks").mkdir(parents=True)
    index.mkdir()
    name, *versions = PROBE
    wheels = [package_index.make_wheel(index, MODULE, version) for version in versions]
    guide = stack.load("guide")
    stacks = {}
    for number, stack_name in enumerate(("alpha", "beta", "gamma")):
        which = min(number, 1)
        pins = [vars(pin) for pin in guide.conda if pin.name in _KEPT]
        pins.append({"name": name, "version": versions[which], "why": "test"})
        (sources / f"locks/{stack_name}.txt").write_text(package_index.lock(wheels[which]))
        stacks[stack_name] = {
            "summary": "for tests",
            "python": {"version": guide.python},
            "cuda": {"version": "1.0" if stack_name == "gamma" else guide.cuda},
            "driver": {"minimum": guide.minimum_driver},
            "gpu": {"kernels": guide.kernels, "ptx": ()},
            "conda": {"channels": guide.channels, "pins": pins},
            "pip": {"lock": f"{stack_name}.txt", "cpu_lock": f"{stack_name}.txt", "pins": []},
        }
    (sources / "stack.json").write_text(json.dumps({"default": "alpha", "stacks": stacks}))
    package_index.write(index)
    return Stacks(sources, index)


def in_place_of_guide(stacks: Stacks, folder: Path, lock: str) -> Path:
    """What the roles are to read for alpha under the guide's name, with another lock for pip.

    For the whole of site.yml: preflight knows the project's own manifest only.
    """
    manifest = json.loads((stacks.folder / "stack.json").read_text())
    alpha = {**manifest["stacks"]["alpha"], "pip": {"lock": "guide.txt", "cpu_lock": "guide.txt", "pins": []}}
    (folder / "locks").mkdir(parents=True)
    (folder / "locks/guide.txt").write_text(lock)
    (folder / "stack.json").write_text(json.dumps({"default": "guide", "stacks": {"guide": alpha}}))
    return folder
