"""The account on hosts: entered by key, without rights, with services of its own; the driver stays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleets import Fleet, converge, of_each_release
from hosts.command import run
from hosts.contents import listing
from hosts.host import Host
from hosts.lab import Lab
from plays import Play

from .candidates import install_packages
from .driver_packages import PARTS, held, noted, package, upgrade
from .logins import logged_in, login, main_process, sshd

pytestmark = pytest.mark.hosts

NewHost = Callable[..., Host]

NO_GPU = {"sdops_expect_gpu": False}

CHANGES = [
    "Install what the account needs",
    "Write down that the account is sdops' own",
    "Create the account",
    "Let keys log in as the account",
    "Let the account's services run without a login",
]


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Play:
    """The role without preflight, for hosts that have passed."""
    return Play(lab, tmp_path_factory.mktemp("service_user"), "service_user")


@pytest.fixture(scope="module")
def play(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Play:
    return Play(lab, tmp_path_factory.mktemp("both"), "preflight", "service_user", variables=NO_GPU)


@pytest.fixture(scope="module")
def fleet(lab: Lab, play: Play) -> Iterator[Fleet]:
    with of_each_release(lab) as hosts:
        yield converge(play, hosts)


@pytest.fixture
def host(provisioned: Host) -> Host:
    """A provisioned host of each release in turn."""
    return provisioned


def test_check_mode_on_a_fresh_host_passes_and_changes_nothing(fleet: Fleet) -> None:
    assert fleet.touched == ()


def test_the_first_run_changes_what_it_says(fleet: Fleet) -> None:
    assert sorted(set(fleet.first.changed)) == sorted(CHANGES)


def test_afterwards_nothing_changes(fleet: Fleet) -> None:
    fleet.settled()
    assert [task.name for task in fleet.after.tasks if task.result.get("diff")] == []


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


def test_the_accounts_services_start_with_the_host(fleet: Fleet) -> None:
    host = fleet.any
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
    alone: Play, lab: Lab, fleet: Fleet, tmp_path: Path
) -> None:
    host = fleet.any
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laptop", "-f", tmp_path / "key"])
    given: dict[str, object] = {**NO_GPU, "sdops_user": "painter"}
    made = alone.run(host, **given)
    assert [name for name in made.changed if name in CHANGES] == CHANGES[1:]
    assert host.run(["systemctl", "--user", "is-system-running"], user="painter").stdout == "running\n"
    assert host.run(["id", "--name", "--user"], user="sdops").stdout == "sdops\n"

    given["service_user_authorized_keys"] = [(tmp_path / "key.pub").read_text()]
    assert alone.run(host, **given).changed == ("Let keys log in as the account",)
    theirs, ours = tmp_path / "key", lab.controller.key
    assert [login(lab, host, "painter", key) for key in (theirs, ours)] == [True, True]
    given["service_user_exclusive_keys"] = True
    assert alone.run(host, **given).changed == ("Let keys log in as the account",)
    assert [login(lab, host, "painter", key) for key in (theirs, ours)] == [True, False]
    assert alone.run(host, **given).changed == ()


def test_a_key_that_is_none_fails_before_any_change(play: Play, new_host: NewHost) -> None:
    host = new_host()
    before = listing(host)
    refused = play.run(host, ok=False, service_user_authorized_keys=["id_ed25519.pub"])
    assert refused.message == (
        "service_user_authorized_keys has 'id_ed25519.pub', which is no public key. Set it to lines as they "
        "stand in a file ~/.ssh/id_ed25519.pub."
    )
    assert listing(host) == before


def test_hardening_forbids_passwords_and_cuts_nobody_off(alone: Play, lab: Lab, fleet: Fleet) -> None:
    hosts = tuple(fleet.hosts.values())
    for host in hosts:
        # As on a cloud's image: passwords allowed by cloud-init's own settings.
        host.inside(["rm", "/etc/ssh/sshd_config.d/10-test-host.conf"])
        host.put("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n")
        # Debian says no to one way of asking for a password, by either of its names; others' images do not.
        host.inside(["sed", "-Ei", "/^(Challenge|Kbd)/d", "/etc/ssh/sshd_config"])
        host.inside(["systemctl", "reload", "ssh"])
    assert [set(sshd(host).values()) for host in hosts] == [{"yes"}] * len(hosts)
    main = [main_process(host) for host in hosts]
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(logged_in(lab, host)) for host in hosts]
        assert all(answers() for answers in sessions)
        hardened = alone.run(*hosts, **NO_GPU, service_user_harden_ssh=True)
        for host in hosts:
            done = ("Forbid logins by password", "Make sshd read its settings")
            assert hardened.on(host).changed == done
            assert set(sshd(host).values()) == {"no"}
            words = ["ssh", "-F", "/dev/null", "-o", "PubkeyAuthentication=no", "-o", "BatchMode=yes"]
            known = f"UserKnownHostsFile={lab.controller.known_hosts}"
            asked = lab.controller.run([*words, "-o", known, f"root@{host.address}", "true"], check=False)
            assert "Permission denied (publickey)" in asked.stderr
        assert all(answers() for answers in sessions)
    assert [main_process(host) for host in hosts] == main
    assert alone.run(*hosts, **NO_GPU, service_user_harden_ssh=True).changed == ()

    # As a run leaves it that ends between the two.
    for host in hosts:
        host.inside(["touch", "/etc/ssh/sshd_config.d/01-sdops.conf"])
    resumed = alone.run(*hosts, **NO_GPU, service_user_harden_ssh=True)
    assert [resumed.on(host).changed for host in hosts] == [done] * len(hosts)
    assert alone.run(*hosts, **NO_GPU, service_user_harden_ssh=True).changed == ()

    softened = alone.run(*hosts, **NO_GPU)
    for host in hosts:
        assert softened.on(host).changed == (
            "Leave logins by password as the system has them",
            "Make sshd read its settings",
            "Remove settings that say nothing any more",
        )
        assert sshd(host)["passwordauthentication"] == "yes"
    assert alone.run(*hosts, **NO_GPU).changed == ()


def test_hardening_that_would_lock_root_out_is_refused(alone: Play, lab: Lab, fleet: Fleet) -> None:
    host = fleet.any
    elsewhere = "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/root_keys\n"
    host.put("/etc/ssh/sshd_config.d/20-keys.conf", elsewhere)
    host.inside(["mv", "/root/.ssh/authorized_keys", "/etc/ssh/root_keys"])
    host.inside(["systemctl", "reload", "ssh"])
    before = host.inside(["ls", "/etc/ssh/sshd_config.d"]).stdout
    public = lab.controller.key.with_suffix(".pub").read_text()
    settings = {**NO_GPU, "service_user_harden_ssh": True, "service_user_authorized_keys": [public]}
    refused = alone.run(host, ok=False, **settings)
    after = host.inside(["ls", "/etc/ssh/sshd_config.d"]).stdout
    host.inside(["mv", "/etc/ssh/root_keys", "/root/.ssh/authorized_keys"])
    host.inside(["rm", "/etc/ssh/sshd_config.d/20-keys.conf"])
    host.inside(["systemctl", "reload", "ssh"])
    assert refused.message == (
        "service_user_harden_ssh is true, but root has no key in ~/.ssh/authorized_keys and could not log in "
        "any more. Put one there, or set service_user_harden_ssh: false."
    )
    assert after == before


def test_hardening_that_would_not_hold_is_refused(alone: Play, fleet: Fleet) -> None:
    host = fleet.any
    host.inside(["sed", "-i", "s/^Include/#Include/", "/etc/ssh/sshd_config"])
    refused = alone.run(host, ok=False, **NO_GPU, service_user_harden_ssh=True)
    host.inside(["sed", "-i", "s/^#Include/Include/", "/etc/ssh/sshd_config"])
    assert refused.message == (
        "service_user_harden_ssh is true, but /etc/ssh/sshd_config on the host does not include "
        "/etc/ssh/sshd_config.d/*.conf. Add that line at its top, or set service_user_harden_ssh: false."
    )


def test_what_an_image_may_lack_is_installed(alone: Play, fleet: Fleet) -> None:
    """Without sudo Ansible does not become the account; nothing of it is for the account itself."""
    host = fleet.any
    host.inside(["env", "SUDO_FORCE_REMOVE=yes", "dpkg", "--purge", "sudo"])
    assert alone.run(host, **NO_GPU).changed == (CHANGES[0],)
    assert host.inside(["sudo", "-u", "sdops", "id", "-un"]).stdout == "sdops\n"
    assert host.run(["sudo", "-n", "true"], user="sdops", check=False).rc == 1


@pytest.mark.parametrize(
    "setting", ["1iPasswordAuthentication yes", "$aMatch User root\\nPasswordAuthentication yes"]
)
def test_hardening_that_something_else_overrides_is_refused(alone: Play, fleet: Fleet, setting: str) -> None:
    host = fleet.any
    original = host.inside(["cat", "/etc/ssh/sshd_config"]).stdout
    host.inside(["sed", "-i", setting, "/etc/ssh/sshd_config"])
    host.inside(["systemctl", "reload", "ssh"])
    hardened = {**NO_GPU, "service_user_harden_ssh": True}
    refused = [alone.run(host, ok=False, **hardened) for _ in range(2)]
    host.put("/etc/ssh/sshd_config", original)
    for outcome in refused:
        assert "let people in by password all the same: passwordauthentication yes. Remove" in outcome.message
    assert alone.run(host, **hardened).changed == ("Forbid logins by password", "Make sshd read its settings")
    alone.run(host, **NO_GPU)


@pytest.fixture(scope="module")
def with_driver(fleet: Fleet) -> tuple[Host, ...]:
    """The fleet's hosts with a driver, and one more package of NVIDIA's that somebody else holds."""
    for host in fleet.hosts.values():
        old = [package(host, name, "535.129.03-1") for name in (*PARTS, "nvidia-x")]
        host.inside(["dpkg", "--install", *old])
        host.inside(["apt-mark", "hold", "nvidia-x"])
    return tuple(fleet.hosts.values())


def test_the_driver_is_not_held_unless_it_is_wanted(alone: Play, with_driver: tuple[Host, ...]) -> None:
    host = with_driver[0]
    assert alone.run(host, **NO_GPU).changed == ()
    assert alone.run(host, service_user_hold_nvidia=False).changed == ()
    assert held(host) == ["nvidia-x"]
    alone.run(host, check=True)
    assert held(host) == ["nvidia-x"]


def test_the_driver_is_held_and_not_upgraded(alone: Play, with_driver: tuple[Host, ...]) -> None:
    first = alone.run(*with_driver)
    for host in with_driver:
        assert first.on(host).changed[-1] == "Hold the packages"
        assert held(host) == [*PARTS, "nvidia-x"]
        assert noted(host) == PARTS
    assert alone.run(*with_driver).changed == ()
    for host in with_driver:
        upgrade(host, "570.1-1", *PARTS)
        shown = host.inside(["dpkg-query", "--show", "--showformat=${Version} ", *PARTS]).stdout
        assert shown.split() == ["535.129.03-1", "535.129.03-1"]


def test_a_new_part_of_the_driver_joins_what_is_held(alone: Play, with_driver: tuple[Host, ...]) -> None:
    host = with_driver[0]
    alone.run(host)
    host.inside(["dpkg", "--install", package(host, "cuda-drivers-535", "1")])
    alone.run(host)
    assert noted(host) == ["cuda-drivers-535", *PARTS]
    assert held(host) == [*noted(host), "nvidia-x"]


def test_a_lock_of_another_package_manager_is_waited_for(alone: Play, with_driver: tuple[Host, ...]) -> None:
    """It was taken after preflight has looked."""
    host = with_driver[0]
    host.inside(["apt-mark", "unhold", PARTS[0]])
    install_packages(host)
    host.inside(["sh", "-c", "(sleep 8; systemctl stop other-packages) >/dev/null 2>&1 &"])
    assert alone.run(host).changed[-1] == "Hold the packages"
    assert PARTS[0] in held(host)


def test_libraries_for_another_architecture_are_held_too(alone: Play, with_driver: tuple[Host, ...]) -> None:
    """As on Ubuntu, whose drivers bring them along."""
    host = with_driver[0]
    host.inside(["dpkg", "--add-architecture", "i386"])
    both = [package(host, "libnvidia-gl-535", "1", architecture=name) for name in ("amd64", "i386")]
    host.inside(["dpkg", "--install", *both])
    alone.run(host)
    assert {"libnvidia-gl-535", "libnvidia-gl-535:i386"} <= set(held(host)) & set(noted(host))
    assert alone.run(host).changed == ()


def test_an_interrupted_installation_is_finished_but_not_of_a_driver(alone: Play, fleet: Fleet) -> None:
    host = fleet.any
    host.inside(["dpkg", "--purge", "tmux"])
    host.inside(["dpkg", "--unpack", package(host, "nvidia-driver-580", "1")])
    assert alone.run(host, ok=False, **NO_GPU).message == (
        "The installation of an NVIDIA package was interrupted on the host, and sdops never changes a "
        "driver. Run there: dpkg --configure --pending"
    )
    assert "nvidia-driver-580" in host.inside(["dpkg", "--audit"]).stdout

    host.inside(["dpkg", "--purge", "nvidia-driver-580"])
    host.inside(["dpkg", "--unpack", package(host, "half", "1")])
    assert alone.run(host, **NO_GPU).changed == ("Finish an interrupted package installation", CHANGES[0])
    assert host.inside(["dpkg", "--audit"]).stdout == ""
    host.inside(["tmux", "-V"])
