"""Checks of the topic ``torch``: what it says itself when it is started. No I/O here."""

import re

from sdops_runtime import stack

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.nvidia import expected
from sdops.checks.remedy import rebuild, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.kernel import Kernel

#: Libraries in the order in which one breaks the next.
LIBRARIES = ("numpy", "PIL", "huggingface_hub", "accelerate", "transformers", "diffusers")


def _kernel(facts: HostFacts) -> Kernel:
    return sure(facts.kernel)


def _mend(facts: HostFacts) -> tuple[str, tuple[str, ...]]:
    if is_local(facts):
        return (
            "Install sdops anew, with what makes pictures: pip install --force-reinstall 'sdops[local]'.",
            (),
        )
    return "Build the environment anew, from the stack's lock.", rebuild(facts)


@unless_unknown
def _executable_stack(facts: HostFacts) -> Finding | None:
    said = _kernel(facts).errors.get("torch", "")
    if "executable stack" not in said:
        return None
    return Finding(
        "A library of torch asks for an executable stack, which this system refuses.",
        "import torch fails.",
        (said,),
        "Build the environment anew: the playbook takes that mark off the libraries, which do not need it.",
        rebuild(facts),
    )


@unless_unknown
def _import(facts: HostFacts) -> Finding | None:
    said = _kernel(facts).errors.get("torch", "")
    if not said:
        return None
    remedy, commands = _mend(facts)
    return Finding(
        "torch cannot be imported.",
        "Nothing that makes pictures starts.",
        (said,),
        remedy,
        commands,
    )


@unless_unknown
def _libraries(facts: HostFacts) -> Finding | None:
    errors = _kernel(facts).errors
    first = next((name for name in LIBRARIES if name in errors), None)
    if first is None:
        return None
    remedy, commands = _mend(facts)
    return Finding(
        f"{first} does not work.",
        "Nothing that makes pictures starts.",
        tuple(f"{name}: {errors[name]}" for name in LIBRARIES if name in errors)[:3],
        remedy,
        commands,
    )


@unless_unknown
def _version(facts: HostFacts) -> Finding | None:
    if is_local(facts) or not expected(facts):
        return None
    wanted, cuda = stack.load(facts.wanted.stack).cuda, sure(_kernel(facts).cuda)
    if cuda == wanted:
        return None
    return Finding(
        f"torch says that it is built for {f'CUDA {cuda}' if cuda else 'no CUDA'}, and the stack's for "
        f"{wanted}.",
        "It may have no kernels for the GPU.",
        (f"torch.version.cuda: {cuda or None}",),
        "Build the environment anew, from the stack's lock.",
        rebuild(facts),
    )


@unless_unknown
def _available(facts: HostFacts) -> Finding | None:
    if not expected(facts) or (is_local(facts) and not sure(_kernel(facts).cuda)):
        return None
    kernel = _kernel(facts)
    if sure(kernel.available):
        return None
    said = " ".join(kernel.warnings)
    remedy, command = "See what CUDA says when it starts.", "nvidia-smi; env | grep CUDA_VISIBLE_DEVICES"
    if "too old" in said:
        remedy = "The driver is too old for this torch: take another stack (sdops doctor --recommend)."
    elif "stub" in said or "Error 34" in said:
        remedy, command = (
            "A stub of libcuda is found first: take it off the path.",
            "ldconfig -p | grep libcuda",
        )
    elif re.search(r"Error 80[34]", said):
        remedy = (
            "Libraries of two drivers are mixed: reboot, and remove the compatibility package if it stays."
        )
    return Finding(
        "torch finds no GPU, though the driver has one.",
        "Pictures are made on the processor, each in many minutes.",
        (*kernel.warnings[:2], *(f"libcuda: {one}" for one in kernel.libcuda))
        or ("torch.cuda.is_available(): False, without a reason",),
        remedy,
        (there(facts, command),),
    )


@unless_unknown
def _computes(facts: HostFacts) -> Finding | None:
    if not expected(facts) or _kernel(facts).available is not True:
        return None
    kernel = _kernel(facts)
    if sure(kernel.computes):
        return None
    said = kernel.errors.get("computing", "the sum of eight ones is not eight")
    remedy, command = "See what the kernel's log says of the GPU.", "dmesg | grep -E 'NVRM|Xid' | tail"
    if "no kernel image" in said:
        remedy = "This torch has no kernels for the GPU: take another stack (sdops doctor --recommend)."
        command = "nvidia-smi -L"
    elif "out of memory" in said:
        remedy, command = "Others hold the GPU's memory: end them.", "nvidia-smi"
    elif "busy" in said or "unavailable" in said:
        remedy, command = "Another program has the GPU for itself: end it.", "nvidia-smi"
    return Finding(
        f"torch sees {kernel.device or 'the GPU'}, and does not compute on it.",
        "Every job ends with this error.",
        (said,),
        remedy,
        (there(facts, command),),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "torch-executable-stack",
        "torch",
        "the system lets torch's libraries in",
        Severity.ERROR,
        _executable_stack,
        "From glibc 2.41 on (Debian 13) libraries that ask for an executable stack are refused. Older "
        "builds of "
        "torch do, by a mistake in how they were linked.",
        "Build the environment anew: the playbook takes the mark off.",
        needs=("env",),
    ),
    Check(
        "torch-import",
        "torch",
        "torch can be imported",
        Severity.ERROR,
        _import,
        "A library that it needs is missing, damaged or of another version.",
        "Build the environment anew.",
        needs=("env", "torch-executable-stack"),
    ),
    Check(
        "libraries-import",
        "torch",
        "the other libraries can be imported",
        Severity.ERROR,
        _libraries,
        "Packages do not fit each other, or files are missing.",
        "Build the environment anew.",
        needs=("env", "torch-import"),
    ),
    Check(
        "torch-cuda-version",
        "torch",
        "torch says that it is built for the stack's CUDA",
        Severity.ERROR,
        _version,
        "Another torch is found first, mostly by PYTHONPATH or by files that somebody changed.",
        "Build the environment anew.",
        needs=("env", "torch-import"),
    ),
    Check(
        "torch-no-gpu",
        "torch",
        "torch finds the GPU",
        Severity.ERROR,
        _available,
        "The driver works, and CUDA does not start in torch: a stub or another libcuda comes first, "
        "the GPU is "
        "hidden (CUDA_VISIBLE_DEVICES), or something of the environment does not fit.",
        "torch's own warning, in the finding, says what.",
        needs=("driver", "gpu", "torch-cuda-version"),
    ),
    Check(
        "torch-kernel",
        "torch",
        "torch computes on the GPU",
        Severity.ERROR,
        _computes,
        "torch.cuda.is_available() is a promise: it is true on a GPU without kernels, without a "
        "licence, and on "
        "one that waits for a reset.",
        "The error, in the finding, says what.",
        needs=("driver", "gpu", "torch-no-gpu"),
    ),
)
