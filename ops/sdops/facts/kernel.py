"""What torch says of itself and of the GPU, and whether it computes there. No I/O here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdops.facts.lines import UNSAID
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Kernel:
    """torch, asked in the activated environment.

    path: LD_LIBRARY_PATH there. versions: of what could be imported. errors:
    by what could not, or by ``computing`` for the GPU, in the libraries' own
    words. cuda: the CUDA that torch is built for, "" for none. kernels: what
    it has machine code for, such as sm_80. available: what is_available()
    says, which is a promise; computes: whether it did. warnings: torch's own.
    libcuda: the files that were loaded as libcuda.
    """

    python: str = ""
    path: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    cuda: str | Unknown = UNSAID
    kernels: tuple[str, ...] | Unknown = UNSAID
    cudnn: int | None = None
    available: bool | Unknown = UNSAID
    computes: bool | Unknown = UNSAID
    device: str = ""
    capability: str | Unknown = UNSAID
    warnings: tuple[str, ...] = ()
    libcuda: tuple[str, ...] = ()


def parse(output: Output, wanted: Wanted) -> Kernel | Unknown:
    """The facts in what the probe printed: its last line that is ours, whatever the libraries said before."""
    said = None
    for line in output.text.splitlines():
        if line.startswith('{"sdops": 1,'):
            said = json.loads(line)
    if said is None:
        if output.timed_out:
            return Unknown(f"torch was not there within {PROBE.timeout} s")
        words = [line.strip() for line in output.text.splitlines() if line.strip()]
        if output.status > 128:
            return Kernel(errors={"torch": f"Python was ended by signal {output.status - 128}"})
        return Unknown(
            f"the environment's Python does not start ({(words or ['nothing is said'])[-1][:200]})"
        )
    return _kernel(said)


def _kernel(said: dict[str, Any]) -> Kernel:
    errors = {str(name): str(text)[:600] for name, text in said["errors"].items()}
    total = said.get("sum")
    computes: bool | Unknown = UNSAID
    if "computing" in errors:
        computes = False
    elif total is not None:
        computes = total == 8.0
    return Kernel(
        python=str(said["python"]),
        path=str(said["path"]),
        versions={str(name): str(version) for name, version in said["versions"].items()},
        errors=errors,
        cuda=(said["cuda"] or "") if "cuda" in said else UNSAID,
        kernels=tuple(said["kernels"]) if "kernels" in said else UNSAID,
        cudnn=said.get("cudnn"),
        available=bool(said["available"]) if "available" in said else UNSAID,
        computes=computes,
        device=str(said.get("device", "")),
        capability=str(said["capability"]) if "capability" in said else UNSAID,
        warnings=tuple(map(str, said.get("warnings", ()))),
        libcuda=tuple(map(str, said.get("libcuda", ()))),
    )


PROBE = Probe("kernel", 100, parse, quick=False)
