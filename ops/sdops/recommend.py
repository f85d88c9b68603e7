"""Which stack fits a host's driver and GPU best: the guide's 3.4.3. No I/O here."""

from dataclasses import dataclass

from sdops_runtime import stack

from sdops.checks.capability import by_name
from sdops.facts.driver import Driver
from sdops.facts.host import HostFacts
from sdops.facts.nvidia import Nvidia
from sdops.facts.nvidia_smi import Gpu
from sdops.facts.unknown import Unknown


@dataclass(frozen=True)
class Recommendation:
    """stack: the best one that runs, "" for none. lines: what to put in the inventory.

    reasons: by stack, what speaks against it, "" for nothing. unknown: why
    none can be recommended although none is known not to run.
    """

    stack: str
    lines: tuple[str, ...]
    reasons: tuple[tuple[str, str], ...]
    unknown: str = ""


def capability(facts: HostFacts) -> str | Unknown:
    """The GPU's compute capability: as libcuda tells it, as nvidia-smi does, or by its name."""
    if isinstance(facts.driver, Driver) and facts.driver.capabilities:
        found = facts.driver.capabilities
        if isinstance(found, tuple) and found:
            return found[0]
    gpu = _gpu(facts)
    if isinstance(gpu, Unknown):
        return gpu
    if isinstance(gpu.capability, str):
        return gpu.capability
    if isinstance(gpu.name, Unknown):
        return gpu.name
    return by_name(gpu.name) or Unknown(f"the compute capability of {gpu.name} is not known here")


def recommend(facts: HostFacts) -> Recommendation:
    """The default stack where it runs: it is the one that is tried most. Else the newest that does."""
    version = facts.nvidia.driver if isinstance(facts.nvidia, Nvidia) else facts.nvidia
    number = capability(facts)
    unknown = next((one.reason for one in (version, number) if isinstance(one, Unknown)), "")
    reasons = tuple((name, _against(stack.load(name), version, number)) for name in stack.names())
    fit = [name for name, against in reasons if not against]
    if not fit:
        return Recommendation("", (), reasons)
    if unknown:
        return Recommendation("", (), reasons, unknown)
    # names() has the default first, then the others from old to new.
    best = fit[0] if fit[0] == stack.names()[0] else fit[-1]
    return Recommendation(best, ("[gpu:vars]", f"sdops_stack={best}"), reasons)


def _against(one: stack.Stack, version: str | Unknown, number: str | Unknown) -> str:
    """What speaks against a stack, "" for nothing that is known."""
    if isinstance(version, str) and not one.supports_driver(version):
        return f"CUDA {one.cuda} needs driver {one.minimum_driver} or later, and this is {version}"
    if isinstance(number, str) and not one.supports_gpu(number):
        return f"its torch has no kernels for compute capability {number}"
    return ""


def _gpu(facts: HostFacts) -> Gpu | Unknown:
    if isinstance(facts.nvidia, Unknown):
        return facts.nvidia
    gpus = facts.nvidia.gpus
    if isinstance(gpus, Unknown):
        return gpus
    return gpus[0] if gpus else Unknown("no GPU is listed")
