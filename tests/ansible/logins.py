"""Logins at a host: who gets in, and what sshd there says about it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from hosts.host import Host
from hosts.lab import Lab


def login(lab: Lab, host: Host, user: str, key: Path) -> bool:
    """Whether a key lets one in."""
    words = ["ssh", "-F", "/dev/null", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    known = f"UserKnownHostsFile={lab.controller.known_hosts}"
    return lab.controller.run([*words, "-o", known, f"{user}@{host.address}", "true"], check=False).rc == 0


@contextlib.contextmanager
def logged_in(lab: Lab, host: Host) -> Iterator[Callable[[], bool]]:
    """A session of the account's; tells whether it still answers."""
    argv = lab.controller.ssh_argv(host.name, ["cat"], user="sdops")
    session = lab.controller.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert session.stdin
    assert session.stdout
    write, read = session.stdin, session.stdout

    def answers() -> bool:
        write.write(b"there\n")
        write.flush()
        return read.readline() == b"there\n"

    yield answers
    write.close()
    session.wait(10)
    read.close()


def sshd(host: Host) -> dict[str, str]:
    """Settings of sshd that are in force, of those that matter here."""
    lines = host.inside(["sshd", "-T"]).stdout.splitlines()
    settings = dict(line.split(" ", 1) for line in lines if " " in line)
    return {name: settings[name] for name in ("passwordauthentication", "kbdinteractiveauthentication")}


def main_process(host: Host) -> str:
    """The process of sshd that all sessions come from."""
    return host.inside(["systemctl", "show", "--property=MainPID", "ssh"]).stdout
