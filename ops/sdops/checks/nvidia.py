"""What the checks of driver and GPU share: whose business a GPU is, and its report. No I/O here."""

from sdops.checks.sure import is_local, sure
from sdops.facts.driver import Driver
from sdops.facts.host import HostFacts
from sdops.facts.nvidia import Nvidia
from sdops.facts.nvidia_smi import Gpu, Report
from sdops.facts.unknown import Unknown

#: Where a driver stays the provider's business.
PROVIDER = "Ask the provider of the machine, or make it anew with an image that carries a driver for its GPU."


def expected(facts: HostFacts) -> bool:
    """Whether there shall be a GPU. This machine may have one, and is judged by it only if it has."""
    if not is_local(facts):
        return facts.wanted.expect_gpu
    nvidia = sure(facts.nvidia)
    return bool(nvidia.tool) or bool(nvidia.pci)


def nvidia(facts: HostFacts) -> Nvidia:
    """What nvidia-smi is and says."""
    return sure(facts.nvidia)


def driver(facts: HostFacts) -> Driver:
    """What kernel and libcuda say."""
    return sure(facts.driver)


def report(facts: HostFacts) -> Report:
    """nvidia-smi's output."""
    found = sure(nvidia(facts).report)
    return sure(Unknown("there is no nvidia-smi") if found is None else found)


def gpus(facts: HostFacts) -> tuple[Gpu, ...]:
    """The GPUs that nvidia-smi lists."""
    return sure(report(facts).gpus)


def first(facts: HostFacts) -> Gpu:
    """The GPU that pictures are made on."""
    found = gpus(facts)
    return found[0] if found else sure(Unknown("no GPU is listed"))


def name(gpu: Gpu) -> str:
    """A GPU's name for people."""
    return gpu.name if isinstance(gpu.name, str) else "the GPU"


def a_share(facts: HostFacts) -> bool:
    """Whether the GPU is known to be a share of one (vGPU)."""
    found = facts.nvidia.gpus if isinstance(facts.nvidia, Nvidia) else ()
    return isinstance(found, tuple) and any(gpu.vgpu is True for gpu in found)
