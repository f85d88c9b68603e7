"""The look-alike channels: which packages there are, named and built like the real ones.

Versions come from the stack manifest, the one place where they stand. Beside what the guide's stack
pins lies what a solver takes without the pins, because that is what they are for: torch's CPU
build, an MKL that torch does not bear, the next CUDA. Depends are the real packages' own, shortened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sdops_runtime import stack

from . import wheel
from .cpython import PYTHON
from .package import File, Package, index, write

SHELL = Path(__file__).with_name("torch_shell.py")

#: Pure Python packages of conda-forge that an environment has beside Python; what PyPI has is real.
WHEELS = ("pip==25.3", "setuptools==82.0.1", "wheel==0.48.0", "typing_extensions==4.16.0")

#: For tests of environments without torch: a package with nothing but its name, in two versions.
PROBE = ("probe", "1.0", "2.0")

#: Sane versions of MKL, of which the newest must be taken, and how many of them the pin excludes.
SANE_MKL = ("2021.4.0", "2023.2.0")

STDLIB_SITE = f"lib/{PYTHON}/site-packages"


def build(folder: Path, python: Mapping[str, File], python_version: str, wheels: Path) -> None:
    """Writes all channels into a folder. wheels: a folder that may hold wheels, and gets them."""
    guide = stack.load("guide")
    forge, pytorch, main = (folder / name for name in ("conda-forge", "pytorch", "main"))
    cpython = Package("python", python_version, "h09d8119_0_cpython", ("tzdata",), python)
    write(cpython, forge)
    for requirement in (*WHEELS, f"numpy=={guide.pin('numpy')}"):
        write(_from_wheel(requirement, wheels), forge)
    for package in (*_libraries(guide), *_probes()):
        write(package, forge)
    for package in _torch(guide):
        write(package, pytorch)
    write(Package("python", python_version, "h6244533_0", (), python), main)
    for channel in (forge, pytorch, main):
        index(channel)


def _from_wheel(requirement: str, wheels: Path) -> Package:
    name = re.split("=", requirement)[0]
    stem = requirement.replace("==", "-")
    if not list(wheels.glob(f"{stem}-*.whl")):
        wheel.fetch(requirement, wheels)
    (file,) = wheels.glob(f"{stem}-*.whl")
    pure = file.name.endswith("-none-any.whl")
    depends = ["python >=3.9"] if pure else ["python >=3.9,<3.10.0a0", "python_abi 3.9.* *_cp39"]
    depends += ["setuptools", "wheel"] if name == "pip" else []
    return Package(
        name,
        wheel.version(file),
        "pyhd8ed1ab_0" if pure else "py39h474f0d3_0",
        tuple(depends),
        wheel.files(file, noarch=pure),
        "python" if pure else None,
        wheel.entry_points(file) if pure else (),
    )


def _libraries(guide: stack.Stack) -> list[Package]:
    """What is nothing but a name, a version and depends: the files of CUDA and MKL would be 2 GB."""
    cuda = guide.cuda
    bound = guide.pin("mkl").lstrip("<")
    next_cuda = f"{cuda.split('.')[0]}.{int(cuda.split('.')[1]) + 1}.0"
    toolkits = [(f"{cuda}.0", "hecad31d_11"), (f"{cuda}.2", "hfc3e2af_13"), (next_cuda, "hd8887f6_10")]
    found = [_empty("cudatoolkit", version, build) for version, build in toolkits]
    found += [_empty("mkl", version, "h06a4308_640") for version in (*SANE_MKL, f"{bound}.0", "2025.0.0")]
    found += [
        _empty("blas", "1.0", "mkl", "mkl"),
        _empty("python_abi", "3.9", "5_cp39"),
        _empty("tzdata", "2025b", "h04d1e81_0"),
    ]
    return found


def _torch(guide: stack.Stack) -> list[Package]:
    """torch with CUDA, torch without, and the package by which only one of them can be there."""
    version, series = guide.pin("torch"), f"{guide.cuda},<{_after(guide.cuda)}"
    kernels = '", "'.join(f"sm_{kernel.replace('.', '')}" for kernel in guide.kernels)
    common = ("blas * mkl", "mkl", "python >=3.9,<3.10.0a0", "typing_extensions")
    with_cuda = (*common, f"cudatoolkit >={series}", "pytorch-mutex 1.0 cuda")
    build = f"py3.9_cuda{guide.cuda}_cudnn8.3.2_0"
    bound = guide.pin("mkl").lstrip("<")
    return [
        Package("pytorch", version, build, with_cuda, _shell(version, guide.cuda, kernels, bound)),
        Package(
            "pytorch",
            version,
            "py3.9_cpu_0",
            (*common, "pytorch-mutex 1.0 cpu"),
            _shell(version, "", "", bound),
        ),
        Package("pytorch-mutex", "1.0", "cuda", noarch="generic"),
        Package("pytorch-mutex", "1.0", "cpu", noarch="generic"),
    ]


def _shell(version: str, cuda: str, kernels: str, bound: str) -> dict[str, File]:
    text = SHELL.read_text()
    values = {"VERSION": version, "CUDA": cuda, "KERNELS": kernels, "MKL_BOUND": bound}
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    return {
        f"{STDLIB_SITE}/torch/__init__.py": File(text.encode()),
        f"{STDLIB_SITE}/torch-{version}.dist-info/METADATA": File(metadata.encode()),
        f"{STDLIB_SITE}/torch-{version}.dist-info/INSTALLER": File(b"conda\n"),
    }


def _probes() -> list[Package]:
    name, *versions = PROBE
    file = f"share/{name}.txt"
    return [
        Package(name, version, "0", files={file: File(version.encode())}, noarch="generic")
        for version in versions
    ]


def _empty(name: str, version: str, build: str, *depends: str) -> Package:
    return Package(name, version, build, depends)


def _after(version: str) -> str:
    """The next minor version: 11.6 -> 11.7."""
    major, minor = version.split(".")
    return f"{major}.{int(minor) + 1}"
