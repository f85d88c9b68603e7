"""Checks of the topic ``driver``: whether it is new enough, and programs find and start CUDA. No I/O here."""

from sdops_runtime import stack

from sdops.checks import complaints
from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.nvidia import a_share, driver, expected, nvidia, report
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import sure, unless_unknown
from sdops.facts.host import HostFacts
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

STUB, NO_DEVICE, NOT_READY = 34, 100, 802


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
def _too_old(facts: HostFacts) -> Finding | None:
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
