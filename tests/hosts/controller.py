"""The controller: where ssh, ansible and sdops run. It sees the hosts and nothing else.

It has the machine's file system but a network of its own, from which no route leads out: a
packet for a host that is not up never leaves the machine.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .cell import Cell
from .command import Argument, Completed, run
from .enclosure import Enclosure

T = TypeVar("T")

SSH_CONFIG = """Host *
    User root
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
    ConnectTimeout 10
"""

INVENTORY = """
[all:vars]
ansible_user=root
ansible_python_interpreter=/usr/bin/python3
ansible_ssh_private_key_file={key}
ansible_control_path_dir={sockets}
ansible_ssh_common_args=-o IdentitiesOnly=yes -o UserKnownHostsFile={known_hosts} -o ServerAliveInterval=5
"""


class Controller:
    """Runs commands in the controller's network.

    key: private key that root on every host accepts. known_hosts, ssh_config: kept up to date.
    """

    def __init__(self, enclosure: Enclosure) -> None:
        self._enclosure = enclosure
        self.folder = enclosure.folder
        self.key = self.folder / "id_ed25519"
        self.known_hosts = self.folder / "known_hosts"
        self.ssh_config = self.folder / "ssh_config"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "controller", "-f", self.key])
        self.learn([])

    def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout: float = 60,
        check: bool = True,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Completed:
        """Runs argv to its end; see Enclosure.run."""
        return self._enclosure.run(argv, timeout=timeout, check=check, stdin=stdin, env=env, cwd=cwd)

    def popen(self, argv: Sequence[Argument], **options: Any) -> subprocess.Popen[bytes]:
        """Starts argv, with the options of subprocess.Popen; it ends with the lab at the latest."""
        return self._enclosure.popen(argv, **options)

    def in_network(self, function: Callable[[], T]) -> T:
        """Calls function in the controller's network; connections made by it stay there."""
        return self._enclosure.in_network(function)

    def new_cell(self) -> Cell:
        """A cell for popen, in which all that a command starts can be ended at once."""
        return self._enclosure.new_cell("run")

    def enter_argv(self) -> list[str]:
        """The command that enters the controller's network, for a person's own terminal."""
        spaces = ("--mount", "--net", "--pid")
        return ["nsenter", f"--target={self._enclosure.keeper}", *spaces, "--"]

    def ssh_argv(self, host: str, argv: Sequence[Argument], *, user: str = "root") -> list[str]:
        """The command that runs argv on a host by SSH, to be run here."""
        remote = [shlex.join(str(word) for word in argv)] if argv else []
        return ["ssh", "-F", str(self.ssh_config), f"{user}@{host}", *remote]

    def inventory(self, hosts: Mapping[str, str], groups: Mapping[str, Iterable[str]] | None = None) -> Path:
        """Writes an inventory of hosts (name to address), by groups if given, and returns its path."""
        sockets = self.folder / "cp"  # a short path: a UNIX socket's may have 107 bytes
        lines = [f"{name} ansible_host={address}" for name, address in hosts.items()]
        for group, members in (groups or {}).items():
            lines += ["", f"[{group}]", *members]
        path = self.folder / f"inventory-{'-'.join(hosts)[:80]}.ini"
        tail = INVENTORY.format(key=self.key, known_hosts=self.known_hosts, sockets=sockets)
        path.write_text("\n".join(lines) + "\n" + tail)
        return path

    def learn(self, hosts: Iterable[tuple[str, str, str]]) -> None:
        """Writes down all hosts that there are: name, address, public host key."""
        known = [f"{name},{address} {public}\n" for name, address, public in hosts]
        self.known_hosts.write_text("".join(known))
        names = [f"\nHost {name}\n    HostName {address}\n" for name, address, _ in hosts]
        config = SSH_CONFIG.format(key=self.key, known_hosts=self.known_hosts)
        self.ssh_config.write_text(config + "".join(names))
