"""Checks of the topic ``driver``: whether it is there and loaded, and nvidia-smi answers. No I/O here."""

from sdops.checks import complaints, cuda
from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.nvidia import PROVIDER, driver, expected, nvidia
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.nvidia import Nvidia
from sdops.facts.nvidia_smi import Report, Trouble
from sdops.facts.stored import PASTED
from sdops.facts.unknown import Unknown


def _works(facts: HostFacts) -> bool:
    """Whether nvidia-smi lists GPUs, and so the driver works as far as it can tell."""
    found = facts.nvidia.report if isinstance(facts.nvidia, Nvidia) else None
    return isinstance(found, Report) and isinstance(found.gpus, tuple) and bool(found.gpus)


def _unloaded(facts: HostFacts) -> bool:
    """Whether no kernel module of the driver is loaded."""
    return not _works(facts) and not isinstance(facts.driver, Unknown) and sure(driver(facts).module) == ""


def _complains(facts: HostFacts) -> bool:
    """Whether nvidia-smi has an error to tell, which says more than what is not there."""
    found = facts.nvidia.report if isinstance(facts.nvidia, Nvidia) else None
    return isinstance(found, Report) and bool(found.complaints)


@unless_unknown
def _gpu(facts: HostFacts) -> Finding | None:
    if facts.host == PASTED or not expected(facts) or _works(facts):
        return None
    # Where nvidia-smi is, its own complaint says more.
    if nvidia(facts).tool or sure(nvidia(facts).pci) or nvidia(facts).nodes:
        return None
    return Finding(
        "The host has no NVIDIA GPU.",
        "Pictures are made on the processor, each in many minutes, or not at all.",
        ("no display or 3D controller of NVIDIA's is on the PCI bus",),
        "Take a plan with a GPU. For a host that is not meant to have one, set sdops_expect_gpu=false and "
        "stack_env_torch_by_pip=true, and run the whole playbook.",
        playbook(facts),
    )


@unless_unknown
def _missing(facts: HostFacts) -> Finding | None:
    if not expected(facts) or _works(facts):
        return None
    found = driver(facts)
    if (
        nvidia(facts).tool
        or sure(found.module)
        or found.module_file
        or found.libraries
        or found.nouveau is True
    ):
        return None
    return Finding(
        "The GPU has no driver.",
        "Nothing can compute on it.",
        ("no nvidia-smi, no kernel module nvidia, no libcuda",),
        f"sdops installs none: a share of a GPU (vGPU) needs just the one that fits its host. {PROVIDER}",
    )


@unless_unknown
def _nouveau(facts: HostFacts) -> Finding | None:
    if not expected(facts) or not _unloaded(facts) or not sure(driver(facts).nouveau):
        return None
    return Finding(
        "The GPU is in the hands of nouveau, the kernel's own driver.",
        "NVIDIA's driver cannot take it, and nouveau computes nothing.",
        ("/sys/module/nouveau is there, /sys/module/nvidia is not",),
        "Keep nouveau from loading, and reboot. NVIDIA's driver, if it is not there yet, is the provider's.",
        (
            there(
                facts,
                "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' >/etc/modprobe.d/nouveau.conf "
                "&& update-initramfs -u && systemctl reboot",
            ),
        ),
    )


@unless_unknown
def _not_built(facts: HostFacts) -> Finding | None:
    if not expected(facts) or not _unloaded(facts):
        return None
    if sure(driver(facts).module_file):
        return None
    return Finding(
        "The driver has no kernel module for the kernel that runs.",
        "It cannot be loaded. Mostly the kernel was upgraded and the module was not built for the new one.",
        (f"no nvidia.ko below /lib/modules/{_kernel(facts)}",),
        "Build it for this kernel, or boot the kernel that came before.",
        (there(facts, "dkms autoinstall && modprobe nvidia"),),
    )


def _kernel(facts: HostFacts) -> str:
    return str(getattr(facts.system, "kernel", "") or "$(uname -r)")


