"""Ansible module: reads what preflight judges a host by. Changes nothing.

Runs on the host's own Python, 3.9 or later.
"""

import grp
import hashlib
import json
import os
import pwd
import urllib.error
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

DOCUMENTATION = r"""
module: host_probe
short_description: Read memory, disk, keys, the account and whether mirrors answer
description: Changes nothing.
options:
  account:
    description: Name of the account, which need not exist yet.
    type: str
    required: true
  stack:
    description: Name of the stack that is wanted. What environments of others occupy has no room for it.
    type: str
    required: true
  disk_mb:
    description: Free disk in MB that is wanted where the account's home is or will be.
    type: int
    required: true
  mirrors:
    description: Addresses to ask for an answer, by the name of the variable that holds them.
    type: dict
    default: {}
  mirror_timeout:
    description: Seconds that a mirror may take.
    type: int
    required: true
  installer:
    description: >-
      A file to read and compare: its address (url), its SHA-256 (sha256), and a path whose existence
      says that this is no longer needed (creates). Nothing of it is kept.
    type: dict
    default: {}
author: sdops
"""

MB = 1_000_000
#: Bytes read at a time.
PIECE = 1 << 20


def memory_mb(text):
    """Main memory in MB, from the text of /proc/meminfo."""
    for line in text.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024 // MB
    return 0


def nearest(path):
    """The path itself, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def free_mb(path):
    """Disk in MB that an ordinary account can still fill where path is or will be."""
    file_system = os.statvfs(nearest(path))
    return file_system.f_bavail * file_system.f_frsize // MB


def of_other_stacks(home, stack):
    """Folders of the environments below a home that are complete and made for other stacks than this one."""
    found = []
    for receipt in (home / ".conda" / "envs").glob("*/.sdops.json"):
        try:
            if json.loads(receipt.read_text(encoding="utf-8"))["stack"] != stack:
                found.append(str(receipt.parent))
        except (OSError, ValueError, LookupError, TypeError):
            continue  # what it is made for is not known
    return found


def occupied_mb(path, left_out=()):
    """Disk in MB that files below a folder occupy, each counted once, on its file system only.

    Without those below the folders left out, and those that vanish meanwhile.
    """
    if not path.is_dir():
        return 0
    seen, total, device = set(), 0, path.lstat().st_dev
    waiting = [str(path)]
    while waiting:
        for entry in entries(waiting.pop()):
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if entry.is_dir(follow_symlinks=False):
                # Folders only: of files, an overlay tells the devices of its layers.
                if found.st_dev == device and entry.path not in left_out:
                    waiting.append(entry.path)
                continue
            if found.st_nlink == 1 or (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
    return total // MB


def entries(folder):
    """What is in a folder; nothing for one that has vanished."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def answer(url, timeout):
    """None when there is an answer that is no server's error, else why there is none."""
    if url.startswith("file://"):
        path = url[len("file://") :]
        return None if Path(path).exists() else f"{path} does not exist on the host"
    try:
        open_url(url, method="HEAD", timeout=timeout, http_agent="sdops").close()
    except urllib.error.HTTPError as error:
        # Whoever refuses HEAD, or has nothing at the root, is there.
        return f"it answers {error.code}" if error.code >= 500 else None
    except Exception as error:
        return why(error)
    return None


def why(error):
    """What kept an address from being read; for certificates and the like it has words of Ansible's own."""
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__


def digest(url, timeout):
    """SHA-256 of what lies at an address, and None; or None, and why it cannot be read."""
    found = hashlib.sha256()
    try:
        with open_url(url, timeout=timeout, http_agent="sdops") as file:
            for piece in iter(lambda: file.read(PIECE), b""):
                found.update(piece)
    except urllib.error.HTTPError as error:
        return None, f"the answer is {error.code}"
    except Exception as error:
        return None, why(error)
    return found.hexdigest(), None


def keys(path):
    """How many lines of an authorized_keys file hold a key."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def account(name):
    """User id, home and groups of an account, or what they will be."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return {"uid": None, "home": f"/home/{name}", "groups": []}
    numbers = os.getgrouplist(name, entry.pw_gid)
    groups = sorted(group.gr_name for group in grp.getgrall() if group.gr_gid in numbers)
    return {"uid": entry.pw_uid, "home": entry.pw_dir, "groups": groups}


def main():
    """Reads and answers."""
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str", "required": True},
            "stack": {"type": "str", "required": True},
            "disk_mb": {"type": "int", "required": True},
            "mirrors": {"type": "dict", "default": {}, "no_log": False},
            "mirror_timeout": {"type": "int", "required": True},
            "installer": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    who = account(module.params["account"])
    home = Path(who["home"])
    free = free_mb(home)
    timeout, installer = module.params["mirror_timeout"], module.params["installer"]
    needed = installer and not Path(installer["creates"]).exists()
    found, fault = digest(installer["url"], timeout) if needed else (None, None)
    module.exit_json(
        changed=False,
        account=who,
        free_mb=free,
        # What an earlier run has put there need not be free again. Walked through only in doubt.
        occupied_mb=(
            occupied_mb(home, of_other_stacks(home, module.params["stack"]))
            if free < module.params["disk_mb"]
            else 0
        ),
        memory_mb=memory_mb(Path("/proc/meminfo").read_text(encoding="ascii")),
        root_keys=keys(Path("/root/.ssh/authorized_keys")),
        mirrors={name: answer(url, timeout) for name, url in sorted(module.params["mirrors"].items())},
        installer={"sha256": found, "fault": fault} if needed else {},
    )


if __name__ == "__main__":
    main()
