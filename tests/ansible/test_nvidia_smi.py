"""What nvidia-smi says, in all its forms, is read for what it means. The texts are of our own making."""

from __future__ import annotations

from types import ModuleType

import pytest

from . import modules


@pytest.fixture(scope="module")
def nvidia_smi() -> ModuleType:
    """The module's own functions."""
    return modules.load("preflight", "nvidia_smi")


def table(heading: str) -> str:
    return f"""\
Sun Nov  1 10:00:00 2026
+-----------------------------------------------------------------------------------------+
| {heading:<87} |
|-----------------------------------------+------------------------+----------------------+
|   0  GRID A100D-10C                 On  |   00000000:06:00.0 Off |                    0 |
| N/A   N/A    P0             N/A /  N/A  |       0MiB /  10240MiB |      0%      Default |
+-----------------------------------------+------------------------+----------------------+
"""


OLD = table("NVIDIA-SMI 470.82.01    Driver Version: 470.82.01    CUDA Version: 11.4")
NEW = table("NVIDIA-SMI 610.12.01              KMD Version: 610.12.01     CUDA UMD Version: 13.3")


@pytest.mark.parametrize(
    ("text", "driver", "cuda"),
    [
        pytest.param(OLD, "470.82.01", "11.4", id="table"),
        pytest.param(NEW, "610.12.01", "13.3", id="table of driver 610"),
        pytest.param(
            table("NVIDIA-SMI 515.65.01    Driver Version: 515.65.01    CUDA Version: N/A"),
            "515.65.01",
            "",
            id="CUDA not told",
        ),
        pytest.param(
            table("NVIDIA-SMI 515.65.01    Driver Version: 515.65.01    CUDA Version: ERR!"),
            "515.65.01",
            "",
            id="CUDA in error",
        ),
        pytest.param(
            table("NVIDIA-SMI 384.130                Driver Version: 384.130"),
            "384.130",
            "",
            id="without CUDA",
        ),
        pytest.param(
            "WARNING: infoROM is corrupted at gpu 0000:06:00.0\n" + OLD, "470.82.01", "11.4", id="warning"
        ),
        pytest.param(
            "NVIDIA-SMI version  : 590.48.01\nNVML version        : 590.48\n"
            "DRIVER version      : 590.48.01\nCUDA Version        : 13.1\n",
            "590.48.01",
            "13.1",
            id="--version",
        ),
        pytest.param(
            "NVIDIA-SMI version  : 610.12.01\nNVML version        : 610.12\n"
            'DRIVER version      : Deprecated, see "KMD version" instead\n'
            'CUDA version        : Deprecated, see "CUDA UMD version" instead\n'
            "KMD version         : 610.12.01\nCUDA UMD version    : 13.3\n",
            "610.12.01",
            "13.3",
            id="--version of driver 610",
        ),
        pytest.param(
            "Driver Version                            : 535.216.01\n"
            "CUDA Version                              : 12.2\n",
            "535.216.01",
            "12.2",
            id="-q",
        ),
        pytest.param(
            "NVML library version: 550.144\n", "", "", id="the library's version is not the driver's"
        ),
        pytest.param("", "", "", id="nothing"),
    ],
)
def test_versions_are_read(nvidia_smi: ModuleType, text: str, driver: str, cuda: str) -> None:
    assert nvidia_smi.versions(text) == {"driver": driver, "cuda": cuda}


@pytest.mark.parametrize(
    ("code", "text", "state"),
    [
        (0, OLD, "ok"),
        (0, NEW, "ok"),
        (14, "WARNING: infoROM is corrupted at gpu 0000:06:00.0\n" + OLD, "ok"),
        (
            9,
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that "
            "the latest NVIDIA driver is installed and running.\n",
            "not-running",
        ),
        (18, "Failed to initialize NVML: Driver/library version mismatch\n", "mismatch"),
        (
            255,
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.144\n",
            "mismatch",
        ),
        (6, "No devices were found\n", "no-devices"),
        (0, "No devices were found\n", "no-devices"),
        (255, "Failed to initialize NVML: GPU access blocked by the operating system\n", "blocked"),
        (15, "Unable to determine the device handle for GPU 0000:06:00.0: GPU is lost.\n", "lost"),
        (255, "Unable to determine the device handle for GPU0: 0000:06:00.0: Unknown Error\n", "lost"),
        (12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\n", "no-library"),
        (4, "Failed to initialize NVML: Insufficient Permissions\n", "no-permission"),
        (255, "Failed to initialize NVML: Unknown Error\n", "failed"),
        (9, "", "not-running"),
        (0, "", "failed"),
        (1, OLD, "failed"),
    ],
)
def test_failures_are_told_apart(nvidia_smi: ModuleType, code: int, text: str, state: str) -> None:
    assert nvidia_smi.state(code, text) == state


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("GRID A100D-10C, 10240, 8.0\n", [("GRID A100D-10C", 10737, "8.0")], id="vGPU"),
        pytest.param(
            "NVIDIA A100-SXM4-40GB, 40960, 8.0\nNVIDIA L40S, 46068, 8.9\n",
            [("NVIDIA A100-SXM4-40GB", 42949, "8.0"), ("NVIDIA L40S", 48305, "8.9")],
            id="two kinds",
        ),
        pytest.param("GRID A100-2-10C, [N/A], 8.0\n", [("GRID A100-2-10C", None, "8.0")], id="MIG-backed"),
        pytest.param("Tesla T4, 15360, [N/A]\n", [("Tesla T4", 16106, None)], id="capability not told"),
        pytest.param(
            "NVIDIA H100, [GPU requires reset], [GPU requires reset]\n",
            [("NVIDIA H100", None, None)],
            id="cells in error",
        ),
        pytest.param(
            "WARNING: infoROM is corrupted\nTesla T4, 15360, 7.5\n",
            [("Tesla T4", 16106, "7.5")],
            id="warning",
        ),
        pytest.param("", [], id="nothing"),
    ],
)
def test_gpus_are_read(nvidia_smi: ModuleType, text: str, expected: list[tuple[str, int, str]]) -> None:
    found = nvidia_smi.gpus(text, nvidia_smi.FIELDS)
    assert [(gpu["name"], gpu["memory_mb"], gpu["capability"]) for gpu in found] == expected


def test_gpus_of_a_driver_that_does_not_know_capabilities(nvidia_smi: ModuleType) -> None:
    (gpu,) = nvidia_smi.gpus("A100-SXM4-40GB, 40536\n", nvidia_smi.FIELDS[:2])
    assert gpu == {"name": "A100-SXM4-40GB", "memory_mb": 42505, "capability": None}
