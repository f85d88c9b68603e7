"""Outputs of nvidia-smi, made up by us after the form of real ones, and what they say."""

from sdops.facts.unknown import Unknown

HEADS = {
    "410": "| NVIDIA-SMI 410.79       Driver Version: 410.79       CUDA Version: 10.0     |",
    "535": "| NVIDIA-SMI 535.99.07              Driver Version: 535.99.07    CUDA Version: 12.2     |",
    "580": "| NVIDIA-SMI 580.11.02              Driver Version: 580.11.02      CUDA Version: 13.0     |",
    "610": "| NVIDIA-SMI 610.11.02              KMD Version: 610.11.02     CUDA UMD Version: 13.3     |",
    "na": "| NVIDIA-SMI 515.65.07    Driver Version: 515.65.07    CUDA Version: N/A      |",
    "err": "| NVIDIA-SMI 470.82.07    Driver Version: 470.82.07    CUDA Version: ERR!     |",
}

TITLES = """\
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
"""
RULE = "+-----------------------------------------+------------------------+----------------------+\n"
PROCESSES = """\

+-----------------------------------------------------------------------------------------+
| Processes:                                                                              |
|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
|        ID   ID                                                               Usage      |
|=========================================================================================|
{rows}
+-----------------------------------------------------------------------------------------+
"""
NONE = "|  No running processes found                                                             |"


def row(index, name, used, total, mig="N/A", ecc="0", mode="On "):
    """The three lines of a GPU."""
    memory = f"{used} /  {total}" if total else "N/A"
    return (
        f"|   {index}  {name:<27} {mode} |   00000000:0{index}:00.0 Off |  {ecc:>19} |\n"
        f"| N/A   31C    P0             61W /  300W | {memory:>22} |      0%      Default |\n"
        f"|                                         |                        | {mig:>20} |\n" + RULE
    )


def table(head, *rows, processes=NONE):
    """A table of today's width."""
    top = "+-----------------------------------------------------------------------------------------+\n"
    return f"{top}{HEADS[head]}\n{TITLES}{''.join(rows)}{PROCESSES.format(rows=processes)}"


SHARE = row(0, "GRID A100D-10C", "0MiB", "10240MiB")
OLD = f"""\
Mon Nov  7 09:00:00 2022
+-----------------------------------------------------------------------------+
{HEADS["410"]}
|-------------------------------+----------------------+----------------------+
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |
|===============================+======================+======================|
|   0  Tesla K80           Off  | 00000000:04:00.0 Off |                  Off |
| N/A   40C    P0    60W / 149W |     11MiB / 11441MiB |      0%      Default |
+-------------------------------+----------------------+----------------------+
|   1  Tesla V100-SXM2...  Off  | 00000000:05:00.0 Off |                 ERR! |
|ERR!   40C    P0   ERR! / 300W |   Unable to determine|     ERR         ERR! |
+-------------------------------+----------------------+----------------------+

+-----------------------------------------------------------------------------+
| Processes:                                                       GPU Memory |
|  GPU       PID   Type   Process name                             Usage      |
|=============================================================================|
|    0      4711      C   python                                      5000MiB |
+-----------------------------------------------------------------------------+
"""
DIVIDED = """
+-----------------------------------------------------------------------------------------+
| MIG devices:                                                                            |
+------------------+----------------------------------+-----------+-----------------------+
| GPU  GI  CI  MIG |              Shared Memory-Usage |        Vol|        Shared         |
|      ID  ID  Dev |                Shared BAR1-Usage | SM     Unc| CE ENC  DEC  OFA  JPG |
|==================+==================================+===========+=======================|
|  0    2   0   0  |              10MiB /  9728MiB    | 14      0 |  1   0    0    0    0 |
|                  |               0MiB / 16383MiB    |           |                       |
+------------------+----------------------------------+-----------+-----------------------+
"""
MIG = table("580", row(0, "NVIDIA A100-SXM4-80GB", "10MiB", "81920MiB", "Enabled", "On"))
MIG = MIG.replace(
    "\n+-----------------------------------------------------------------------------------------+\n| Proc",
    DIVIDED + "\n+" + "-" * 89 + "+\n| Proc",
)

JETSON = f"""\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 540.9.0                Driver Version: N/A            CUDA Version: 12.6     |
{TITLES}\
|   0  Orin (nvgpu)                  N/A  | N/A              N/A |                  N/A |
| N/A   N/A  N/A               N/A /  N/A | Not Supported        |     N/A          N/A |
|                                         |                      |                  N/A |
{RULE}"""

