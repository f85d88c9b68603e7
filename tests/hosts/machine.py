"""What this machine has to offer: whether hosts can be made on it, and if not, why."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

#: Commands that are needed, each with the Debian package that brings it (see prepare.sh).
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "tc": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}


class UnavailableError(Exception):
    """Hosts (or hosts of one release) cannot be had on this machine; the text says why."""


class ReleaseGoneError(UnavailableError):
    """The mirror answers, and does not have the release any more: no fault of this machine."""


def require() -> None:
    """Raises UnavailableError, with the reason and what to do, where hosts cannot be made."""
    if not sys.platform.startswith("linux"):
        raise UnavailableError("test hosts need Linux")
    if os.geteuid() != 0:
        raise UnavailableError("test hosts need root (namespaces, mounts, cgroups)")
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if missing:
        raise UnavailableError(f"test hosts need {', '.join(missing)}: run tests/hosts/prepare.sh")
    if not Path("/dev/net/tun").exists():
        raise UnavailableError("test hosts need /dev/net/tun")
    cgroup_mount()


def cgroup_mount() -> Path:
    """Where this machine has its cgroup v2 tree: alone, or beside the v1 hierarchies."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise UnavailableError("test hosts need a cgroup2 mount")
