"""Which device makes the pictures, and proof that it can: a real kernel, not a promise.

``torch.cuda.is_available()`` is true for a GPU that the build has no kernels
for, for an unlicensed vGPU and for one that needs a reset (pytorch#90761), so
a small matrix product is computed before anything is loaded onto it.
"""

from dataclasses import dataclass
from typing import Any, Optional

from sdops_runtime import dialect
from sdops_runtime.errors import SdopsError

#: torch itself, and the CPU's allocator; cuBLAS and cuDNN; the guide's torch for a convolution whose every
#: algorithm failed for want of memory.
_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Unable to find a valid cuDNN algorithm",
    # What torch says instead where it may not ask the driver for the GPU's memory, as on shares of a GPU
    # (pytorch#112377).
    "NVML_SUCCESS == r INTERNAL ASSERT FAILED",
)

#: What may mean that as well as that a library does not start or has no kernel.
_PERHAPS_OUT_OF_MEMORY = (
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "unable to find an engine to execute this computation",
)

#: What can be asked for.
WANTED = ("auto", "cuda", "cpu")


@dataclass(frozen=True)
class Device:
    """kind: ``cuda`` or ``cpu``. name: the GPU's own name.

    reason: why it is not the GPU although ``auto`` was asked for; empty otherwise.
    """

    kind: str
    name: str
    reason: str = ""


def pick(wanted: str = "auto") -> Device:
    """The device to use; ``auto`` takes a GPU that works, else the CPU and says why.

    Raises SdopsError: device-unusable where a GPU was asked for by name and
    does not work, settings-invalid for a name that is none.
    """
    if wanted not in WANTED:
        raise SdopsError(
            "settings-invalid", f"There is no device {wanted!r}.", f"Use one of {', '.join(WANTED)}."
        )
    if wanted == "cpu":
        return Device("cpu", "CPU")
    trouble = _cuda_trouble()
    if trouble is None:
        import torch

        return Device("cuda", torch.cuda.get_device_name(0))
    if wanted == "cuda":
        raise SdopsError(
            "device-unusable",
            f"The GPU cannot be used: {trouble}.",
            "Run nvidia-smi to see the driver's view, or use --device cpu.",
        )
    return Device("cpu", "CPU", reason=trouble)


def free_bytes(chosen: Device) -> Optional[int]:
    """The GPU's free memory at this moment, in bytes; None for a CPU.

    With what torch holds in reserve. Without what a vGPU keeps for itself, and other processes have.
    """
    if chosen.kind == "cpu":
        return None
    import torch

    held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return int(torch.cuda.mem_get_info()[0] + held)


def room_bytes(chosen: Device) -> Optional[int]:
    """What a model and its pictures can have, in bytes: what is free, and what torch's tensors have."""
    free = free_bytes(chosen)
    if free is None:
        return None
    import torch

    return free + int(torch.cuda.memory_allocated())


def total_bytes(chosen: Device) -> Optional[int]:
    """The GPU's memory for all processes together, in bytes; None for a CPU."""
    if chosen.kind == "cpu":
        return None
    import torch

    return int(torch.cuda.mem_get_info()[1])


def forget_unused(chosen: Device) -> None:
    """Gives back the GPU memory that torch holds in reserve."""
    if chosen.kind == "cuda":
        import torch

        torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch means that memory has run out; its libraries say it in words of their own."""
    said = str(error)
    return any(sign in said for sign in _OUT_OF_MEMORY)


def may_be_out_of_memory(error: RuntimeError) -> bool:
    """Whether less memory is worth a try, for an error whose words have other meanings, too."""
    said = str(error).lower()
    return is_out_of_memory(error) or any(sign.lower() in said for sign in _PERHAPS_OUT_OF_MEMORY)


def number_format(wanted: str, device: Device) -> Any:
    """The torch dtype for a setting: ``auto`` is float16 on a GPU and float32 on a CPU.

    Raises SdopsError("dtype-unsupported") for half precision on a CPU under the guide's torch.
    """
    import torch

    if wanted == "auto":
        wanted = "float16" if device.kind == "cuda" else "float32"
    if device.kind == "cpu" and wanted != "float32" and not dialect.computes_half_on_cpu():
        raise SdopsError(
            "dtype-unsupported",
            f"This torch cannot compute in {wanted} on a CPU.",
            "Use --dtype float32, or leave --dtype out.",
        )
    return getattr(torch, wanted)


def _cuda_trouble() -> Optional[str]:
    """None when CUDA computes, else one clause that says why not."""
    import torch

    if torch.version.cuda is None:
        return "this torch is a CPU build"
    with dialect.quiet():
        try:
            if not torch.cuda.is_available():
                return "CUDA finds no GPU"
            ones = torch.ones(8, 8, device="cuda")
            if float((ones @ ones).sum()) != 512.0:
                return "it computes wrong results"
        except RuntimeError as error:
            return " ".join(str(error).split("\n")[0].split())
    return None
