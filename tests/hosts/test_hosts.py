"""A host is what a fresh VM is: systemd, sshd, users' services, a disk, and a power button."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .base import RELEASES
from .command import CommandError
from .contents import listing
from .host import Host, HostDownError
from .lab import Lab

pytestmark = pytest.mark.hosts

NewHost = Callable[..., Host]

TICK = """[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=default.target
"""


def add_user(host: Host, name: str) -> None:
    """An account that the controller's key opens."""
    host.run(["useradd", "--create-home", "--shell", "/bin/bash", name])
    host.run(["install", "-d", "-o", name, "-g", name, "-m", "700", f"/home/{name}/.ssh"])
    keys = ["/root/.ssh/authorized_keys", f"/home/{name}/.ssh/authorized_keys"]
    host.run(["install", "-o", name, "-g", name, "-m", "600", *keys])


def test_each_release_boots_and_root_logs_in(new_host: NewHost, release: str) -> None:
    host = new_host(release=release)
    assert host.run(["uname", "-n"]).stdout == f"{host.name}\n"
    assert host.run(["id", "-un"]).stdout == "root\n"
    assert f'VERSION_ID="{RELEASES[release]}"' in host.run(["cat", "/etc/os-release"]).stdout
    assert host.run(["readlink", "/proc/1/exe"]).stdout.endswith("/systemd\n")
    failed = host.run(["systemctl", "--failed", "--no-legend"]).stdout
    assert (host.run(["systemctl", "is-system-running"], check=False).stdout, failed) == ("running\n", "")


def test_passwords_do_not_open_a_host(lab: Lab, host: Host) -> None:
    ask = ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive"]
    ssh = lab.controller.ssh_argv(host.name, ["true"])
    refused = lab.controller.run([ssh[0], *ask, *ssh[1:]], check=False)
    assert refused.rc == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_a_lingering_user_has_services_without_a_login(new_host: NewHost, release: str) -> None:
    host = new_host(release=release)
    add_user(host, "painter")
    host.run(["loginctl", "enable-linger", "painter"])
    units = "/home/painter/.config/systemd/user"
    host.run(["mkdir", "-p", units], user="painter")
    host.run(["tee", f"{units}/tick.service"], user="painter", stdin=TICK)
    host.run(["systemctl", "--user", "enable", "--now", "tick"], user="painter")
    host.reboot()
    # Linger is the login manager's to start, beside the boot; so it may come a moment later.
    until = "until pgrep -u painter -x sleep; do sleep 0.1; done"
    assert host.run(["timeout", "20", "sh", "-c", until]).stdout.strip().isdigit()


def test_six_hosts_at_once(lab: Lab) -> None:
    try:
        hosts = lab.hosts(*["bookworm"] * 6)
        names = [host.run(["uname", "-n"]).stdout.strip() for host in hosts]
        assert names == [host.name for host in hosts]
        # They see each other, as VMs of one network do.
        look = "import socket,sys; socket.create_connection((sys.argv[1], 22), 5)"
        hosts[0].run(["python3", "-c", look, hosts[5].address])
    finally:
        for host in [h for h in hosts if h]:
            lab.remove(host)


def test_a_full_disk_is_full(new_host: NewHost) -> None:
    host = new_host(disk="48M")
    assert host.run(["df", "--output=size", "-k", "/"]).stdout.split()[1] == str(48 * 1024)
    with pytest.raises(CommandError, match="No space left on device"):
        host.run(["dd", "if=/dev/zero", "of=/root/big", "bs=1M"])
    with pytest.raises(CommandError, match="No space left on device"):
        host.run(["tee", "/root/more"], stdin=b"x" * 10_000_000)
    host.run(["rm", "/root/big", "/root/more"])
    host.run(["tee", "/root/more"], stdin=b"x" * 10_000_000)


def test_a_fresh_host_has_forgotten_everything_but_who_it_is(new_host: NewHost) -> None:
    host = new_host()
    host.run(["touch", "/root/mark"])
    began = time.monotonic()
    host.fresh()
    assert time.monotonic() - began < 10, "a fresh disk is a matter of seconds"
    assert host.run(["ls", "/root"]).stdout == ""
    assert host.run(["uname", "-n"]).stdout == f"{host.name}\n"


def test_a_reboot_over_ssh_comes_back_with_the_disk(new_host: NewHost, release: str) -> None:
    host = new_host(release=release)
    before = host.run(["sh", "-c", "touch /root/mark /run/mark; cat /etc/machine-id"]).stdout
    with host.rebooting():
        host.run(["systemctl", "reboot"], check=False)  # the connection may end before the answer
    assert host.boots == 2
    assert host.run(["cat", "/etc/machine-id"]).stdout == before
    host.run(["test", "-e", "/root/mark"])
    host.run(["test", "!", "-e", "/run/mark"])


def test_a_lent_folder_is_there_after_every_start_and_cannot_be_changed(
    new_host: NewHost, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder: lent"
    folder.mkdir()
    (folder / "book").write_text("read me")
    host = new_host(lend={"/opt/a shelf: low": folder})

    def look() -> None:
        assert host.run(["cat", "/opt/a shelf: low/book"]).stdout == "read me"
        with pytest.raises(CommandError, match="Read-only file system"):
            host.run(["rm", "/opt/a shelf: low/book"])

    look()
    host.reboot()
    look()
    host.kill()
    host.start()
    look()
    host.fresh()
    look()
    assert (folder / "book").exists()
    # It takes nothing of the host's disk, and the host's own listing of that does not go into it.
    assert "/opt/a shelf: low/book" not in listing(host)


@pytest.mark.parametrize("off", [Host.poweroff, Host.kill], ids=["shut down", "power lost"])
def test_a_host_that_was_off_starts_with_its_disk(
    lab: Lab, new_host: NewHost, off: Callable[[Host], None]
) -> None:
    host = new_host()
    host.run(["touch", "/root/mark"])
    off(host)
    assert not host.is_on()
    with pytest.raises(HostDownError):
        host.inside(["true"])
    ssh = lab.controller.ssh_argv(host.name, ["true"])
    silent = lab.controller.run([ssh[0], "-o", "ConnectTimeout=1", *ssh[1:]], check=False)
    assert (silent.rc, "timed out" in silent.stderr) == (255, True), silent.stderr
    assert host.root.joinpath("root/mark").exists()
    host.start()
    host.run(["test", "-e", "/root/mark"])


def test_a_host_that_does_not_boot_shows_its_console(new_host: NewHost) -> None:
    host = new_host()
    host.poweroff()
    host.root.joinpath("lib/systemd/systemd").unlink()
    with pytest.raises(HostDownError, match=r"(?s)did not come up:.*(init|execv)"):
        host.start()
