"""Checks of the topic ``driver``: whether it is there, loaded, whole and new enough. No I/O here."""

from sdops.checks import complaints
from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.nvidia import PROVIDER, a_share, driver, expected, nvidia, report
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.nvidia import Nvidia
from sdops.facts.nvidia_smi import Report, Trouble
from sdops.facts.stored import PASTED
from sdops.facts.unknown import Unknown
from sdops.recommend import recommend

#: What CUDA's own numbers mean (cuda.h, CUresult), as far as a start of libcuda has them.
RESULTS = {
    3: "not initialized",
    34: "this is a stub library",
    46: "the device is busy or unavailable",
    100: "no device",
    101: "invalid device",
    304: "operating system call failed",
    802: "system not yet ready",
    803: "driver and library do not fit",
    804: "forward compatibility is not supported on this hardware",
    999: "unknown error",
}

STUB, NO_DEVICE, NOT_READY, MISFIT = 34, 100, 802, 803


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
def _no_tool(facts: HostFacts) -> Finding | None:
    if not expected(facts) or sure(nvidia(facts).tool):
        return None
    return Finding(
        "There is no nvidia-smi beside the driver.",
        "Memory, licence and state of the GPU cannot be read, here and by anyone who helps you.",
        (f"kernel module {driver(facts).module}; command -v nvidia-smi: nothing",),
        "Install the part of the driver's own packages that has it, of the same version, not another driver.",
        (there(facts, "dpkg -l | grep nvidia"),),
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


@unless_unknown
def _libcuda(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    missing = sure(driver(facts).cuda_missing)
    if not missing:
        return None
    return Finding(
        "The driver's library for programs that compute, libcuda, cannot be loaded.",
        "nvidia-smi works without it, torch does not.",
        (missing,),
        "Install it, of the version of the driver that is there.",
        (
            there(
                facts,
                "dpkg -l | grep -E 'nvidia|libcuda'; ldconfig -p | grep libcuda",
            ),
        ),
    )


@unless_unknown
def _stub(facts: HostFacts) -> Finding | None:
    if not expected(facts) or sure(driver(facts).cuda_init) != STUB:
        return None
    return Finding(
        "Programs find a stub of libcuda before the driver's own.",
        "A stub is there to link against and computes nothing: torch finds no GPU (CUDA error 34).",
        ("cuInit: 34 (this is a stub library)",),
        "Take the folder with the stub out of LD_LIBRARY_PATH and of the linker's settings.",
        (
            there(
                facts,
                "grep -rn stubs /etc/ld.so.conf.d /etc/environment /etc/profile.d",
            ),
        ),
    )


@unless_unknown
def _start(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    number = sure(driver(facts).cuda_init)
    if number in (0, STUB):
        return None
    said = RESULTS.get(number, "see cuda.h")
    command, remedy = "systemctl reboot", "Reboot the host."
    if number == NOT_READY:
        command = "systemctl enable --now nvidia-fabricmanager"
        remedy = "GPUs that are joined by NVSwitch need the fabric manager, of the driver's version."
    elif number == NO_DEVICE:
        command = "env | grep CUDA_VISIBLE_DEVICES; nvidia-smi -L; ls -l /dev/nvidia*"
        remedy = "See whether the GPU is hidden, divided (MIG), or its device files are missing."
    return Finding(
        f"CUDA does not start: {said}.",
        "torch finds no GPU.",
        (f"cuInit: {number} ({said})",),
        remedy,
        (there(facts, command),),
    )


@unless_unknown
def _too_old(facts: HostFacts) -> Finding | None:
    from sdops_runtime import stack

    if not expected(facts):
        return None
    version = sure(report(facts).driver)
    wanted = stack.load(facts.wanted.stack)
    if wanted.supports_driver(version):
        return None
    advice = recommend(facts)
    remedy = "Have the provider renew the driver."
    if a_share(facts):
        remedy = "Have the provider renew it: that of a share of a GPU (vGPU) has to fit the one of its host."
    if advice.stack:
        remedy = (
            f"Set sdops_stack={advice.stack} for this host, which this driver runs, and run the playbook."
        )
    return Finding(
        f"The driver, {version}, is too old for the stack {wanted.name}.",
        f"CUDA {wanted.cuda} needs {wanted.minimum_driver} or later: torch finds no GPU.",
        (f"Driver Version: {version}",),
        remedy,
        playbook(facts) if advice.stack else (),
    )


@unless_unknown
def _two_cudas(facts: HostFacts) -> Finding | None:
    if not expected(facts):
        return None
    told, asked = sure(report(facts).cuda), sure(driver(facts).cuda_version)
    if told == asked:
        return None
    return Finding(
        f"nvidia-smi tells of CUDA {told}, and libcuda is one of CUDA {asked}.",
        "torch goes by libcuda. A compatibility package, or the rest of another driver, lies in between.",
        (f"nvidia-smi: {told}; cuDriverGetVersion: {asked}", *driver(facts).libraries),
        "Remove the libcuda that is not the driver's own.",
        (there(facts, "ldconfig -p | grep libcuda"),),
    )


@unless_unknown
def _unheld(facts: HostFacts) -> Finding | None:
    if not expected(facts) or not a_share(facts):
        return None
    loose = [one.name for one in driver(facts).packages if not one.held]
    if not loose:
        return None
    return Finding(
        "Upgrades may replace the driver of a share of a GPU (vGPU).",
        "With a driver of another branch than its host's, the share does not work any more.",
        (f"not held: {', '.join(loose[:8])}",),
        "Have the playbook hold them at their versions.",
        playbook(facts, "service_user"),
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
    Check(
        "nvidia-smi-missing",
        "driver",
        "nvidia-smi is there",
        Severity.WARNING,
        _no_tool,
        "Only a part of the driver's packages is installed.",
        "Install the part that has it, of the same version.",
        needs=("driver-not-loaded",),
    ),
    Check(
        "driver-too-old",
        "driver",
        "the driver is new enough for the stack",
        Severity.ERROR,
        _too_old,
        "Each CUDA needs a driver of a certain age; the stack's torch is built for one CUDA.",
        "Take a stack that the driver runs, or have the driver renewed.",
        needs=("driver-not-loaded", *complaints.IDS),
    ),
    Check(
        "libcuda-missing",
        "driver",
        "libcuda can be loaded",
        Severity.ERROR,
        _libcuda,
        "Only a part of the driver's packages is installed, or the linker does not find it.",
        "Install the driver's library for programs that compute, of the same version.",
        needs=("driver-too-old",),
    ),
    Check(
        "libcuda-stub",
        "driver",
        "programs find the driver's own libcuda",
        Severity.ERROR,
        _stub,
        "A folder `stubs` of a CUDA toolkit is where libraries are looked for.",
        "Take it out of LD_LIBRARY_PATH and of the linker's settings.",
        needs=("libcuda-missing",),
    ),
    Check(
        "cuda-start",
        "driver",
        "CUDA starts",
        Severity.ERROR,
        _start,
        "The driver is loaded, and CUDA reports an error of its own when it starts.",
        "It depends on the number, which the finding has.",
        needs=("libcuda-stub",),
    ),
    Check(
        "libcuda-other",
        "driver",
        "nvidia-smi and libcuda agree",
        Severity.WARNING,
        _two_cudas,
        "A compatibility package, or the rest of another driver, brings a libcuda of its own.",
        "Remove the libcuda that is not the driver's own.",
        needs=("libcuda-stub",),
    ),
    Check(
        "driver-unheld",
        "driver",
        "upgrades leave a vGPU's driver alone",
        Severity.WARNING,
        _unheld,
        "Packages of the driver were installed or released after the playbook had held what was there.",
        "The tag `service_user` holds them.",
        needs=("driver-not-loaded",),
    ),
)
