"""What the probes of driver and GPU print becomes facts."""

from sdops.facts import driver, nvidia
from sdops.facts.driver import Driver, Package
from sdops.facts.nvidia_smi import Trouble
from sdops.facts.probe import Output
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

from .smi_outputs import XML

WANTED = Wanted()


def test_nvidia_smi_that_answers():
    text = f"pci=1\nnodes=1\ntool=/usr/bin/nvidia-smi\noutput=\n{XML}\nstatus=0"
    found = nvidia.PROBE.read(Output(text), WANTED)
    assert (found.tool, found.pci, found.nodes, found.hung) == ("/usr/bin/nvidia-smi", 1, 1, False)
    assert (found.driver, found.gpus[0].memory_mib) == ("535.99.07", 40960)
    assert found.summary == ["NVIDIA A100-PCIE-40GB", "driver 535.99.07"]


def test_nvidia_smi_that_complains_is_known_by_its_exit_status_too():
    text = "pci=1\nnodes=0\ntool=/usr/bin/nvidia-smi\noutput=\nSomething new\n\nstatus=9"
    found = nvidia.PROBE.read(Output(text), WANTED)
    assert [one.kind for one in found.report.complaints] == [Trouble.NO_DRIVER]
    assert found.summary == []


def test_nvidia_smi_that_hangs_is_told_apart_from_one_that_is_missing():
    hung = nvidia.PROBE.read(Output("pci=1\nnodes=1\ntool=/usr/bin/nvidia-smi\noutput=", 124), WANTED)
    assert hung.hung
    missing = nvidia.PROBE.read(Output("pci=1\nnodes=0\ntool="), WANTED)
    assert (missing.tool, missing.report, missing.hung) == ("", None, False)
    assert missing.driver == Unknown("there is no nvidia-smi")


def test_a_driver_that_is_loaded():
    text = """\
module=NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.133.20  Sun Mar 30 14:00:00 UTC 2025
nouveau=no
secure_boot=no
library=/usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20
package=nvidia-vgpu-driver hold ok installed
package=nvidia-settings deinstall ok config-files
package=libcuda1 install ok installed
gridd=yes
gridd_token=no
asked=yes
cuda_version=12080
cuda_init=0
cuda_devices=1
cuda_capability=8.0"""
    assert driver.PROBE.read(Output(text), WANTED) == Driver(
        module="570.133.20",
        open_module=False,
        nouveau=False,
        secure_boot=False,
        libraries=("/usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20",),
        packages=(Package("nvidia-vgpu-driver", True), Package("libcuda1", False)),
        cuda_version="12.8",
        cuda_missing="",
        cuda_init=0,
        capabilities=("8.0",),
        gridd=True,
        gridd_token=False,
    )


def test_an_open_module_and_one_that_only_says_its_number():
    said = "module=NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.11.02  Release Build"
    found = driver.PROBE.read(Output(said), WANTED)
    assert (found.module, found.open_module) == ("580.11.02", True)
    assert driver.PROBE.read(Output("module=580.11.02"), WANTED).module == "580.11.02"


def test_a_host_without_a_driver():
    text = "module=\nmodule_file=\nnouveau=yes\nsecure_boot=yes\ncuda_missing=libcuda.so.1: no such file"
    found = driver.PROBE.read(Output(text), WANTED)
    assert (found.module, found.module_file, found.nouveau, found.secure_boot) == ("", False, True, True)
    assert found.cuda_missing == "libcuda.so.1: no such file"
    assert isinstance(found.cuda_init, Unknown)


def test_a_stub_says_nothing_but_its_error():
    found = driver.PROBE.read(Output("module=570.1\ncuda_init=34"), WANTED)
    assert (found.cuda_init, found.cuda_missing) == (34, "")
    assert isinstance(found.cuda_version, Unknown)
