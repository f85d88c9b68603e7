"""Facts that trigger the checks of the topic ``gpu``, one by one."""

from dataclasses import replace

from sdops.facts.nvidia_smi import Process

from .cases_driver import GPU, driver, report


def gpu(**fields):
    return report(gpus=(replace(GPU, **fields),))


def hopper(facts):
    """An H100, which is seen by every driver of its time, and by every torch."""
    name = {"name": "NVIDIA H100 80GB HBM3", "memory_mib": 81_559, "vgpu": False, "virtualization": "None"}
    return driver(capabilities=("9.0",))(gpu(**name)(facts))


CASES = {
    "gpu-kernels": hopper,
    "vgpu-unlicensed": gpu(licence="Unlicensed (Unrestricted)"),
    "mig-empty": gpu(mig=True, mig_devices=()),
    "gpu-small": gpu(memory_mib=3_072),
    "gpu-busy": gpu(memory_used_mib=8_000, processes=(Process(77, "python3", 8_000),)),
    "gpu-persistence": gpu(persistence=False),
    "gpu-ecc": gpu(ecc_errors=2),
}
