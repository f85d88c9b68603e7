"""The state of a host: what site.yml is there to bring about, so that two hosts can be compared.

Every file on the disk with type, mode, owner and content, and what is in force: packages, units, what
sshd offers. Left out is what differs between two hosts that were set up alike, each with its reason.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from hosts.host import Host
from hosts.lab import Lab

#: Paths by patterns; what lies below a folder is left out with it.
VARIES = (
    # Who the host is.
    r"/etc/(hostname|hosts|machine-id|ssh/ssh_host_.*)",
    r"/var/lib/dbus/machine-id",
    # When it did what: logs, the clock, seeds of chance, stamps of timers. Linger lies beside them.
    r"/var/log/.+",
    r"/var/lib/systemd/(?!linger).+",
    r"/var/lib/wtmpdb/.+",
    r"/var/tmp/systemd-private-.+",
    # apt's and debconf's caches, which depend on what the mirror has at the moment.
    r"/var/lib/apt/(lists|periodic)/.+",
    r"/var/cache/(apt|debconf|ldconfig)/.+",
    # Copies of the last state but one, which depend on the way and not on where it led.
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-",
    r"/var/lib/dpkg/.+-old",
    # Compiled when first imported, with the time of the source in it.
    r".*/__pycache__(/.+)?",
    # Ansible's own working folders: what a killed run leaves there, nobody removes, and what one leaves
    # that waited for a job in the background goes seconds after its end.
    r"/var/tmp/ansible-tmp-.+",
    r"(/root|/home/[^/]+)/\.ansible(_async)?(/.+)?",
    # conda's diary of commands, and its cache of lists of packages, by time.
    r".*/conda-meta/history",
    r"/home/[^/]+/\.conda/pkgs/cache/.+",
    # SQLite's pages and journals, by how often the worker was started.
    r"/home/[^/]+/\.local/share/sdops/queue\.sqlite.*",
    # The hub's libraries note when they asked.
    r"/home/[^/]+/\.cache/huggingface/hub/\.locks(/.+)?",
)
_VARIES = re.compile("|".join(f"(?:{pattern})" for pattern in VARIES))

State = dict[str, str]


def state(lab: Lab, host: Host) -> State:
    """Files by their path, the rest by a name in words."""
    return {**_files(host.root), **_in_force(lab, host)}


def difference(found: State, expected: State) -> dict[str, tuple[str, str]]:
    """What differs: as it was found, as it was expected; "absent" where there is none."""
    names = sorted(found.keys() | expected.keys())
    pairs = {name: (found.get(name, "absent"), expected.get(name, "absent")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _files(root: Path) -> State:
    told = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            place = f"/{path.relative_to(root)}"
            if not _VARIES.fullmatch(place):
                told[place] = _file(path)
    return told


def _file(path: Path) -> str:
    found = path.lstat()
    content = ""
    if stat.S_ISLNK(found.st_mode):
        content = f"to {path.readlink()}"
    elif stat.S_ISREG(found.st_mode):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        if path.parent.name == "conda-meta" and path.suffix == ".json":
            # Lists of files in them come in the order in which a folder was read.
            lines = sorted(line.rstrip(b",") for line in path.read_bytes().splitlines())
            digest = hashlib.sha256(b"\n".join(lines))
        content = digest.hexdigest()[:16]
    return f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {content}".rstrip()


def _in_force(lab: Lab, host: Host) -> State:
    def told(*argv: str) -> str:
        return "\n".join(sorted(host.inside(argv, check=False).stdout.splitlines()))

    worker = ["systemctl", "--user", "is-active", "sdops-runtime.service"]
    # What sshd offers to one who comes without a key.
    ssh = ["ssh", "-F", lab.controller.ssh_config, "-o", "PreferredAuthentications=none", host.name]
    return {
        "packages": told("dpkg-query", "--show", "--showformat=${Package} ${Version} ${Status}\n"),
        "packages by hand": told("apt-mark", "showmanual"),
        "holds": told("apt-mark", "showhold"),
        "units": told("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--no-pager"),
        "failed units": told("systemctl", "list-units", "--failed", "--no-legend", "--no-pager"),
        "the account's systemd": told("systemctl", "is-active", "user@1000.service"),
        "the worker": host.run(worker, user="sdops", check=False).stdout,
        "linger": told("loginctl", "show-user", "--property=Linger", "sdops"),
        "what sshd offers": lab.controller.run(ssh, check=False).stderr.rpartition(": ")[2],
    }
