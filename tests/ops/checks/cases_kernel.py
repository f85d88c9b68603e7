"""Facts that trigger the checks of the topic ``torch``, one by one."""

from dataclasses import replace

from sdops.facts.kernel import Kernel
from sdops_runtime import stack

GUIDE = stack.load("guide")

HEALTHY = {
    "kernel": Kernel(
        python=f"{GUIDE.python}.18",
        path="/home/sdops/.conda/envs/env1/lib",
        versions=dict.fromkeys(("torch", "numpy", "diffusers"), "1"),
        cuda=GUIDE.cuda,
        kernels=("sm_80",),
        cudnn=8302,
        available=True,
        computes=True,
        device="GRID A100D-10C",
        capability="8.0",
    )
}


def kernel(**fields):
    return lambda facts: replace(facts, kernel=replace(facts.kernel, **fields))


STACK = (
    "ImportError: libtorch_cpu.so: cannot enable executable stack as shared object requires: Invalid argument"
)
IMAGE = "RuntimeError: CUDA error: no kernel image is available for execution on the device"

CASES = {
    "torch-executable-stack": lambda facts: replace(facts, kernel=Kernel(errors={"torch": STACK})),
    "torch-import": lambda facts: replace(facts, kernel=Kernel(errors={"torch": "ImportError: libcupti.so"})),
    "libraries-import": kernel(errors={"diffusers": "ImportError: cannot import name"}),
    "torch-cuda-version": kernel(cuda="10.2"),
    "torch-no-gpu": kernel(available=False, warnings=("CUDA initialization: Error 802",)),
    "torch-kernel": kernel(computes=False, errors={"computing": IMAGE}),
}
