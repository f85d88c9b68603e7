"""Facts that trigger the checks of the topic ``driver``, one by one."""

from dataclasses import replace

from sdops.checks.complaints import KINDS
from sdops.facts.driver import Driver, Package
from sdops.facts.nvidia import Nvidia
from sdops.facts.nvidia_smi import Complaint, Form, Gpu, Report, Trouble
from sdops.facts.unknown import Unknown

GPU = Gpu(
    index=0,
    name="GRID A100D-10C",
    memory_mib=10_240,
    memory_used_mib=0,
    memory_reserved_mib=560,
    mig=False,
    mig_devices=(),
    vgpu=True,
    virtualization="VGPU",
    licence="Licensed (Expiry: 2027-3-19 7:29:4 GMT)",
    persistence=True,
    ecc_errors=0,
    reset_required=False,
    processes=(),
)
REPORT = Report(Form.XML, "570.133.20", "12.8", (GPU,))

HEALTHY = {
    "nvidia": Nvidia(tool="/usr/bin/nvidia-smi", pci=1, nodes=1, report=REPORT),
    "driver": Driver(
        module="570.133.20",
        open_module=False,
        nouveau=False,
        secure_boot=False,
        libraries=("/usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20",),
        packages=(Package("nvidia-vgpu-driver", held=True),),
        cuda_version="12.8",
        cuda_missing="",
        cuda_init=0,
        capabilities=("8.0",),
        gridd=True,
        gridd_token=True,
    ),
}

NO_CUDA = {"cuda_version": Unknown("no"), "cuda_init": Unknown("no"), "capabilities": Unknown("no")}


def nvidia(**fields):
    return lambda facts: replace(facts, nvidia=replace(facts.nvidia, **fields))


def report(**fields):
    return lambda facts: nvidia(report=replace(facts.nvidia.report, **fields))(facts)


def driver(**fields):
    return lambda facts: replace(facts, driver=replace(facts.driver, **fields))


def unloaded(**fields):
    """No kernel module: nvidia-smi complains, libcuda finds nothing."""
    said = Report(Form.ERROR, complaints=(Complaint(Trouble.NO_DRIVER, "couldn't communicate"),))

    def change(facts):
        facts = driver(module="", module_file=True, **NO_CUDA, **fields)(facts)
        return nvidia(report=said)(facts)

    return change


def nothing(**fields):
    """No trace of a driver."""

    def change(facts):
        facts = replace(facts, driver=Driver(module="", module_file=False, nouveau=False, secure_boot=False))
        return nvidia(tool="", nodes=0, report=None, **fields)(facts)

    return change


def complains(kind):
    """nvidia-smi says so and, where it is an error, nothing else."""
    said = (Complaint(kind.trouble, "in its own words"),)

    def change(facts):
        if kind.trouble in (Trouble.INFOROM, Trouble.BAD_FIELD, Trouble.BAD_OPTION):
            return report(complaints=said)(facts)
        return nvidia(report=Report(Form.ERROR, complaints=said))(facts)

    return change


CASES = {
    "gpu-absent": nothing(pci=0),
    "driver-missing": nothing(),
    "nouveau": unloaded(nouveau=True),
    "driver-not-built": lambda facts: driver(module_file=False)(unloaded()(facts)),
    "secure-boot": unloaded(secure_boot=True),
    "driver-not-loaded": unloaded(),
    "nvidia-smi-hangs": nvidia(hung=True, report=Unknown("no answer")),
    **{kind.id: complains(kind) for kind in KINDS},
    "nvidia-smi-missing": nvidia(tool="", report=None),
    "driver-too-old": report(driver="440.33.01"),
    "libcuda-missing": driver(cuda_missing="libcuda.so.1: cannot open shared object file", **NO_CUDA),
    "libcuda-stub": driver(cuda_init=34, cuda_version=Unknown("no"), capabilities=Unknown("no")),
    "cuda-start": driver(cuda_init=999, capabilities=Unknown("no")),
    "libcuda-other": driver(cuda_version="12.2"),
    "driver-unheld": driver(packages=(Package("nvidia-vgpu-driver", held=False),)),
}
