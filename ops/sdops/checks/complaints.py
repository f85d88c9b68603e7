"""Checks of the topic ``driver`` by what nvidia-smi complains of: one for each complaint. No I/O here."""

from dataclasses import dataclass

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.nvidia import expected, report
from sdops.checks.remedy import there
from sdops.checks.sure import unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.nvidia_smi import Trouble
from sdops.facts.unknown import Unknown

_REBOOT = "systemctl reboot"


@dataclass(frozen=True)
class _Kind:
    """What a complaint means, and what mends it. commands are typed on the host."""

    trouble: Trouble
    id: str
    title: str
    summary: str
    effect: str
    cause: str
    remedy: str
    commands: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


KINDS = (
    _Kind(
        Trouble.MISMATCH,
        "driver-mismatch",
        "the driver's module and libraries are of one version",
        "The driver's kernel module and its libraries are of two versions.",
        "Nothing can compute on the GPU until they are one again.",
        "The driver was upgraded, and the module of the old one is still loaded.",
        "Reboot the host. If it stays, a part of the driver was installed by another way: remove that.",
        (_REBOOT,),
    ),
    _Kind(
        Trouble.NO_LIBRARY,
        "nvml-missing",
        "nvidia-smi finds its library",
        "nvidia-smi does not find its library, libnvidia-ml.",
        "The state of the GPU cannot be read, and other libraries of the driver may be missing, too.",
        "Only a part of the driver's packages is installed, or the linker does not find them.",
        "Install what is missing, of the driver's own version.",
        ("ldconfig; ldconfig -p | grep -E 'libnvidia-ml|libcuda'",),
    ),
    _Kind(
        Trouble.NO_PERMISSION,
        "driver-permission",
        "the GPU may be used",
        "The account may not use the GPU's device files.",
        "Nothing that it starts can compute there.",
        "The driver was set up to give its device files to one group alone (NVreg_DeviceFileGID).",
        "Let the account in, or give the files back to everyone.",
        ("ls -l /dev/nvidia*; grep -rn NVreg_DeviceFile /etc/modprobe.d",),
    ),
    _Kind(
        Trouble.BLOCKED,
        "driver-blocked",
        "the operating system lets the GPU be used",
        "The operating system blocks the GPU.",
        "Nothing can compute there.",
        "Under WSL the driver of Windows is missing or too old; in a container the device is not let in.",
        "Install NVIDIA's driver on the outer system and restart that (under WSL: wsl --shutdown).",
    ),
    _Kind(
        Trouble.LOST,
        "gpu-lost",
        "the GPU is on its bus",
        "The GPU has fallen off its bus.",
        "It does not answer until the machine is started anew.",
        "Power, heat, or a fault of the hardware.",
        "Reboot the host. If it comes again, tell the provider: the hardware is at fault.",
        ("dmesg | grep -E 'NVRM|Xid' | tail", _REBOOT),
    ),
    _Kind(
        Trouble.RESET,
        "gpu-reset",
        "no GPU waits for a reset",
        "The GPU waits for a reset.",
        "Until then nothing can compute on it, though it is still listed as there.",
        "An error of the hardware or the driver that ended what ran on it.",
        "Stop what uses it and reset it; where that is refused, reboot the host.",
        ("nvidia-smi --gpu-reset", _REBOOT),
    ),
    _Kind(
        Trouble.POWER,
        "gpu-power",
        "the GPU has its power",
        "The GPU's external power cables are not properly attached.",
        "It runs throttled or not at all.",
        "The cables.",
        "Whoever has the machine must look at them.",
    ),
    _Kind(
        Trouble.INTERRUPT,
        "gpu-interrupt",
        "the GPU's interrupts arrive",
        "The kernel has a problem with the GPU's interrupts.",
        "It does not work.",
        "Mostly a fault in how a virtual machine passes the device on.",
        "Reboot the host. If it comes again, tell the provider.",
        ("dmesg | grep -iE 'nvrm|irq' | tail", _REBOOT),
    ),
    _Kind(
        Trouble.NO_HANDLE,
        "gpu-unreadable",
        "every GPU can be read",
        "The driver cannot open a GPU that is there.",
        "Nothing can compute on it; with some versions, on no other one either.",
        "The GPU hangs or is broken, or another machine holds it.",
        "Reboot the host. If it comes again, tell the provider.",
        ("dmesg | grep -E 'NVRM|Xid' | tail", _REBOOT),
    ),
    _Kind(
        Trouble.NO_DEVICES,
        "no-devices",
        "the driver has a GPU",
        "The driver is loaded, and finds no GPU that it works with.",
        "Nothing can compute.",
        "The driver is one for other GPUs: of another branch than the vGPU's host, the open modules with a "
        "vGPU, or too old for the GPU. Or the GPU has failed.",
        "See what the kernel says. With a share of a GPU (vGPU) the provider has the driver that fits.",
        ("dmesg | grep -E 'NVRM|Xid' | tail", "lspci -nn -d 10de:"),
    ),
    _Kind(
        Trouble.CRASHED,
        "nvidia-smi-crashes",
        "nvidia-smi does not crash",
        "nvidia-smi crashes.",
        "The driver's parts do not fit each other, or are damaged; torch may crash, too.",
        "Libraries of two drivers are mixed.",
        "Find what is not of the driver's version, and remove it.",
        ("ldconfig -p | grep -E 'nvidia|libcuda'",),
    ),
    _Kind(
        Trouble.NO_COMMAND,
        "nvidia-smi-not-found",
        "the shell finds nvidia-smi",
        "The shell does not find nvidia-smi.",
        "There may be no driver at all.",
        "No driver is installed, or only a part of it.",
        "Have the provider install the driver; sdops installs none.",
    ),
    _Kind(
        Trouble.UNKNOWN,
        "nvml-error",
        "the driver answers without errors",
        "The driver answers with an error that says no more.",
        "What computes on the GPU may fail.",
        "In a container, mostly that a reload of systemd took its devices away; else the driver's state.",
        "Start the container anew, or reboot the host; what the kernel says may tell more.",
        ("dmesg | grep -E 'NVRM|Xid' | tail", _REBOOT),
    ),
    _Kind(
        Trouble.BAD_FIELD,
        "smi-field",
        "nvidia-smi knows what it was asked for",
        "nvidia-smi does not know a field that it was asked for, and so says nothing else.",
        "The output tells nothing about driver and GPU.",
        "Fields come and go with drivers; `cuda_version` never was one.",
        "Give the output of plain nvidia-smi, or of nvidia-smi -q.",
        severity=Severity.WARNING,
    ),
    _Kind(
        Trouble.BAD_OPTION,
        "smi-option",
        "nvidia-smi knows its options",
        "nvidia-smi does not know an option that it was given, and so says nothing else.",
        "The output tells nothing about driver and GPU.",
        "Options come and go with drivers.",
        "Give the output of plain nvidia-smi, or of nvidia-smi -q.",
        severity=Severity.WARNING,
    ),
    _Kind(
        Trouble.INFOROM,
        "gpu-inforom",
        "the GPU's own memory for its data is whole",
        "The memory in which the GPU keeps data about itself (infoROM) is corrupted.",
        "It computes, but some of what it tells, and some of its protections, may fail.",
        "A fault of the hardware.",
        "Tell the provider.",
        severity=Severity.WARNING,
    ),
)

#: Of those that keep everything after them from being judged.
IDS = tuple(kind.id for kind in KINDS if kind.severity is Severity.ERROR)


def _judge(kind: _Kind):  # type: ignore[no-untyped-def]
    @unless_unknown
    def judge(facts: HostFacts) -> Finding | Unknown | None:
        if not expected(facts):
            return None
        said = report(facts).complains_of(kind.trouble)
        if not said and kind.trouble is Trouble.RESET:
            said = _waits(facts)
        if not said:
            return None
        commands = tuple(there(facts, command) for command in kind.commands)
        return Finding(kind.summary, kind.effect, (said,), kind.remedy, commands)

    return judge


def _waits(facts: HostFacts) -> str:
    """What says that a GPU waits for a reset, "" for nothing."""
    found = report(facts).gpus
    waiting = [gpu for gpu in found if gpu.reset_required is True] if isinstance(found, tuple) else []
    return f"Reset Required: Yes (GPU {waiting[0].index})" if waiting else ""


CHECKS: tuple[Check, ...] = tuple(
    Check(
        kind.id,
        "driver",
        kind.title,
        kind.severity,
        _judge(kind),
        kind.cause,
        kind.remedy,
        needs=("nvidia-smi-hangs",),
    )
    for kind in KINDS
)
