"""Reads the stack manifest, the one place where version numbers stand.

Standard library only, Python 3.9; works from a folder and from inside a .pyz.
``python -m sdops_runtime.stack`` answers the Makefile and a curious person.
"""

import json
import pkgutil
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from sdops_runtime.errors import SdopsError

#: conda's name for a package where it is not PyPI's.
_CONDA_NAMES = {"torch": "pytorch"}

#: The packages that tell which stack is installed.
_TELLING = ("torch", "diffusers", "transformers")


@dataclass(frozen=True)
class Pin:
    """A package and the version of it, with the reason.

    build: of conda packages, a pattern. breaks: the first version that is
    known not to work in this stack, where that is known.
    """

    name: str
    version: str
    why: str
    build: str = ""
    breaks: str = ""


@dataclass(frozen=True)
class Stack:
    """Versions that work together, and what they need.

    python, cuda: major.minor. minimum_driver: NVIDIA's, three numbers. kernels,
    ptx: compute capabilities that the torch build has machine code and
    intermediate code for. lock: file of pip's lock in ``locks/``; cpu_lock: the
    same for a machine without a GPU, where they differ. why: the source of each
    number, by the manifest's own keys.
    """

    name: str
    summary: str
    python: str
    cuda: str
    minimum_driver: str
    kernels: tuple[str, ...]
    ptx: tuple[str, ...]
    channels: tuple[str, ...]
    conda: tuple[Pin, ...]
    pip: tuple[Pin, ...]
    lock: str
    cpu_lock: str
    why: Mapping[str, str]

    def pin(self, package: str) -> str:
        """The version of a package, from pip's pins or else from conda's; KeyError for others."""
        for pin in (*self.pip, *self.conda):
            if pin.name.lower() in (package.lower(), _CONDA_NAMES.get(package)):
                return pin.version
        raise KeyError(package)

    def supports_gpu(self, capability: Union[str, tuple[int, int]]) -> bool:
        """Whether the torch build runs on a GPU of this compute capability, such as "8.0".

        It does if it has a kernel of the same major number and a minor not
        above the GPU's, or intermediate code not newer than the GPU (NVIDIA,
        CUDA programming guide, binary and PTX compatibility).
        """
        major, minor = _numbers(capability) if isinstance(capability, str) else capability
        kernels = [_numbers(kernel) for kernel in self.kernels]
        if any(kernel[0] == major and kernel[1] <= minor for kernel in kernels):
            return True
        return any(_numbers(one) <= (major, minor) for one in self.ptx)

    def supports_driver(self, version: str) -> bool:
        """Whether an NVIDIA driver is new enough; compares "525.60.13" and the like by number."""
        return _numbers(version) >= _numbers(self.minimum_driver)

    def requirements(self, with_gpu: bool = True) -> tuple[str, ...]:
        """pip's requirements, ``name==version``; without a GPU torch comes by pip in every stack."""
        found = [f"{pin.name}=={pin.version}" for pin in self.pip]
        if not with_gpu and not any(pin.name == "torch" for pin in self.pip):
            found.append(f"torch=={self.pin('torch')}")
        return tuple(found)

    def lock_text(self, with_gpu: bool = True) -> str:
        """pip's lock: every package with its version and hashes."""
        return _read(f"locks/{self.lock if with_gpu else self.cpu_lock}")

    def constraints(self) -> tuple[str, ...]:
        """The lock's versions without hashes, for ``pip install --constraint``."""
        return tuple(re.findall(r"^[A-Za-z0-9._-]+==\S+", self.lock_text(), re.MULTILINE))


def names() -> tuple[str, ...]:
    """The names of all stacks, the default first."""
    manifest = _manifest()
    return tuple(sorted(manifest["stacks"], key=lambda name: (name != manifest["default"], name)))


def load(name: Optional[str] = None) -> Stack:
    """A stack by name, the default one for None; raises SdopsError("stack-unknown")."""
    manifest = _manifest()
    wanted = manifest["default"] if name is None else name
    if wanted not in manifest["stacks"]:
        raise SdopsError(
            "stack-unknown", f"There is no stack {wanted!r}.", f"Use one of {', '.join(names())}."
        )
    data = manifest["stacks"][wanted]
    pip = data["pip"]
    return Stack(
        name=wanted,
        summary=data["summary"],
        python=data["python"]["version"],
        cuda=data["cuda"]["version"],
        minimum_driver=data["driver"]["minimum"],
        kernels=tuple(data["gpu"]["kernels"]),
        ptx=tuple(data["gpu"]["ptx"]),
        channels=tuple(data["conda"]["channels"]),
        conda=tuple(Pin(**pin) for pin in data["conda"]["pins"]),
        pip=tuple(Pin(**pin) for pin in pip["pins"]),
        lock=pip["lock"],
        cpu_lock=pip.get("cpu_lock", pip["lock"]),
        why={key: data[key]["why"] for key in ("python", "cuda", "driver", "gpu")},
    )


@dataclass(frozen=True)
class Fleet:
    """What shares a job out over several GPUs; the same for all stacks. lock: file of pip's lock."""

    pins: tuple[Pin, ...]
    lock: str


def fleet() -> Fleet:
    """What the hosts of a fleet have beside their stack."""
    data = _manifest()["fleet"]
    return Fleet(pins=tuple(Pin(**pin) for pin in data["pins"]), lock=data["lock"])


def identify(versions: Mapping[str, str]) -> Optional[str]:
    """The stack whose torch, diffusers and transformers these are; None for any other mixture.

    versions: by package name in small letters. What a build adds to its
    version (+cpu, +cu130) does not count.
    """
    installed = {name: version.split("+")[0] for name, version in versions.items()}
    for name in names():
        stack = load(name)
        if all(installed.get(package) == stack.pin(package) for package in _TELLING):
            return name
    return None


def _numbers(version: str) -> tuple[int, ...]:
    found = tuple(int(part) for part in re.findall(r"\d+", version))
    if not found:
        raise ValueError(f"{version!r} is no version number")
    return found


def _manifest() -> Any:
    return json.loads(_read("stack.json"))


def _read(name: str) -> str:
    data = pkgutil.get_data("sdops_runtime", name)
    assert data is not None, name
    return data.decode("utf-8")


def main(words: list[str]) -> None:
    """Prints names, or one stack's requirements or constraints; ``cpu`` is for a machine without a GPU."""
    usage = "usage: python -m sdops_runtime.stack names | {requirements | constraints} NAME [cpu]"
    if words == ["names"]:
        lines = names()
    elif len(words) > 1 and words[0] in ("requirements", "constraints") and words[2:] in ([], ["cpu"]):
        stack = load(words[1])
        lines = stack.constraints() if words[0] == "constraints" else stack.requirements(words[2:] == [])
    else:
        raise SystemExit(usage)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SdopsError as error:
        raise SystemExit(f"{error.message} {error.hint}") from None
