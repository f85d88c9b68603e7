"""The account on hosts: entered by key, without rights, with services of its own; the driver stays."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts.base import RELEASES
from hosts.command import run
from hosts.fixtures import need_release
from hosts.host import Host
from hosts.lab import Lab
from playbook import Outcome, Playbook, listing, releases

pytestmark = pytest.mark.hosts

NewHost = Callable[..., Host]

NO_GPU = {"sdops_expect_gpu": False}

CHANGES = [
    "Install what the account needs",
    "Create the account",
    "Let keys log in as the account",
    "Let the account's services run without a login",
]


@dataclass(frozen=True)
class Fleet:
    """One host of each release, provisioned, and what the runs on the way did."""

    hosts: dict[str, Host]
    unchanged_by_check: bool
    check: Outcome
    first: Outcome
    second: Outcome
    again: Outcome


@pytest.fixture(scope="module")
def play(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Playbook:
    return Playbook(lab, tmp_path_factory.mktemp("service_user"), ["preflight", "service_user"])


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Playbook:
    """The role without preflight, for hosts that have passed."""
    return Playbook(lab, tmp_path_factory.mktemp("service_user"), ["service_user"])


@pytest.fixture(scope="module")
def fleet(lab: Lab, play: Playbook) -> Iterator[Fleet]:
    hosts = dict(zip(releases(), lab.hosts(*releases()), strict=True))
    everyone = tuple(hosts.values())
    before = [listing(host) for host in everyone]
    check = play.run(*everyone, options=["--check"], **NO_GPU)
    unchanged = [listing(host) for host in everyone] == before
    first = play.run(*everyone, **NO_GPU)
    second = play.run(*everyone, **NO_GPU)
    again = play.run(*everyone, options=["--check", "--diff"], **NO_GPU)
    yield Fleet(hosts, unchanged, check, first, second, again)
    for host in everyone:
        lab.remove(host)


@pytest.fixture(params=sorted(RELEASES))
def host(request: pytest.FixtureRequest, fleet: Fleet) -> Host:
    """A provisioned host of each release in turn."""
    need_release(request.param)
    return fleet.hosts[request.param]


def test_check_mode_on_a_fresh_host_passes_and_changes_nothing(fleet: Fleet) -> None:
    assert fleet.check.rc == 0, fleet.check.output
    assert fleet.unchanged_by_check


def test_the_first_run_changes_what_it_says(fleet: Fleet) -> None:
    assert fleet.first.rc == 0, fleet.first.output
    assert sorted(set(fleet.first.changed())) == sorted(CHANGES)


def test_the_second_run_changes_nothing(fleet: Fleet) -> None:
    assert (fleet.second.rc, fleet.second.changed()) == (0, []), fleet.second.output


def test_check_mode_afterwards_reports_nothing(fleet: Fleet) -> None:
    assert (fleet.again.rc, fleet.again.changed()) == (0, []), fleet.again.output
    assert [result["diff"] for _, _, result in fleet.again.tasks if result.get("diff")] == []


def test_the_account_logs_in_by_key(host: Host) -> None:
    assert host.run(["id", "--name", "--user"], user="sdops").stdout == "sdops\n"
    assert host.run(["id", "--name", "--groups"], user="sdops").stdout == "sdops\n"
    asked = host.run(["sh", "-c", "cd; pwd; echo $SHELL; stat -c '%U:%G %a' . .ssh .ssh/*"], user="sdops")
    assert asked.stdout.splitlines() == [
        "/home/sdops",
        "/bin/bash",
        "sdops:sdops 700",
        "sdops:sdops 700",
        "sdops:sdops 600",
    ]
    root = host.inside(["cat", "/root/.ssh/authorized_keys"]).stdout.split()[:2]
    assert host.inside(["cat", "/home/sdops/.ssh/authorized_keys"]).stdout.split()[:2] == root


def test_the_account_has_no_password_and_no_sudo(host: Host) -> None:
    assert host.inside(["getent", "shadow", "sdops"]).stdout.split(":")[1] == "*"
    denied = host.run(["sudo", "-n", "true"], user="sdops", check=False)
    assert denied.rc == 1
    assert host.run(["cat", "/etc/shadow"], user="sdops", check=False).rc == 1


def test_the_account_has_services_that_outlive_its_login(host: Host) -> None:
    start = ["systemd-run", "--user", "--quiet", "--unit=long", "sleep", "3600"]
    host.run(start, user="sdops")
    # Another login later: the first one has ended, the service has not.
    asked = host.run(["systemctl", "--user", "is-active", "long"], user="sdops")
    assert asked.stdout == "active\n"
    host.run(["systemctl", "--user", "stop", "long"], user="sdops")


def test_the_accounts_services_start_with_the_host(lab: Lab, fleet: Fleet) -> None:
    host = fleet.hosts["bookworm"] if "bookworm" in fleet.hosts else next(iter(fleet.hosts.values()))
    host.reboot()
    active = host.inside(["systemctl", "is-active", "user@1000.service"])
    assert active.stdout == "active\n"


def test_tmux_and_sftp_are_there(lab: Lab, host: Host, tmp_path: Path) -> None:
    host.run(["tmux", "new-session", "-d", "true"], user="sdops")
    picture = tmp_path / "picture"
    picture.write_bytes(b"\x89PNG")
    # sshfs speaks what sftp speaks.
    ssh = lab.controller.ssh_config
    lab.controller.run(["sftp", "-F", ssh, "-b", "-", f"sdops@{host.name}"], stdin=f"put {picture} here\n")
    assert host.run(["stat", "-c", "%s", "/home/sdops/here"], user="sdops").stdout == "4\n"
    host.run(["rm", "/home/sdops/here"], user="sdops")


def test_another_name_makes_another_account_with_the_keys_given(
    alone: Playbook, lab: Lab, fleet: Fleet, tmp_path: Path
) -> None:
    host = next(iter(fleet.hosts.values()))
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laptop", "-f", tmp_path / "key"])
    given = {**NO_GPU, "sdops_user": "painter"}
    made = alone.run(host, **given)
    assert [name for name in made.changed() if name in CHANGES] == CHANGES[1:]
    assert host.run(["systemctl", "--user", "is-system-running"], user="painter").stdout == "running\n"
    assert host.run(["id", "--name", "--user"], user="sdops").stdout == "sdops\n"

    given["service_user_authorized_keys"] = [(tmp_path / "key.pub").read_text()]
    assert alone.run(host, **given).changed() == ["Let keys log in as the account"]
    theirs, ours = tmp_path / "key", lab.controller.key
    assert [login(lab, host, "painter", key) for key in (theirs, ours)] == [True, True]
    given["service_user_exclusive_keys"] = True
    assert alone.run(host, **given).changed() == ["Let keys log in as the account"]
    assert [login(lab, host, "painter", key) for key in (theirs, ours)] == [True, False]
    assert alone.run(host, **given).changed() == []


def login(lab: Lab, host: Host, user: str, key: Path) -> bool:
    """Whether a key lets one in."""
    words = ["ssh", "-F", "/dev/null", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    known = f"UserKnownHostsFile={lab.controller.known_hosts}"
    return lab.controller.run([*words, "-o", known, f"{user}@{host.address}", "true"], check=False).rc == 0


def test_a_key_that_is_none_fails_before_any_change(play: Playbook, new_host: NewHost) -> None:
    host = new_host()
    before = listing(host)
    outcome = play.run(host, **NO_GPU, service_user_authorized_keys=["id_ed25519.pub"])
    assert outcome.failure() == (
        "service_user_authorized_keys has 'id_ed25519.pub', which is no public key. Set it to lines as they "
        "stand in a file ~/.ssh/id_ed25519.pub."
    )
    assert listing(host) == before


def sshd(host: Host) -> dict[str, str]:
    """Settings of sshd that are in force, of those that matter here."""
    lines = host.inside(["sshd", "-T"]).stdout.splitlines()
    settings = dict(line.split(" ", 1) for line in lines if " " in line)
    return {name: settings[name] for name in ("passwordauthentication", "kbdinteractiveauthentication")}


def test_hardening_forbids_passwords_and_cuts_nobody_off(alone: Playbook, lab: Lab, host: Host) -> None:
    # As on a cloud's image: passwords allowed by cloud-init's own settings.
    host.inside(["rm", "/etc/ssh/sshd_config.d/10-test-host.conf"])
    host.put("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n")
    host.inside(["systemctl", "reload", "ssh"])
    assert sshd(host)["passwordauthentication"] == "yes"
    session = lab.controller.popen(
        lab.controller.ssh_argv(host.name, ["cat"], user="sdops"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert session.stdin
    assert session.stdout
    session.stdin.write(b"there\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"there\n"
    main = host.inside(["systemctl", "show", "--property=MainPID", "ssh"]).stdout

    hardened = alone.run(host, **NO_GPU, service_user_harden_ssh=True)
    assert hardened.changed() == ["Forbid logins by password", "Make sshd read its settings"]
    assert set(sshd(host).values()) == {"no"}
    words = ["ssh", "-F", "/dev/null", "-o", "PubkeyAuthentication=no", "-o", "BatchMode=yes"]
    known = f"UserKnownHostsFile={lab.controller.known_hosts}"
    asked = lab.controller.run([*words, "-o", known, f"root@{host.address}", "true"], check=False)
    assert "Permission denied (publickey)" in asked.stderr
    session.stdin.write(b"still here\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"still here\n"
    session.stdin.close()
    session.wait(10)
    session.stdout.close()
    assert host.inside(["systemctl", "show", "--property=MainPID", "ssh"]).stdout == main
    assert alone.run(host, **NO_GPU, service_user_harden_ssh=True).changed() == []

    softened = alone.run(host, **NO_GPU)
    assert softened.changed() == [
        "Leave logins by password as the system has them",
        "Make sshd read its settings",
    ]
    assert sshd(host)["passwordauthentication"] == "yes"


def test_hardening_that_would_lock_root_out_is_refused(alone: Playbook, lab: Lab, new_host: NewHost) -> None:
    host = new_host()
    host.inside(["mv", "/root/.ssh/authorized_keys", "/etc/ssh/root_keys"])
    host.put(
        "/etc/ssh/sshd_config.d/20-keys.conf", "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/root_keys\n"
    )
    host.inside(["systemctl", "reload", "ssh"])
    public = lab.controller.key.with_suffix(".pub").read_text()
    outcome = alone.run(host, **NO_GPU, service_user_harden_ssh=True, service_user_authorized_keys=[public])
    assert outcome.failure() == (
        "service_user_harden_ssh is true, but root has no key in ~/.ssh/authorized_keys and could not log in "
        "any more. Put one there, or set service_user_harden_ssh: false."
    )
    assert host.inside(["ls", "/etc/ssh/sshd_config.d"]).stdout.split() == [
        "10-test-host.conf",
        "20-keys.conf",
    ]


def test_hardening_that_would_not_hold_is_refused(alone: Playbook, fleet: Fleet) -> None:
    host = next(iter(fleet.hosts.values()))
    host.inside(["sed", "-i", "s/^Include/#Include/", "/etc/ssh/sshd_config"])
    outcome = alone.run(host, **NO_GPU, service_user_harden_ssh=True)
    host.inside(["sed", "-i", "s/^#Include/Include/", "/etc/ssh/sshd_config"])
    assert outcome.failure() == (
        "service_user_harden_ssh is true, but /etc/ssh/sshd_config on the host does not include "
        "/etc/ssh/sshd_config.d/*.conf. Add that line at its top, or set service_user_harden_ssh: false."
    )


CONTROL = """\
Package: {}
Version: {}
Architecture: all
Maintainer: Nobody <nobody@invalid>
Description: stands for a part of NVIDIA's driver
"""


def package(host: Host, name: str, version: str) -> str:
    """Builds an empty Debian package on a host and returns its path there."""
    folder = f"/srv/build/{name}-{version}"
    host.put(f"{folder}/DEBIAN/control", CONTROL.format(name, version))
    host.inside(["mkdir", "-p", "/srv/apt"])
    host.inside(["dpkg-deb", "--build", folder, f"/srv/apt/{name}_{version}_all.deb"])
    return f"/srv/apt/{name}_{version}_all.deb"


def offer(host: Host, version: str, *names: str) -> None:
    """Offers packages to apt on a host, from a folder of its own."""
    stanzas = []
    for name in names:
        path = package(host, name, version)
        content = host.root.joinpath(path.lstrip("/")).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        tail = f"Filename: {path.removeprefix('/srv/apt/')}\nSize: {len(content)}\nSHA256: {digest}\n"
        stanzas.append(CONTROL.format(name, version) + tail)
    host.put("/srv/apt/Packages", "\n".join(stanzas))
    host.put("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/apt ./\n")
    host.inside(["apt-get", "update"])


def test_the_driver_is_held_and_not_upgraded(alone: Playbook, host: Host) -> None:
    parts = ["libnvidia-compute-535", "nvidia-driver-535"]
    old = [package(host, name, "535.129.03-1") for name in (*parts, "nvidia-x")]
    host.inside(["dpkg", "--install", *old])
    host.inside(["apt-mark", "hold", "nvidia-x"])  # by somebody else, before
    if host.release == "bookworm":
        assert alone.run(host, **NO_GPU).changed() == []
        assert alone.run(host, service_user_hold_nvidia=False).changed() == []
        assert host.inside(["apt-mark", "showhold"]).stdout == "nvidia-x\n"
        assert alone.run(host, options=["--check"]).rc == 0

    first = alone.run(host)
    assert first.rc == 0, first.failure()
    assert first.changed()[-1] == "Hold the packages"
    assert host.inside(["apt-mark", "showhold"]).stdout.split() == [*parts, "nvidia-x"]
    assert host.inside(["cat", "/var/lib/sdops/held-packages"]).stdout.split() == parts
    assert alone.run(host).changed() == []

    offer(host, "570.1-1", *parts, "some-tool")
    host.inside(["apt-get", "--yes", "dist-upgrade"])
    shown = host.inside(["dpkg-query", "--show", "--showformat=${Version} ", *parts]).stdout
    assert shown.split() == ["535.129.03-1", "535.129.03-1"]


def test_a_new_part_of_the_driver_joins_what_is_held(alone: Playbook, fleet: Fleet) -> None:
    host = next(iter(fleet.hosts.values()))
    host.inside(["dpkg", "--install", package(host, "cuda-drivers-535", "1")])
    alone.run(host)
    added = host.inside(["cat", "/var/lib/sdops/held-packages"]).stdout.split()
    assert added == ["cuda-drivers-535", "libnvidia-compute-535", "nvidia-driver-535"]
    assert host.inside(["apt-mark", "showhold"]).stdout.split() == [*added, "nvidia-x"]


def test_an_interrupted_installation_is_finished(alone: Playbook, new_host: NewHost) -> None:
    host = new_host()
    host.inside(["dpkg", "--unpack", package(host, "half", "1")])
    outcome = alone.run(host, **NO_GPU)
    assert outcome.rc == 0, outcome.failure()
    assert host.inside(["dpkg", "--audit"]).stdout == ""


def test_an_interrupted_installation_of_a_driver_is_left_alone(alone: Playbook, new_host: NewHost) -> None:
    host = new_host()
    host.inside(["dpkg", "--unpack", package(host, "nvidia-driver-535", "1")])
    outcome = alone.run(host, **NO_GPU)
    assert outcome.failure() == (
        "The installation of an NVIDIA package was interrupted on the host, and sdops never changes a "
        "driver. Run there: dpkg --configure --pending"
    )
    assert "nvidia-driver-535" in host.inside(["dpkg", "--audit"]).stdout
