"""A lab: hosts, their network, a controller and services, for one run of tests.

with Lab() as lab:
    host = lab.host(release="bookworm")
    host.run(["uname", "-a"])
    lab.controller.run(["ansible-playbook", "-i", lab.inventory(host), "site.yml"], timeout=600)
"""

from __future__ import annotations

import atexit
import itertools
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from . import base, registries
from .command import Argument
from .controller import Controller
from .enclosure import Enclosure
from .host import Host, HostDownError, Settings
from .link import BRIDGE, CONTROLLER, NET, lay_backbone

PROXY = Path(__file__).with_name("proxy.py")
PROXY_PORT = 3128

#: More than any stack and model needs. It is memory only once it is used, so may be more than there is.
DISK = "20G"


class Service:
    """A program that listens in the test network, at an address of its own. log: what it wrote."""

    def __init__(
        self, process: subprocess.Popen[bytes], address: str, port: int, log: Path, end: Callable[[], None]
    ):
        self._process, self._end = process, end
        self.address, self.port, self.log = address, port, log
        self.url = f"http://{address}:{port}"

    def is_up(self) -> bool:
        """Whether the program runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the program."""
        self._end()
        self._process.wait(10)


class Lab:
    """Makes hosts and services and ends them; whatever is left at ``close`` is ended then."""

    def __init__(self) -> None:
        self._enclosure = Enclosure()
        self._numbers = itertools.count(1)
        self._addresses = deque(f"{NET}.{number}" for number in range(10, 255))
        self._hosts: dict[str, Host] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._proxied = False
        atexit.register(self.close)
        lay_backbone(self._enclosure)
        self.controller = Controller(self._enclosure)
        self.folder = self._enclosure.folder

    def host(
        self,
        name: str | None = None,
        release: str = "bookworm",
        *,
        disk: str = DISK,
        packages: bool = True,
        lend: Mapping[str, Path] | None = None,
        wait: bool = True,
    ) -> Host:
        """Makes a host and switches it on.

        disk: its size, as tmpfs takes it. packages: whether apt and pip on it are set up to
        get packages through the proxy. lend: folders of this machine that the host sees and cannot
        change, by their place on it. wait: until it is up; without, call ``wait_up``.
        Raises machine.UnavailableError when the release cannot be had.
        """
        base.ready(release)  # before anything is made: it may be unavailable
        name = name or f"{release}-{next(self._numbers)}"
        if name in self._hosts:
            raise ValueError(f"there is a host {name} already")
        apt, pip = self._package_settings() if packages else ("", "")
        settings = Settings(name, release, disk, apt, pip, dict(lend or {}))
        host = Host(self._enclosure, self.controller, self._addresses.popleft(), settings)
        self._hosts[name] = host
        self._tell()
        host.start(wait=wait)
        return host

    def hosts(self, *releases: str, **options: object) -> list[Host]:
        """Makes several hosts, which boot at the same time."""
        made = [self.host(release=release, wait=False, **options) for release in releases]  # type: ignore[arg-type]
        for host in made:
            host.wait_up()
        return made

    def remove(self, host: Host) -> None:
        """Ends a host for good."""
        del self._hosts[host.name]
        host.close()
        # Last in line again: a connection that ssh kept open to the old host must not meet a new one.
        self._addresses.append(host.address)
        self._tell()

    def inventory(self, *hosts: Host, groups: Mapping[str, Iterable[Host]] | None = None) -> Path:
        """An Ansible inventory of these hosts, for use by the controller."""
        named = {group: [host.name for host in members] for group, members in (groups or {}).items()}
        return self.controller.inventory({host.name: host.address for host in hosts}, named)

    def address(self) -> str:
        """An address of its own for a service, on the controller's side."""
        address = self._addresses.popleft()
        self._enclosure.run(["ip", "address", "add", f"{address}/32", "dev", BRIDGE])
        return address

    def listen(self, port: int = 0, address: str | None = None) -> socket.socket:
        """A listening socket in the test network, for a server that runs in the test's own process."""
        place = address or self.address()
        return self._enclosure.in_network(lambda: socket.create_server((place, port)))

    def serve(self, argv: Callable[[str], Sequence[Argument]], port: int, *, timeout: float = 20) -> Service:
        """Starts a program in the test network and waits until it listens.

        argv: gives the command for the address that it gets. It must bind that, and the port.
        """
        address = self.address()
        cell = self._enclosure.new_cell("service")
        log = self.folder / f"{cell.path.name}.log"
        with log.open("wb") as out:
            process = self._enclosure.popen(argv(address), cell=cell, stdout=out, stderr=out)
        self._processes.append(process)
        service = Service(process, address, port, log, cell.kill)
        end = time.monotonic() + timeout
        while True:
            try:
                self._enclosure.in_network(lambda: socket.create_connection((address, port), 1).close())
                return service
            except OSError:
                if not service.is_up() or time.monotonic() > end:
                    service.stop()
                    raise HostDownError(
                        f"service at {address}:{port} did not start:\n{log.read_text()}"
                    ) from None
                time.sleep(0.02)

    def proxy_log(self) -> str:
        """What hosts fetched from package registries, and what was refused."""
        return (self.folder / "proxy.log").read_text() if self._proxied else ""

    def close(self) -> None:
        """Ends all that is left and removes it. May be called twice."""
        atexit.unregister(self.close)
        self._enclosure.end()
        for host in self._hosts.values():
            host.forget()
        for process in self._processes:
            process.wait(10)
        self._hosts.clear()
        self._enclosure.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self) -> None:
        self.controller.learn([(h.name, h.address, h.public_key) for h in self._hosts.values()])

    def _package_settings(self) -> tuple[str, str]:
        """Lines for apt and pip on a host that lead to the proxy, which is started by the first who asks."""
        if not self._proxied:
            self._start_proxy()
        url = f"http://{CONTROLLER}:{PROXY_PORT}"
        apt = (
            f'Acquire::http::Proxy "{url}";\nAcquire::https::Proxy "{url}";\n'
            'Acquire::Languages "none";\nAcquire::Retries "3";\n'
        )
        pip = ["[global]", f"proxy = {url}", "cert = /etc/ssl/certs/ca-certificates.crt"]
        pip += [f"{key} = {value}" for key, value in registries.pip_settings().items()]
        return apt, "\n".join(pip) + "\n"

    def _start_proxy(self) -> None:
        listening = self.listen(PROXY_PORT, CONTROLLER)
        # In the enclosure's process namespace, so that it ends with it, but in the machine's network.
        argv: list[Argument] = [
            sys.executable,
            "-I",
            PROXY,
            str(listening.fileno()),
            *sorted(registries.names()),
        ]
        command = self._enclosure.argv(argv, self._enclosure.new_cell("proxy"), spaces=("--pid",))
        with (self.folder / "proxy.log").open("wb") as log:
            descriptors = [listening.fileno()]
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=descriptors
                )
            )
        listening.close()
        self._proxied = True
