"""Hosts as preflight may meet them, by what there is to know about each, and what it has to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from re import escape

from hosts.gpu import Answer, install_fake_gpu
from hosts.host import Host
from hosts.lab import DISK
from sdops_runtime import stack

TABLE = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI {0:<22} Driver Version: {0:<14} CUDA Version: 12.2     |
+-----------------------------------------------------------------------------------------+
"""
TABLE_610 = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 610.12.01              KMD Version: 610.12.01     CUDA UMD Version: 13.3     |
+-----------------------------------------+------------------------+----------------------+
"""
QUERY = "--query-gpu={} --format=csv,noheader,nounits"
FULL, WITHOUT_CAPABILITY = QUERY.format("name,memory.total,compute_cap"), QUERY.format("name,memory.total")
UNKNOWN_FIELD = Answer('Field "compute_cap" is not a valid field to query.\n', 2)

A100: Mapping[str, Answer | str] = {
    "": TABLE.format("535.129.03"),
    FULL: "GRID A100D-10C, 10240, 8.0\n",
}
H200 = {"": TABLE_610, FULL: "NVIDIA H200, 143771, 9.0\n"}
OLD = {"": TABLE.format("470.82.01"), FULL: UNKNOWN_FIELD, WITHOUT_CAPABILITY: "A100-SXM4-40GB, 40536\n"}

NOT_RUNNING = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
    "NVIDIA driver is installed and running."
)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"

MINIMUM = stack.load("cu124").minimum_driver
KERNELS = ", ".join(stack.load("guide").kernels)

#: Nothing listens there.
CLOSED = "http://198.18.0.1:9/conda"

#: Holds dpkg's lock as apt-daily does on a first boot.
HOLD = """
import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(3600)
"""


@dataclass(frozen=True)
class Candidate:
    """said: what preflight must say against the host, as a regular expression; "" where it must pass.

    prepare: what makes a fresh host such a one. settings: variables of the host. disk: its size.
    """

    said: str = ""
    prepare: Callable[[Host], None] = lambda host: None
    settings: Mapping[str, object] = field(default_factory=dict)
    disk: str = DISK


def driver(said: str, answers: Answer | Mapping[str, Answer | str], stack: str, **more: object) -> Candidate:
    """A host whose nvidia-smi answers so."""
    return Candidate(
        escape(said), lambda host: install_fake_gpu(host, answers), {"sdops_stack": stack, **more}
    )


def without_gpu(
    said: str, prepare: Callable[[Host], None] = lambda host: None, disk: str = DISK, **more: object
) -> Candidate:
    """A host that is not meant to have a GPU."""
    return Candidate(said, prepare, {"sdops_expect_gpu": False, **more}, disk)


def take_python(host: Host) -> None:
    host.inside(["sh", "-c", "rm /usr/bin/python3*"])


def be_fedora(host: Host) -> None:
    host.put("/etc/os-release", 'PRETTY_NAME="Fedora Linux 44"\nID=fedora\nVERSION_ID=44\n')


def move_keys(host: Host) -> None:
    host.inside(["mv", "/root/.ssh/authorized_keys", "/etc/ssh/root_keys"])
    host.put("/etc/ssh/sshd_config.d/20-keys.conf", "AuthorizedKeysFile /etc/ssh/root_keys\n")
    host.inside(["systemctl", "reload", "ssh"])


def install_packages(host: Host) -> None:
    host.inside(["systemd-run", "--unit=other-packages", "--", "python3", "-c", HOLD])
    for _ in range(200):
        if "held" in host.inside(["journalctl", "--unit=other-packages", "--output=cat"]).stdout:
            return
    raise AssertionError("the lock was not taken")


def boot_slowly(host: Host) -> None:
    host.put("/usr/local/bin/cloud-init", "#!/bin/sh\nexec sleep 3600\n", mode=0o755)


CANDIDATES = {
    "vgpu": driver("", A100, "guide"),
    "driver-610": driver("", H200, "cu130"),
    "driver-that-does-not-know-capabilities": driver("", OLD, "guide"),
    "driver-too-old": driver(
        f"The NVIDIA driver is 470.82.01; stack cu124 needs {MINIMUM} or newer. Set sdops_stack: guide.",
        OLD,
        "cu124",
    ),
    "gpu-too-new": driver(
        f"NVIDIA H200 has compute capability 9.0; stack guide has kernels for {KERNELS}. Set "
        "sdops_stack: cu124 or cu130.",
        H200,
        "guide",
    ),
    "driver-not-running": driver(
        f'The NVIDIA driver is installed but not running: nvidia-smi said "{NOT_RUNNING}" (exit code 9). '
        "Reboot the host. If that does not help, its kernel was upgraded without the driver: make the "
        "host anew from an image with the driver.",
        Answer(f"{NOT_RUNNING}\n\n", 9),
        "guide",
    ),
    "driver-mismatch": driver(
        f"The NVIDIA driver's packages were changed since it was loaded: nvidia-smi said '{MISMATCH} "
        "NVML library version: 550.1' (exit code 18). Reboot the host.",
        Answer(f"{MISMATCH}\nNVML library version: 550.1\n", 18),
        "guide",
    ),
    "driver-without-devices": driver(
        "The NVIDIA driver runs but finds no GPU: nvidia-smi said 'No devices were found' (exit code 6). "
        "Check in the cloud's panel that the plan has a GPU, stop the host there and start it again. For "
        "a host that is meant to have none, set sdops_expect_gpu: false.",
        Answer("No devices were found\n", 6),
        "guide",
    ),
    "driver-hangs": driver(
        "nvidia-smi did not answer within 2 s. Stop the host in the cloud's panel and start it again.",
        Answer(TABLE.format("535.129.03"), seconds=60),
        "guide",
        preflight_nvidia_smi_timeout=2,
    ),
    "no-gpu": Candidate(
        escape(
            "The host has no NVIDIA GPU. Take a plan with one, or set sdops_expect_gpu: false for a host "
            "that is meant to have none."
        )
    ),
    "unknown-release": Candidate(
        escape(
            "The host runs Fedora Linux 44. sdops knows Debian 11, 12, 13 and Ubuntu 22.04, 24.04: make the "
            "host anew with one of these."
        ),
        be_fedora,
    ),
    "no-python": Candidate(
        escape(
            "The host has no python3, which Ansible needs. Run there: "
            "apt-get update && apt-get install --yes python3"
        ),
        take_python,
    ),
    "small-disk": without_gpu(
        r"/home/sdops has 10\d\d MB of free disk; stack guide and the model need 13500 MB. Take a host with "
        r"a larger disk, or set preflight_disk_stack_mb and preflight_disk_model_mb to what yours need.",
        disk="1G",
    ),
    "little-memory": without_gpu(
        r"The host has \d+ MB of memory; loading the model needs 9000000 MB. Take a larger host, or set "
        r"preflight_memory_mb to what your model needs.",
        preflight_memory_mb=9_000_000,
    ),
    "no-key": without_gpu(
        "There is no SSH key for the account: root has none in ~/.ssh/authorized_keys on the host. "
        "Set service_user_authorized_keys to a list of public keys.",
        move_keys,
    ),
    "account-with-sudo": without_gpu(
        escape(
            "sdops is an account on the host that has root's rights (group sudo), a person's perhaps. Set "
            "sdops_user to another name."
        ),
        lambda host: host.inside(["useradd", "-m", "-G", "sudo", "sdops"]) and None,
    ),
    "mirror-that-does-not-answer": without_gpu(
        f"sdops_conda_channel_alias is {CLOSED}, which the host cannot reach: Connection refused. Set it to "
        "an address that answers, or leave it out for the public one.",
        sdops_conda_channel_alias=CLOSED,
    ),
    "mirror-on-no-disk": without_gpu(
        "sdops_conda_channel_alias is file:///srv/conda, which the host cannot reach: /srv/conda does not "
        "exist on the host. Set it to an address that answers, or leave it out for the public one.",
        sdops_conda_channel_alias="file:///srv/conda",
    ),
    "other-package-manager": without_gpu(
        r"/var/lib/dpkg/lock-frontend is still held after 1 s, by python3 \(process \d+\). Run the playbook "
        r"again when that is done, or raise preflight_package_lock_timeout.",
        install_packages,
        preflight_package_lock_timeout=1,
    ),
    "first-boot": without_gpu(
        "cloud-init is still at work after 1 s. Look at 'cloud-init status --long' on the host and run the "
        "playbook again when it is done, or raise preflight_cloud_init_timeout.",
        boot_slowly,
        preflight_cloud_init_timeout=1,
    ),
}
