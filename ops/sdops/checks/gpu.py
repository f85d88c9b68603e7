"""Checks of the topic ``gpu``: whether it can do the work, and does it at full speed. No I/O here."""

from sdops_runtime import memory, stack

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.nvidia import expected, first, gpus, name
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.nvidia_smi import Gpu
from sdops.facts.runtime import Runtime, Service
from sdops.facts.unknown import Unknown
from sdops.recommend import capability, recommend

MIB = 1 << 20
#: Of the default job: width and height of its picture in pixels.
DEFAULT = 512


def network(facts: HostFacts) -> memory.Network:
    """The default model, in the libraries of the host's stack."""
    return memory.Network(generation="guide" if facts.wanted.stack == "guide" else "today")


def needed_mib(facts: HostFacts) -> int:
    """What must be free for the default job and its model, with all lowered that can be (``memory.Rung``)."""
    one = network(facts)
    takes = memory.needed(one, DEFAULT, DEFAULT, memory.last_rung(one, DEFAULT, DEFAULT))
    return -(-(memory.resident(one) + memory.unusable(takes)) // MIB)


def _room(gpu: Gpu) -> int:
    """What programs can have of a GPU's memory, or of its first part's, in MiB."""
    if gpu.mig is True and isinstance(gpu.mig_devices, tuple) and gpu.mig_devices:
        return sure(gpu.mig_devices[0].memory_mib)
    reserved = gpu.memory_reserved_mib
    return sure(gpu.memory_mib) - (reserved if isinstance(reserved, int) else 0)


@unless_unknown
def _kernels(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    number = sure(capability(facts))
    wanted = stack.load(facts.wanted.stack)
    if wanted.supports_gpu(number):
        return None
    gpu = name(first(facts)) if not isinstance(facts.nvidia, Unknown) else "the GPU"
    best = recommend(facts).stack
    able = [one for one in stack.names() if stack.load(one).supports_gpu(number)]
    remedy = f"No stack has kernels for it: take a host with another GPU than {gpu}."
    if best:
        remedy = f"Set sdops_stack={best} for this host, which has them, and run the playbook."
    elif able:
        remedy = f"The stack {able[-1]} has them, and needs a newer driver: have the provider renew it."
    return Finding(
        f"The stack {wanted.name} has no kernels for {gpu}.",
        'torch sees the GPU, and fails with "no kernel image is available" as soon as it computes.',
        (f"compute capability {number}; kernels for {', '.join(wanted.kernels)}",),
        remedy,
        playbook(facts) if best else (),
    )


@unless_unknown
def _licence(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    gpu = first(facts)
    if not sure(gpu.vgpu):
        return None
    said = sure(gpu.licence)
    if said.lower().startswith("licensed"):
        return None
    if "restricted" in said.lower() and "unrestricted" not in said.lower():
        summary = "The share of a GPU (vGPU) has no licence, and is throttled."
    else:
        summary = "The share of a GPU (vGPU) has no licence."
    return Finding(
        summary,
        "Without one it runs at full speed for 20 minutes after the boot, and is then throttled: pictures "
        "take many times as long.",
        (f"License Status: {said}",),
        "See what its service says, and whether the licence's token is there and its server can be reached. "
        "The token comes from the provider.",
        (
            there(facts, "journalctl --unit nvidia-gridd --lines 20; ls /etc/nvidia/ClientConfigToken"),
            there(facts, "systemctl restart nvidia-gridd"),
        ),
    )


@unless_unknown
def _mig(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    gpu = first(facts)
    if not sure(gpu.mig) or sure(gpu.mig_devices):
        return None
    return Finding(
        "The GPU is set to be divided (MIG), and has no part that programs could use.",
        "torch finds no GPU.",
        ("MIG mode: enabled; MIG devices: none",),
        "Make a part of it, or switch the mode off.",
        (
            there(facts, "nvidia-smi mig -lgip; nvidia-smi mig -cgi 0 -C"),
            there(facts, "nvidia-smi -i 0 -mig 0"),
        ),
    )


@unless_unknown
def _small(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    room, needed = _room(first(facts)), needed_mib(facts)
    if room >= needed:
        return None
    return Finding(
        f"The GPU's memory, {room} MiB, is too small for the default job.",
        f"A picture of {DEFAULT}x{DEFAULT} takes about {needed} MiB with the model: it runs out of memory.",
        _memory_evidence(first(facts)),
        _instead(facts, room),
    )


def _instead(facts: HostFacts, room: int) -> str:
    one = network(facts)
    fits = memory.largest_fit(room * MIB - memory.resident(one), DEFAULT, DEFAULT, one)
    if fits is None:
        return "No picture of this model fits: take a plan with more memory."
    return f"Make smaller pictures (sdops run --width {fits[0]}), or take a plan with more memory."


@unless_unknown
def _busy(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    gpu = first(facts)
    if gpu.mig is True:
        return None
    room, used, needed = _room(gpu), sure(gpu.memory_used_mib), needed_mib(facts)
    listed = gpu.processes if isinstance(gpu.processes, tuple) else ()
    others = [f"{one.name} ({one.pid}): {one.memory_mib} MiB" for one in listed if one.memory_mib]
    if room - used + _own_mib(facts, gpu) >= needed:
        return None
    return Finding(
        f"Of the GPU's memory only {room - used} MiB are free.",
        f"The default job takes about {needed} MiB, and runs out of memory while others hold theirs.",
        (*_memory_evidence(gpu), *others[:5]),
        f"End what else uses the GPU. Meanwhile: {_instead(facts, room - used)}",
        (there(facts, "nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv"),),
    )


def _own_mib(facts: HostFacts, gpu: Gpu) -> int:
    """What our own worker holds of it; where nobody is told by name, all may be its."""
    service = facts.runtime.service if isinstance(facts.runtime, Runtime) else None
    worker = service.pid if isinstance(service, Service) else None
    used = gpu.memory_used_mib if isinstance(gpu.memory_used_mib, int) else 0
    if not isinstance(gpu.processes, tuple) or not gpu.processes:
        return used if worker else 0
    return sum(
        one.memory_mib or 0 for one in gpu.processes if one.pid == worker or "sdops-runtime" in one.name
    )


def _memory_evidence(gpu: Gpu) -> tuple[str, ...]:
    parts = {"total": gpu.memory_mib, "reserved": gpu.memory_reserved_mib, "used": gpu.memory_used_mib}
    said = ", ".join(f"{word} {number} MiB" for word, number in parts.items() if isinstance(number, int))
    return (f"memory: {said}",)


@unless_unknown
def _persistence(facts: HostFacts) -> Finding | None:
    if not expected(facts) or sure(first(facts).persistence):
        return None
    return Finding(
        "The driver lets go of the GPU whenever nothing uses it (persistence mode is off).",
        "The first call of each program waits some seconds until it is set up again.",
        ("Persistence Mode: Disabled",),
        "Switch it on, for good by the service.",
        (there(facts, "systemctl enable --now nvidia-persistenced || nvidia-smi --persistence-mode=1"),),
    )


@unless_unknown
def _ecc(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    counts = {gpu.index: gpu.ecc_errors for gpu in gpus(facts)}
    bad = {index: number for index, number in counts.items() if isinstance(number, int) and number > 0}
    if not bad:
        return None
    return Finding(
        "The GPU's memory had errors that could not be corrected.",
        "Programs end with errors, and pictures may be wrong.",
        tuple(f"GPU {index}: {number} uncorrected" for index, number in bad.items()),
        "Reboot the host, which sets such memory aside. If they come again, tell the provider.",
        (there(facts, "systemctl reboot"),),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "gpu-kernels",
        "gpu",
        "the stack's torch has kernels for the GPU",
        Severity.ERROR,
        _kernels,
        "A build of torch has machine code for the GPUs of its time. Newer ones are seen and cannot be used.",
        "Take a stack that has kernels for it.",
        needs=("driver",),
    ),
    Check(
        "vgpu-unlicensed",
        "gpu",
        "a share of a GPU (vGPU) has its licence",
        Severity.ERROR,
        _licence,
        "The service nvidia-gridd has no token, or does not reach the licence's server.",
        "Put the provider's token in place, let the server be reached, and restart the service.",
        needs=("driver",),
    ),
    Check(
        "mig-empty",
        "gpu",
        "a divided GPU (MIG) has a part to use",
        Severity.ERROR,
        _mig,
        "MIG mode is on, and no instances were made; they are gone after each reboot.",
        "Make instances (`nvidia-smi mig -cgi … -C`), or switch the mode off.",
        needs=("driver",),
    ),
    Check(
        "gpu-small",
        "gpu",
        "the default job fits into the GPU's memory",
        Severity.ERROR,
        _small,
        "The plan's share of a GPU is small, and a part of it is the driver's own.",
        "Make smaller pictures, or take a larger plan.",
        needs=("driver", "mig-empty"),
    ),
    Check(
        "gpu-busy",
        "gpu",
        "the default job finds its memory free",
        Severity.WARNING,
        _busy,
        "Other programs hold memory of the GPU.",
        "End them.",
        needs=("driver", "gpu-small"),
    ),
    Check(
        "gpu-persistence",
        "gpu",
        "the driver holds the GPU ready",
        Severity.WARNING,
        _persistence,
        "Persistence mode is off, which is how drivers come.",
        "Switch it on by the service nvidia-persistenced.",
        needs=("driver",),
    ),
    Check(
        "gpu-ecc",
        "gpu",
        "the GPU's memory has no errors",
        Severity.WARNING,
        _ecc,
        "Memory cells fail with age.",
        "A reboot sets them aside.",
        needs=("driver",),
    ),
)