@unless_unknown
def _secure_boot(facts: HostFacts) -> Finding | None:
    if not expected(facts) or not _unloaded(facts) or not sure(driver(facts).secure_boot):
        return None
    return Finding(
        "The driver's kernel module is not loaded, and Secure Boot is on.",
        "The kernel loads signed modules alone; one that was built on the host is signed by nobody it knows.",
        ("the firmware's variable SecureBoot is 1", "/sys/module/nvidia is not there"),
        "Switch Secure Boot off in the machine's settings at the provider, or enrol the module's key.",
        (there(facts, "mokutil --import /var/lib/dkms/mok.pub"),),
    )


@unless_unknown
def _not_loaded(facts: HostFacts) -> Finding | None:
    if not expected(facts) or _works(facts):
        return None
    said = ""
    if isinstance(facts.nvidia, Nvidia) and isinstance(facts.nvidia.report, Report):
        said = facts.nvidia.report.complains_of(Trouble.NO_DRIVER)
    if not said and (isinstance(facts.driver, Unknown) or not _unloaded(facts) or _complains(facts)):
        return None
    return Finding(
        "The driver is installed and not loaded." if facts.host != PASTED else "The driver is not loaded.",
        "Nothing can compute on the GPU.",
        (said or "/sys/module/nvidia is not there",),
        "Load it; what the kernel has against it stands in its log.",
        (there(facts, "modprobe nvidia; dmesg | grep -iE 'nvidia|nvrm' | tail"),),
    )


@unless_unknown
def _hangs(facts: HostFacts) -> Finding | None:
    if not expected(facts) or not nvidia(facts).hung:
        return None
    return Finding(
        "nvidia-smi does not answer.",
        "The driver or the GPU hangs; so will everything that wants to compute there.",
        ("no answer within 30 s",),
        "Reboot the host. If it comes again, the hardware is at fault, or its host: tell the provider.",
        (there(facts, "dmesg | grep -E 'NVRM|Xid' | tail"), there(facts, "systemctl reboot")),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "gpu-absent",
        "driver",
        "there is an NVIDIA GPU",
        Severity.ERROR,
        _gpu,
        "The plan has no GPU, or it is not attached to the machine.",
        "Take a plan with a GPU, or set `sdops_expect_gpu` to false.",
        needs=("reach",),
    ),
    Check(
        "driver-missing",
        "driver",
        "a driver is installed",
        Severity.ERROR,
        _missing,
        "The image of the machine came without NVIDIA's driver.",
        "Drivers are the provider's: a share of a GPU (vGPU) needs just the one that fits its host.",
        needs=("reach", "gpu-absent"),
    ),
    Check(
        "nouveau",
        "driver",
        "the kernel's own driver leaves the GPU alone",
        Severity.ERROR,
        _nouveau,
        "The kernel loaded nouveau before NVIDIA's driver could take the GPU.",
        "Blacklist it, make the initial RAM disk anew, and reboot.",
        needs=("driver-missing",),
    ),
    Check(
        "driver-not-built",
        "driver",
        "the driver has a module for the running kernel",
        Severity.ERROR,
        _not_built,
        "The kernel was upgraded, and its headers or the build of the module were missing.",
        "`dkms autoinstall` builds it; `dkms status` says why not. The kernel before still has its module.",
        needs=("driver-missing", "nouveau"),
    ),
    Check(
        "secure-boot",
        "driver",
        "Secure Boot lets the driver in",
        Severity.ERROR,
        _secure_boot,
        "With Secure Boot the kernel loads signed modules alone.",
        "Switch it off at the provider, or enrol the key that signs the module (`mokutil --import`).",
        needs=("driver-not-built",),
    ),
    Check(
        "driver-not-loaded",
        "driver",
        "the driver is loaded",
        Severity.ERROR,
        _not_loaded,
        "The kernel module is there and was not loaded, or the kernel refused it.",
        "`modprobe nvidia`, and read what the kernel says.",
        needs=("secure-boot",),
    ),
    Check(
        "nvidia-smi-hangs",
        "driver",
        "nvidia-smi answers",
        Severity.ERROR,
        _hangs,
        "The driver waits for a GPU that does not answer.",
        "Reboot. If it comes again, tell the provider what the kernel's log says (Xid).",
        needs=("driver-not-loaded",),
    ),
    *complaints.CHECKS,
    *cuda.CHECKS,
)
