"""What the kernel, libcuda and the package manager say of the driver, beside nvidia-smi. No I/O here."""

import re
from dataclasses import dataclass

from sdops.facts.lines import UNSAID, Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Package:
    """An installed package of NVIDIA's. held: whether upgrades leave it alone."""

    name: str
    held: bool


@dataclass(frozen=True)
class Driver:
    """The driver without nvidia-smi.

    module: version of the loaded kernel module, "" where none is. open_module:
    whether it is the open one. module_file: whether there is one to be loaded;
    known only where none is. libraries: files of libcuda and libnvidia-ml,
    which end in their version. cuda_version: the newest CUDA that libcuda
    runs, such as "12.8". cuda_missing: why libcuda cannot be loaded, "" if it
    can. cuda_init: CUDA's number for how its start went, 0 for well.
    capabilities: compute capability of each GPU that libcuda sees. gridd:
    whether a vGPU's licence is configured; gridd_token: whether there is a
    token for its server.
    """

    module: str | Unknown = UNSAID
    open_module: bool | Unknown = UNSAID
    module_file: bool | Unknown = UNSAID
    nouveau: bool | Unknown = UNSAID
    secure_boot: bool | Unknown = UNSAID
    libraries: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    cuda_version: str | Unknown = UNSAID
    cuda_missing: str | Unknown = UNSAID
    cuda_init: int | Unknown = UNSAID
    capabilities: tuple[str, ...] | Unknown = UNSAID
    gridd: bool | Unknown = UNSAID
    gridd_token: bool | Unknown = UNSAID


def parse(output: Output, wanted: Wanted) -> Driver:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    said = lines.text("module")
    module = _version(said)
    file = lines.text("module_file")
    number = lines.whole("cuda_version")
    capabilities = lines.all("cuda_capability")
    missing = lines.text("cuda_missing")
    if isinstance(missing, Unknown) and not isinstance(lines.whole("cuda_init"), Unknown):
        missing = ""
    return Driver(
        module=module,
        open_module="Open Kernel Module" in said if isinstance(said, str) and said else UNSAID,
        module_file=file if isinstance(file, Unknown) else bool(file),
        nouveau=lines.flag("nouveau"),
        secure_boot=lines.flag("secure_boot"),
        libraries=lines.all("library"),
        packages=_packages(lines.all("package")),
        cuda_version=number if isinstance(number, Unknown) else f"{number // 1000}.{number % 1000 // 10}",
        cuda_missing=missing,
        cuda_init=lines.whole("cuda_init"),
        capabilities=capabilities if all(re.fullmatch(r"\d+\.\d", one) for one in capabilities) else UNSAID,
        gridd=lines.flag("gridd"),
        gridd_token=lines.flag("gridd_token"),
    )


def _version(said: str | Unknown) -> str | Unknown:
    """The version in the kernel's line, which has the compiler's after it."""
    if not isinstance(said, str) or not said:
        return said
    found = re.search(r"(?<![\d.])\d{3}\.\d{2,3}(?:\.\d{2,3})?(?![\d.])", said)
    return found[0] if found else UNSAID


def _packages(rows: tuple[str, ...]) -> tuple[Package, ...]:
    """Those that are installed, and not only their settings left behind."""
    found = []
    for row in rows:
        name, wish, _, state = (*row.split(), "", "", "")[:4]
        if state == "installed":
            found.append(Package(name, wish == "hold"))
    return tuple(found)


PROBE = Probe("driver", 20, parse)