QUERY = """
==============NVSMI LOG==============

Timestamp                                 : Mon Nov  7 09:00:00 2022
Driver Version                            : 535.99.07
CUDA Version                              : 12.2

Attached GPUs                             : 2
GPU 00000000:02:00.0
    Product Name                          : NVIDIA A10-12Q
    Persistence Mode                      : Enabled
    MIG Mode
        Current                           : N/A
        Pending                           : N/A
    GPU Virtualization Mode
        Virtualization Mode               : VGPU
        Host VGPU Mode                    : N/A
    vGPU Software Licensed Product
        Product Name                      : NVIDIA RTX Virtual Workstation
        License Status                    : Unlicensed (Restricted)
    FB Memory Usage
        Total                             : 12288 MiB
        Reserved                          : 700 MiB
        Used                              : 5 MiB
        Free                              : 11583 MiB
    BAR1 Memory Usage
        Total                             : 256 MiB
        Used                              : 0 MiB
    ECC Errors
        Volatile
            SRAM Correctable              : 7
            SRAM Uncorrectable            : 1
            DRAM Uncorrectable            : 2
        Aggregate
            SRAM Uncorrectable            : 90
    Processes
        GPU instance ID                   : N/A
        Compute instance ID               : N/A
        Process ID                        : 4711
            Type                          : C
            Name                          : python
            Used GPU Memory               : 5 MiB
GPU 00000000:03:00.0
    Product Name                          : NVIDIA H100 PCIe
    Persistence Mode                      : Disabled
    MIG Mode
        Current                           : Disabled
        Pending                           : Disabled
    GPU Virtualization Mode
        Virtualization Mode               : Pass-Through
    FB Memory Usage
        Total                             : 81559 MiB
        Reserved                          : N/A
        Used                              : [Unknown Error]
    Processes                             : None

"""
XML = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
	<timestamp>Mon Nov  7 09:00:00 2022</timestamp>
	<driver_version>535.99.07</driver_version>
	<cuda_version>Not Found</cuda_version>
	<attached_gpus>1</attached_gpus>
	<gpu id="00000000:02:00.0">
		<fb_memory_usage>
			<total>40960 MiB</total>
			<reserved>600 MiB</reserved>
			<used>1 MiB</used>
		</fb_memory_usage>
		<product_name>NVIDIA A100-PCIE-40GB</product_name>
		<persistence_mode>Enabled</persistence_mode>
		<mig_mode>
			<current_mig>Enabled</current_mig>
			<pending_mig>Enabled</pending_mig>
		</mig_mode>
		<mig_devices>
			None
		</mig_devices>
		<gpu_virtualization_mode>
			<virtualization_mode>None</virtualization_mode>
		</gpu_virtualization_mode>
		<gpu_reset_status>
			<reset_required>Yes</reset_required>
		</gpu_reset_status>
		<ecc_errors>
			<volatile>
				<sram_uncorrectable>0</sram_uncorrectable>
			</volatile>
		</ecc_errors>
		<processes>
			<process_info>
				<pid>4711</pid>
				<type>C</type>
				<process_name>a &amp; b</process_name>
				<used_memory>1 MiB</used_memory>
			</process_info>
		</processes>
	</gpu>
</nvidia_smi_log>
"""
CSV = """\
index, name, driver_version, memory.total [MiB], memory.used [MiB], mig.mode.current, compute_cap
0, NVIDIA L4, 550.11.07, 23034 MiB, 3 MiB, [N/A], 8.9
1, NVIDIA L4, 550.11.07, [Unknown Error], [GPU requires reset], [N/A], 8.9
"""
NO_UNITS = "name, memory.total [MiB], memory.used [MiB]\nGRID T4-16Q, 16384, 12\n"
LIST = """\
GPU 0: NVIDIA A30 (UUID: GPU-0f0f0f0f-0000-0000-0000-000000000000)
  MIG 1g.6gb      Device  0: (UUID: MIG-0f0f0f0f-0000-0000-0000-000000000000)
  MIG 1g.6gb      Device  1: (UUID: MIG-0f0f0f0f-0000-0000-0000-000000000001)
