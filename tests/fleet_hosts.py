"""Test hosts in a private network of their own, which the role fleet makes, or has made, a fleet."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import makers
from doubles import wheelhouse
from hosts.host import Host
from hosts.lab import Lab
from plays import Outcome, Play

HOME = "/home/sdops"

#: Gives a host its address in a private network, at every boot.
NETWORK = """[Unit]
DefaultDependencies=no
Before=basic.target
[Service]
Type=oneshot
ExecStart=/bin/ip address add {address}/24 dev eth0
[Install]
WantedBy=sysinit.target
"""


def private(host: Host) -> str:
    """Its address in the private network."""
    return "10.77.0." + host.address.rpartition(".")[2]


def join_network(host: Host) -> None:
    """Gives a host its address there."""
    host.put("/etc/systemd/system/private-network.service", NETWORK.format(address=private(host)))
    host.inside(["systemctl", "enable", "--now", "private-network.service"])


@dataclass(frozen=True)
class Fleet:
    """Hosts that make pictures, in a private network, and the play that makes a fleet of them."""

    play: Play
    hosts: Sequence[Host]

    def run(self, *words: str, groups: dict[str, Sequence[Host]] | None = None, **options: object) -> Outcome:
        """Plays the role. groups: of the inventory, gpu with all if left out."""
        assert self.play.lab
        inventory = self.play.lab.inventory(*self.hosts, groups=groups or {"gpu": self.hosts})
        return self.play.run(words=("-i", inventory, *words), **options)  # type: ignore[arg-type]


def index(lab: Lab) -> str:
    """The address of a package index with the real wheels of the fleet's lock."""
    wheels = wheelhouse.ready("fleet.txt", makers.VENV / "bin/python")
    serve = [sys.executable, "-I", "-m", "http.server", "--directory", wheels, "--bind"]
    return lab.serve(lambda address: [*serve, address, "8080"], 8080).url + "/simple"


@contextlib.contextmanager
def gathered(lab: Lab, guide: makers.Guide, url: str, folder: Path, number: int = 3) -> Iterator[Fleet]:
    """So many hosts that make pictures, and are no fleet as yet. url: of the package index."""
    variables = {"fleet_group": "gpu", "sdops_expect_gpu": False, "sdops_pip_index_url": url}
    with makers.several(lab, guide, folder, number) as hosts:
        for host in hosts:
            join_network(host)
        yield Fleet(Play(lab, folder, "fleet", variables=variables), hosts)


def text(host: Host, path: str) -> str:
    """A file of the host's."""
    return (host.root / path[1:]).read_text()


def systemctl(host: Host, *words: str, check: bool = True) -> str:
    """What the account's own systemd says."""
    own = ["runuser", "-u", "sdops", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000", "systemctl", "--user"]
    return host.inside([*own, *words], check=check, timeout=120).stdout


def process(host: Host, unit: str) -> str:
    """The number of a service's process; "0" without one."""
    return systemctl(host, "show", "--property=MainPID", "--value", unit).strip()


def members(head: Host) -> list[str]:
    """The workers that the head knows."""
    try:
        told = json.loads(text(head, f"{HOME}/.local/share/sdops/members.json"))
    except (FileNotFoundError, ValueError):
        return []
    return sorted(one["name"] for one in told)


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 120) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"it took too long until {what}"
        time.sleep(0.2)
