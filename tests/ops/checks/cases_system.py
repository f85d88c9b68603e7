"""Facts that trigger the checks of the topic ``system``, one by one."""

from dataclasses import replace

from sdops.facts.reach import Reach
from sdops.facts.system import Account, Disk, System

NOW = 1_669_200_000.0

ROOT = Disk("root", "/", "/", 51_200, 22_000, 3_000_000)
ACCOUNT = Account(1000, "/home/sdops", "/bin/bash", home_there=True, linger=True, keys=1)

HEALTHY = {
    "reach": Reach(started=NOW - 0.1, answered=NOW + 0.1),
    "system": System(
        release_id="debian",
        release_version="12",
        release_name="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0-27-amd64",
        architecture="x86_64",
        libc="glibc 2.36",
        clock_utc=NOW,
        ntp="synchronised",
        uptime_s=86_400.0,
        reboot_required=False,
        kernel_gone=False,
        login="root",
        login_uid=0,
        python="3.11.2",
        tmux=True,
        sftp=True,
        half_installed=(),
        memory_total_mib=15_000,
        memory_available_mib=14_000,
        account=ACCOUNT,
        env_there=True,
        disks=(
            ROOT,
            replace(ROOT, name="home", path="/home/sdops"),
            replace(ROOT, name="conda", path="/home/sdops/miniconda3"),
            replace(ROOT, name="models", path="/home/sdops/.cache/huggingface/hub"),
            replace(ROOT, name="jobs", path="/home/sdops/.local/share/sdops"),
        ),
    ),
}


def system(**fields):
    return lambda facts: replace(facts, system=replace(facts.system, **fields))


def account(**fields):
    return system(account=replace(ACCOUNT, **fields))


def disks(**fields):
    return lambda facts: replace(
        facts,
        system=replace(facts.system, disks=tuple(replace(disk, **fields) for disk in facts.system.disks)),
    )


CASES = {
    "login": system(login="joe", login_uid=1001),
    "release": system(release_id="fedora", release_version="36", release_name="Fedora Linux 36"),
    "architecture": system(architecture="aarch64"),
    "python": system(python=""),
    "clock": system(clock_utc=NOW - 3600),
    "disk-read-only": disks(read_only=True),
    "disk-full": disks(free_mib=0),
    "disk-inodes": disks(inodes_free=3),
    "disk-small": lambda facts: system(env_there=False)(disks(free_mib=5_000)(facts)),
    "disk-low": disks(free_mib=300),
    "memory": system(memory_total_mib=1_950),
    "packages": system(half_installed=("linux-image-amd64",)),
    "reboot": system(reboot_required=True, reboot_packages=("linux-image-6.1.0-28-amd64",)),
    "account": system(account=None),
    "home": account(home_there=False),
    "unprivileged": account(uid=0, home="/root"),
    "shell": account(shell="/usr/sbin/nologin"),
    "keys": account(keys=0),
    "linger": account(linger=False),
    "sftp": system(sftp=False),
    "tmux": system(tmux=False),
}