GPU 1: NVIDIA A30 (UUID: GPU-0f0f0f0f-0000-0000-0000-000000000001)
"""
VERSION = """\
NVIDIA-SMI version  : 580.11.02
NVML version        : 580.11
DRIVER version      : 580.11.02
CUDA Version        : 13.0
"""
VERSION_610 = """\
NVIDIA-SMI version  : 610.11.02
NVML version        : 610.11
DRIVER version      : Deprecated, see "KMD version" instead
CUDA version        : Deprecated, see "CUDA UMD version" instead
KMD version         : 610.11.02
CUDA UMD version    : 13.3
"""
APPS = """\
timestamp, gpu_name, gpu_bus_id, pid, process_name, used_gpu_memory [MiB]
2026/11/07 09:00:00.000, NVIDIA L4, 00000000:01:00.0, 4711, python, 370 MiB
"""

#: By name: the output, driver, CUDA, and of each GPU name, memory in MiB, MIG, vGPU, licence; None: unknown.
OUTPUTS = {
    "table-share": (table("535", SHARE), "535.99.07", "12.2", [("GRID A100D-10C", 10240, None, True, None)]),
    "table-610": (
        table("610", row(0, "NVIDIA GeForce RTX 2080 ...", "12MiB", "8192MiB")),
        "610.11.02",
        "13.3",
        [("NVIDIA GeForce RTX 2080 ...", 8192, None, None, None)],
    ),
    "table-cuda-unknown": (
        table("na", row(0, "Tesla T4", "0MiB", "15360MiB")),
        "515.65.07",
        None,
        [("Tesla T4", 15360, None, False, None)],
    ),
    "table-error": (table("err", SHARE), "470.82.07", None, [("GRID A100D-10C", 10240, None, True, None)]),
    "table-several": (
        "WARNING: infoROM is corrupted at gpu 0000:00:00.0\n"
        + table(
            "580",
            row(0, "NVIDIA A100-SXM4-80GB", "1MiB", "81920MiB", "Disabled"),
            row(1, "NVIDIA A100-SXM4-80GB", "2MiB", "81920MiB", "Enabled*"),
            row(2, "NVIDIA A100-SXM4-80GB", "2MiB", "81920MiB", "Disabled*"),
        ),
        "580.11.02",
        "13.0",
        [
            ("NVIDIA A100-SXM4-80GB", 81920, False, False, None),
            # A star: what it will be after the next reset, and is not yet.
            ("NVIDIA A100-SXM4-80GB", 81920, False, False, None),
            ("NVIDIA A100-SXM4-80GB", 81920, True, False, None),
        ],
    ),
    "table-old": (
        OLD,
        "410.79",
        "10.0",
        [("Tesla K80", 11441, None, False, None), ("Tesla V100-SXM2...", None, None, None, None)],
    ),
    "table-mig": (MIG, "580.11.02", "13.0", [("NVIDIA A100-SXM4-80GB", 81920, True, False, None)]),
    "table-memory-unknown": (
        table("535", row(0, "GRID A100-2-10C", "", "", "Enabled")),
        "535.99.07",
        "12.2",
        [("GRID A100-2-10C", None, True, True, None)],
    ),
    "table-head-only": (table("535", SHARE).split("|===")[0], "535.99.07", "12.2", None),
    "table-jetson": (JETSON, None, "12.6", [("Orin (nvgpu)", None, None, False, None)]),
    "query": (
        QUERY,
        "535.99.07",
        "12.2",
        [
            ("NVIDIA A10-12Q", 12288, None, True, "Unlicensed (Restricted)"),
            ("NVIDIA H100 PCIe", 81559, False, False, None),
        ],
    ),
    "query-610": (
        QUERY.replace(
            "CUDA Version                              : 12.2", "CUDA Version : Deprecated"
        ).replace(
            "Driver Version                            : 535.99.07",
            "Driver Version : Deprecated\nKMD Version : 610.11.02\nCUDA UMD Version : 13.3",
        ),
        "610.11.02",
        "13.3",
        [
            ("NVIDIA A10-12Q", 12288, None, True, "Unlicensed (Restricted)"),
            ("NVIDIA H100 PCIe", 81559, False, False, None),
        ],
    ),
    "xml": (XML, "535.99.07", None, [("NVIDIA A100-PCIE-40GB", 40960, True, False, None)]),
    "csv": (
        CSV,
        "550.11.07",
        None,
        [("NVIDIA L4", 23034, None, False, None), ("NVIDIA L4", None, None, False, None)],
    ),
    "csv-no-units": (NO_UNITS, None, None, [("GRID T4-16Q", 16384, None, True, None)]),
    "list": (
        LIST,
        None,
        None,
        [("NVIDIA A30", None, True, False, None), ("NVIDIA A30", None, None, False, None)],
    ),
    "version": (VERSION, "580.11.02", "13.0", None),
    "version-610": (VERSION_610, "610.11.02", "13.3", None),
    "apps": (APPS, None, None, None),
    "nothing": ("Welcome to gpu1!\n", None, None, None),
}


def known(value):
    """The value, None for an unknown one."""
    return None if isinstance(value, Unknown) else value
