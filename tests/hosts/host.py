"""A host: what a fresh VM of a cloud is to the project. Real systemd, real sshd, root by key."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import base, boot
from .command import Argument, Completed, run
from .controller import Controller
from .disk import Disk
from .enclosure import Enclosure
from .link import Link

#: A boot takes 1 to 2 s alone; six at once on a busy machine take a multiple.
BOOT_TIMEOUT = 90
STOP_TIMEOUT = 60

CONSOLE_ENV = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)


class HostDownError(Exception):
    """A host did not do in time what it should, or is not running."""


@dataclass(frozen=True)
class Settings:
    """What a host is made like.

    apt, pip: lines for them that lead to the proxy; none without it. lend: folders of the machine that
    the host sees and cannot change, by their place on it. They take nothing of its disk.
    """

    name: str
    release: str
    disk: str
    apt: str = ""
    pip: str = ""
    lend: Mapping[str, Path] = field(default_factory=dict)


class Host:
    """One host. Its power, disk and cable are in the test's hands.

    address: its IPv4 address. public_key: its SSH host key. link: its cable.
    """

    def __init__(
        self, enclosure: Enclosure, controller: Controller, address: str, settings: Settings
    ) -> None:
        self._enclosure, self._controller = enclosure, controller
        self.settings, self.address = settings, address
        self.name, self.release = settings.name, settings.release
        self._folder = enclosure.folder / settings.name
        self._folder.mkdir()
        self._cell = enclosure.new_cell("host")
        self._process: subprocess.Popen[bytes] | None = None
        host_key = self._folder / "host_key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{self.name}", "-f", host_key])
        self.public_key = " ".join(host_key.with_suffix(".pub").read_text().split()[:2])
        self._boots = boot.Boots(self._folder / "notify")
        self.link = Link(enclosure, address)
        self._disk = self._new_disk()

    @property
    def root(self) -> Path:
        """The host's root folder, seen from the test; there whether the host runs or not.

        What is lent to the host is not in it.
        """
        return self._disk.root

    @property
    def boots(self) -> int:
        """How often the host has come up."""
        return self._boots.count

    # -- power

    def start(self, *, wait: bool = True) -> None:
        """Switches the host on and, unless told otherwise, waits until it is up."""
        if self.is_on():
            raise HostDownError(f"{self.name} is on already")
        self.link.plug()
        self._expected = self._boots.count + 1
        with (self._folder / "console.log").open("ab") as console:
            self._process = self._enclosure.popen(
                boot.argv(self.name, self._disk.inside, self.link.space, self.settings.lend),
                cell=self._cell,
                stdout=console,
                stderr=console,
                env={**os.environ, "NOTIFY_SOCKET": str(self._boots.path)},
            )
        if wait:
            self.wait_up()

    def wait_up(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Waits until the boot begun last is over. Raises HostDownError with the end of the console."""
        if not self._process or not self._boots.wait(self._expected, self._process, timeout):
            raise HostDownError(
                f"{self.name} did not come up:\n" + "\n".join(self.console().splitlines()[-20:])
            )

    def is_on(self) -> bool:
        """Whether the host has power (it may be booting or rebooting)."""
        return self._process is not None and self._process.poll() is None

    def reboot(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Reboots the way a person at the host would, and waits until it is up again."""
        with self.rebooting(timeout):
            self.inside(["systemctl", "reboot"])

    @contextlib.contextmanager
    def rebooting(self, timeout: float = BOOT_TIMEOUT) -> Iterator[None]:
        """For a body that makes the host reboot by whatever means: ends when it is up again."""
        self._expected = self._boots.count + 1
        yield
        self.wait_up(timeout)

    def poweroff(self, timeout: float = STOP_TIMEOUT) -> None:
        """Shuts down in good order, as by the power button. The disk stays."""
        os.kill(self._leader(), signal.SIGRTMIN + 4)  # systemd(1): poweroff.target
        assert self._process
        self._process.wait(timeout)
        self._cell.wait_empty(timeout)
        self.link.unplug()

    def kill(self) -> None:
        """Takes the power away. The disk stays as it is at that moment; peers hear nothing of it."""
        self.link.unplug()
        self._cell.kill()
        if self._process:
            self._process.wait(STOP_TIMEOUT)

    def fresh(self, *, wait: bool = True) -> None:
        """The same host (name, address, keys) as on its first day: power off, new disk, power on."""
        self.kill()
        self._disk.close()
        self._disk = self._new_disk()
        self.start(wait=wait)

    def close(self) -> None:
        """Ends the host for good and removes it."""
        self.kill()
        self._boots.close()
        self._disk.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget(self) -> None:
        """Lets go of the host after its enclosure has ended, and the host with it."""
        self._boots.close()
        self.link.forget()
        if self._process:
            self._process.wait(STOP_TIMEOUT)

    # -- use

    def run(
        self,
        argv: Sequence[Argument],
        *,
        user: str = "root",
        timeout: float = 60,
        check: bool = True,
        stdin: str | bytes = b"",
    ) -> Completed:
        """Runs argv on the host by SSH, as a user who knows the controller's key."""
        command = self._controller.ssh_argv(self.name, argv, user=user)
        return self._controller.run(command, timeout=timeout, check=check, stdin=stdin)

    def inside(self, argv: Sequence[Argument], *, timeout: float = 60, check: bool = True) -> Completed:
        """Runs argv as root on the host without SSH, by the back door of who owns the hypervisor."""
        enter = ["nsenter", f"--target={self._leader()}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        own = ["--root", "--wd", "--", "env", "--ignore-environment", *CONSOLE_ENV]
        return run([*enter, *own, *argv], timeout=timeout, check=check, shown=argv)

    def put(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Writes a file of root's on the host; missing folders are made."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)

    def cut(self) -> None:
        """Cuts the cable: frames are lost both ways, in silence."""
        self.link.cut()

    def restore(self) -> None:
        """Mends the cable."""
        self.link.restore()

    def console(self) -> str:
        """What the host wrote on its console, in all its boots."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / "console.log").read_text(errors="replace")
        return ""

    def _leader(self) -> int:
        """The machine's process id of the guest's process 1."""
        pids = self._cell.inner("payload/init.scope").pids()
        if not pids:
            raise HostDownError(f"{self.name} is not running")
        return min(pids)

    def _new_disk(self) -> Disk:
        """A disk with what a cloud puts on it before anybody logs in: name, keys, sources of packages."""
        ground = base.ready(self.release)
        disk = Disk(self._enclosure, self._folder / "disk", ground, self.settings.disk)
        self._disk = disk
        self.put(
            "/root/.ssh/authorized_keys", self._controller.key.with_suffix(".pub").read_bytes(), mode=0o600
        )
        (disk.root / "root/.ssh").chmod(0o700)
        self.put("/etc/ssh/ssh_host_ed25519_key", (self._folder / "host_key").read_bytes(), mode=0o600)
        self.put("/etc/ssh/ssh_host_ed25519_key.pub", self.public_key + "\n")
        self.put("/etc/hostname", self.name + "\n")
        self.put("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost ip6-localhost\n")
        self.put("/etc/machine-id", uuid.uuid4().hex + "\n", mode=0o444)
        self.put("/etc/default/locale", "LANG=C.UTF-8\n")
        if self.settings.apt:
            self.put("/etc/apt/apt.conf.d/01test-host", self.settings.apt)
            self.put("/etc/pip.conf", self.settings.pip)
        return disk
