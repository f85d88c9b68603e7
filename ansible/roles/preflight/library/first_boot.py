"""Ansible module: waits until a host's first boot and other package managers are done. Changes nothing.

Runs on the host's own Python, 3.9 or later.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: first_boot
short_description: Wait until cloud-init and other package managers are done
description: Changes nothing. Says what is still under way when the time is over.
options:
  cloud_init_timeout:
    description: Seconds to wait for cloud-init.
    type: int
    required: true
  package_lock_timeout:
    description: Seconds to wait for the locks of dpkg and apt.
    type: int
    required: true
author: sdops
"""

#: In the order in which apt takes them: the first that is held names the program that works.
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")

#: Written when cloud-init is done, on a file system that is new in every boot.
RESULT = Path("/run/cloud-init/result.json")

#: struct flock of 64 bit Linux: type, whence, start, length, process.
FLOCK = "hhqqi4x"


def holder(path):
    """Process id of who has a POSIX lock on a file: None for nobody, 0 for one in another namespace."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, process = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else process


def held(locks=LOCKS):
    """The first lock that is held: its path and the program that holds it; None when all are free."""
    for path in locks:
        process = holder(path)
        if process is not None:
            return {"path": path, "process": process, "program": program(process)}
    return None


def program(process):
    """The name of a process, or a stand-in for one that cannot be seen."""
    try:
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "another program"


def cloud_init_done(timeout):
    """Waits for cloud-init and tells whether it is done; a failed one is done, too."""
    if not shutil.which("cloud-init") or RESULT.exists():
        return True
    try:
        subprocess.run(
            ["cloud-init", "status", "--wait"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return True


def main():
    """Waits, and answers with what is still under way."""
    module = AnsibleModule(
        argument_spec={
            "cloud_init_timeout": {"type": "int", "required": True},
            "package_lock_timeout": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    done = cloud_init_done(module.params["cloud_init_timeout"])
    end = time.monotonic() + module.params["package_lock_timeout"]
    lock = held()
    while lock and time.monotonic() < end:
        time.sleep(0.5)
        lock = held()
    module.exit_json(changed=False, cloud_init_done=done, lock=lock)


if __name__ == "__main__":
    main()
