"""The role fleet on real hosts: who belongs to a fleet, with what, and who does not get in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import makers
import pytest
from doubles import env
from fleet_hosts import (
    HOME,
    Fleet,
    gathered,
    join_network,
    members,
    private,
    process,
    systemctl,
    text,
    wait_for,
)
from fleets import of_each_release
from groundwork import account
from hosts.contents import difference, listing
from hosts.fixtures import do_without, need_release
from hosts.gpu import install_fake_gpu, remove_fake_gpu
from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError
from plays import Play
from sdops_runtime import protocol

pytestmark = pytest.mark.hosts

KEYS = f"{HOME}/.local/share/sdops-fleet"
SETTINGS = f"{HOME}/.config/sdops/fleet.json"
LIBRARIES = f"{HOME}/.local/lib/sdops/fleet"
SERVE = "sdops-runtime.service"
SCHEDULER, WORKER = "sdops-fleet-scheduler.service", "sdops-fleet-worker@0.service"
FLEET_PROGRAM = Path(env.__file__).with_name("fleet_program.py")

#: What the role does, in order, that a person sees as changes.
INSTALL = "Install the fleet's libraries beside the environment"
AUTHORITY = "Make the fleet's authority"
CERTIFICATE = "Write the certificate and that of the authority"
FILES = "Write the services, the libraries' place and what the runtime knows of the fleet"
START = (
    "Start the host's worker anew, which reads its place in the fleet",
    "Start the scheduler, now and whenever the host boots",
    "Start the workers, now and whenever the host boots",
)
STOP = "Stop services that are not the host's any more"

#: What nvidia-smi -L says; a part of a GPU is none.
TWO_GPUS = """GPU 0: NVIDIA A100 (UUID: GPU-1)
  MIG 1g.10gb Device 0: (UUID: MIG-1)
GPU 1: NVIDIA A100 (UUID: GPU-2)
"""


@pytest.fixture(scope="module")
def fleet(
    lab: Lab, guide: makers.Guide, fleet_index: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    need_release("bookworm")
    try:
        with gathered(lab, guide, fleet_index, tmp_path_factory.mktemp("fleet")) as found:
            yield found
    except UnavailableError as reason:
        do_without(reason)


@pytest.fixture
def joined(fleet: Fleet) -> Fleet:
    """The hosts as a fleet, whichever test ran before."""
    if not all((host.root / SETTINGS[1:]).exists() for host in fleet.hosts):
        fleet.run()
    return fleet


def restarts(host: Host) -> int:
    """How often systemd has started a worker anew."""
    return int(systemctl(host, "show", "--property=NRestarts", "--value", WORKER))


def openssl(host: Host, *words: str, stdin: str = "") -> str:
    """What openssl says on a host, well or ill."""
    ran = host.run(["openssl", *words], stdin=stdin, check=False)
    return ran.stdout + ran.stderr


# -- what is refused


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(
            {"fleet_group": "gpus"},
            'fleet_group is "gpus", which is no group of the inventory. Set it to one of all, gpu,',
            id="group",
        ),
        pytest.param(
            {"fleet_address": "gpu1"}, 'fleet_address is "gpu1", which is no IPv4 address.', id="name"
        ),
        pytest.param(
            {"fleet_address": "127.0.0.1"}, "which the other hosts of gpu do not reach.", id="loopback"
        ),
        pytest.param(
            {"fleet_slots": "two"}, "Set it to the number of workers, 1 to 99, or to auto.", id="slots"
        ),
        pytest.param({"fleet_slots": 0}, 'fleet_slots is "0".', id="no slot"),
        pytest.param({"fleet_scheduler_port": 80}, "Set it to a port from 1024 to 65535.", id="port"),
        pytest.param(
            {"fleet_scheduler_port": 8791, "fleet_slots": 2},
            "fleet_scheduler_port is 8791, at which a worker may listen. Set it to a port below",
            id="the same port",
        ),
        pytest.param(
            {"fleet_scheduler_port": 8793},
            "fleet_scheduler_port is 8793, at which a worker may listen.",
            id="a port of the fourth GPU, should there be one",
        ),
        pytest.param({"fleet_certificate_days": 4000}, "a number of days from 1 to 1200.", id="days"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, wrong: dict[str, object], said: str) -> None:
    (tmp_path / "some.ini").write_text("[gpu]\n203.0.113.9\n203.0.113.10\n")
    play = Play(None, tmp_path, "fleet", variables={"fleet_group": "gpu", **wrong})
    refused = play.run(words=("-i", tmp_path / "some.ini"), ok=False)
    assert set(refused.failed) == {"Check the fleet's settings"}
    assert said in refused.said


def test_on_a_fresh_host_it_says_which_tag_comes_first(lab: Lab, tmp_path: Path, host: Host) -> None:
    play = Play(lab, tmp_path, "fleet", variables={"fleet_group": "all", "sdops_expect_gpu": False})
    assert play.run(host, check=True).changed == ()
    refused = play.run(host, ok=False)
    assert refused.changed == ()
    assert "has no account sdops yet" in refused.message
    assert "its tag service_user first" in refused.message
    account(host)
    assert "its tag stack_env first" in play.run(host, ok=False).message
    env.furnish(host, None)
    assert "its tag runtime first" in play.run(host, ok=False).message


def test_an_address_is_not_guessed(fleet: Fleet) -> None:
    """Among several there is no telling, nor with none; and one that the host lacks is none."""
    host = fleet.hosts[2]
    limit = ("-l", host.name)
    refused = fleet.run(*limit, ok=False, fleet_address="10.0.0.99")
    assert f"fleet_address is 10.0.0.99, which {host.name} does not have." in refused.message
    assert f"eth0 {private(host)}" in refused.message
    host.inside(["ip", "address", "add", "192.168.7.7/24", "dev", "eth0"])
    refused = fleet.run(*limit, ok=False)
    assert (
        f"{host.name} has several private addresses: eth0 {private(host)}, eth0 192.168.7.7." in refused.said
    )
    assert "Set fleet_address" in refused.message
    for address in ("192.168.7.7", private(host)):
        host.inside(["ip", "address", "delete", f"{address}/24", "dev", "eth0"])
    # A bridge of containers leads to no other host.
    host.inside(["ip", "link", "add", "docker0", "type", "bridge"])
    host.inside(["ip", "address", "add", "172.17.0.1/16", "dev", "docker0"])
    refused = fleet.run(*limit, ok=False)
    assert f"{host.name} has no private address: eth0 {host.address}, docker0 172.17.0.1." in refused.said
    host.inside(["ip", "link", "delete", "docker0"])
    host.inside(["ip", "address", "add", f"{private(host)}/24", "dev", "eth0"])


def test_a_head_that_was_not_made_is_to_be_made_first(fleet: Fleet) -> None:
    refused = fleet.run("-l", fleet.hosts[1].name, ok=False)
    assert refused.changed == ()
    assert refused.failed == ("Refuse to go on without the head",)
    head = fleet.hosts[0].name
    assert f"{head}, the head of the fleet gpu, is not made yet" in refused.said
    assert f"--tags fleet -l {head}" in refused.said


def test_workers_are_counted_by_their_gpus(fleet: Fleet) -> None:
    host = fleet.hosts[0]
    limit = ("-l", host.name)
    refused = fleet.run(*limit, ok=False, sdops_expect_gpu=True)
    assert f"nvidia-smi names no GPU on {host.name}." in refused.said
    install_fake_gpu(host, {"-L": TWO_GPUS})
    foretold = fleet.run(*limit, check=True, sdops_expect_gpu=True).text
    assert '\\"slots\\": 2, \\"gpu\\": true' in foretold
    refused = fleet.run(*limit, ok=False, sdops_expect_gpu=True, fleet_slots=3)
    assert f"fleet_slots is 3, but {host.name} has 2 GPUs." in refused.said
    remove_fake_gpu(host)


# -- on each release


#: In pip's place, where there is no package index: leaves a folder that is named like a library.
PIP = """import pathlib, sys
place = pathlib.Path(sys.argv[sys.argv.index("--target") + 1], "distributed")
assert "--require-hashes" in sys.argv and "distributed==" in sys.stdin.read()
place.mkdir(parents=True)
"""


@pytest.mark.slow
def test_hosts_of_each_release_are_a_fleet_together(lab: Lab, tmp_path: Path) -> None:
    """With stand-ins for the programs, which judge certificates strictly: of each OpenSSL by each other."""
    with of_each_release(lab, packages=False) as made:
        hosts = list(made.values())
        for host in hosts:
            join_network(host)
            account(host)
            env.furnish(host, None)
            (site,) = (host.root / HOME[1:]).glob("miniconda3/envs/env1/lib/python3*/site-packages")
            (site / "pip.py").write_text(PIP)
        Play(lab, tmp_path, "runtime").run(*hosts)
        for host in hosts:
            host.put("/opt/fleet_program.py", FLEET_PROGRAM.read_text())
            launcher = text(host, makers.LAUNCHER)
            begin, last = launcher[: launcher.rindex("\nexec ")], launcher[launcher.rindex("\nexec ") :]
            stand_in = 'case "$1" in fleet-*) exec "$python" /opt/fleet_program.py "$@" ;; esac'
            host.put(makers.LAUNCHER, f"{begin}\n{stand_in}{last}", mode=0o755)
        variables = {"fleet_group": "gpu", "sdops_expect_gpu": False}
        fleet = Fleet(Play(lab, tmp_path, "fleet", variables=variables), hosts)
        made_anew = fleet.run()
        for host in hosts:
            assert made_anew.on(host).changed[:1] == (INSTALL,)
            assert systemctl(host, "is-active", WORKER) == "active\n"
            assert systemctl(host, "is-enabled", WORKER) == "enabled\n"
        assert fleet.run().changed == ()
        # A worker that loses its head is started anew until it is there again, however long that takes.
        head, *others = hosts
        systemctl(head, "stop", SCHEDULER)
        for host in others:
            wait_for(lambda host=host: restarts(host) > 1, "it was started several times")
        assert fleet.run().on(head).changed == (START[1], START[2])
        for host in others:
            wait_for(
                lambda host=host: systemctl(host, "is-active", WORKER, check=False) == "active\n", "it ran"
            )
        left = fleet.run(fleet_group="")
        assert {task.host for task in left.tasks if task.changed} == {host.name for host in hosts}
        assert fleet.run(fleet_group="").changed == ()


# -- what is made


def test_hosts_become_a_fleet_and_stay_one(fleet: Fleet) -> None:
    before = [listing(host) for host in fleet.hosts]
    foretold = fleet.run(check=True)
    after = [listing(host) for host in fleet.hosts]
    assert [difference(*pair) for pair in zip(before, after, strict=True)] == [[], [], []]
    assert set(foretold.changed) == {INSTALL, CERTIFICATE, FILES}

    made = fleet.run()
    serve, scheduler, workers = START
    head, *others = fleet.hosts
    assert made.on(head).changed == (INSTALL, AUTHORITY, CERTIFICATE, FILES, serve, scheduler, workers)
    for host in others:
        assert made.on(host).changed == (INSTALL, CERTIFICATE, FILES, serve, workers)
    wait_for(lambda: len(members(head)) == 3, "all workers had come")
    assert members(head) == [f"{host.name}/0" for host in fleet.hosts]
    assert fleet.run().changed == ()
    assert fleet.run(check=True).changed == ()
    assert "WARNING" not in made.text
    # One of them alone, whose head is not asked to do anything.
    assert fleet.run("-l", others[0].name).changed == ()


def test_each_host_knows_its_place(joined: Fleet) -> None:
    for host in joined.hosts:
        told = json.loads(text(host, SETTINGS))
        assert told == {
            "head": host is joined.hosts[0],
            "name": host.name,
            "address": private(host),
            "scheduler": f"{private(joined.hosts[0])}:8786",
            "port": 8790,
            "slots": 1,
            "gpu": False,
            "authority": f"{KEYS}/ca.pem",
            "certificate": f"{KEYS}/host.pem",
            "key": f"{KEYS}/host.key",
            "libraries": LIBRARIES,
        }
        paths = [SETTINGS, KEYS, f"{KEYS}/ca.pem", f"{KEYS}/host.pem", f"{KEYS}/host.key"]
        modes = host.inside(["stat", "--format=%U:%G %a", *paths]).stdout.splitlines()
        assert modes == [f"sdops:sdops {mode}" for mode in (600, 700, 644, 644, 600)]
        # What shares jobs out is not in the environment.
        assert host.inside(["readlink", LIBRARIES]).stdout.startswith("fleet-")
        python = [f"{HOME}/miniconda3/envs/env1/bin/python", "-c"]
        assert host.run([*python, "import distributed"], user="sdops", check=False).rc == 1
        load = f"import sys; sys.path.append('{LIBRARIES}'); import distributed"
        host.run([*python, load], user="sdops")


def test_a_key_never_leaves_its_host(joined: Fleet) -> None:
    head, *others = joined.hosts
    keys = {host.name: text(host, f"{KEYS}/host.key") for host in joined.hosts}
    assert len(set(keys.values())) == 3
    assert head.inside(["stat", "--format=%U:%G %a", f"{KEYS}/authority.key"]).stdout == "sdops:sdops 600\n"
    for host in others:
        assert not (host.root / f"{KEYS}/authority.key"[1:]).exists()
    secrets = [*keys.values(), text(head, f"{KEYS}/authority.key")]
    middle = [secret.splitlines()[1] for secret in secrets]
    journals = "".join(host.inside(["journalctl", "--quiet", "--no-pager"]).stdout for host in joined.hosts)
    files = "".join(path.read_text() for path in joined.play.folder.rglob("*") if path.is_file())
    assert [piece for piece in middle if piece in journals + files] == []


def test_certificates_are_what_the_strictest_want(joined: Fleet) -> None:
    for host in joined.hosts:
        assert "host.pem: OK" in openssl(
            host,
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            f"{KEYS}/ca.pem",
            f"{KEYS}/host.pem",
        )
        shown = openssl(host, "x509", "-in", f"{KEYS}/host.pem", "-noout", "-text")
        assert f"IP Address:{private(host)}\n" in shown
        for wanted in ("CA:FALSE", "Digital Signature", "TLS Web Server Authentication, TLS Web Client Auth"):
            assert wanted in shown
        for wanted in ("X509v3 Subject Key Identifier", "X509v3 Authority Key Identifier"):
            assert wanted in shown


def test_it_listens_in_the_private_network_alone(joined: Fleet) -> None:
    for host in joined.hosts:
        lines = host.inside(["ss", "--listening", "--tcp", "--numeric", "--no-header"]).stdout.splitlines()
        places = {line.split()[3] for line in lines}
        ports = {8786, 8790} if host is joined.hosts[0] else {8790}
        others = {
            place for place in places if not place.startswith("127.0.0.1:") and not place.endswith(":22")
        }
        assert others == {f"{private(host)}:{port}" for port in ports}


def test_a_stranger_is_not_let_in(joined: Fleet) -> None:
    head, member, stranger = joined.hosts
    own = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=stranger",
        "-keyout",
        "/tmp/own.key",
        "-out",
        "/tmp/own.pem",
    ]
    openssl(stranger, "req", "-x509", *own)
    for place in (f"{private(head)}:8786", f"{private(head)}:8790", f"{private(member)}:8790"):
        knock = ["s_client", "-connect", place, "-ign_eof"]
        said = openssl(stranger, *knock, "-CAfile", f"{KEYS}/ca.pem")
        assert "alert certificate required" in said
        assert "Verify return code: 0 (ok)" in said
        said = openssl(stranger, *knock, "-cert", "/tmp/own.pem", "-key", "/tmp/own.key")
        assert "alert unknown ca" in said


def test_the_fleet_makes_a_jobs_pictures_together(joined: Fleet, photo: Path) -> None:
    head = joined.hosts[0]
    settings = protocol.Settings(model="demo", steps=4, width=128, seed=7, images=12)
    request = protocol.JobRequest(("photo.jpg",), ("wearing a christmas hat",), settings, batch=1)
    head.put("/srv/photo.jpg", photo.read_bytes())
    head.put("/srv/request.json", request.to_json())

    def call(*words: str) -> list[dict[str, Any]]:
        ran = head.run([makers.LAUNCHER, *words], user="sdops")
        return [json.loads(line) for line in ran.stdout.splitlines()]

    (job,) = call("submit", "/srv/request.json", "/srv/photo.jpg")
    wait_for(lambda: call("jobs")[0]["state"] not in ("queued", "running"), "the job had ended")
    events = call("events", job["job"])
    assert events[-1]["kind"] == "done", events[-1].get("message")
    made = [event for event in events if event["kind"] == "image"]
    assert sorted(event["seed"] for event in made) == list(range(7, 19))
    assert {event["worker"] for event in made} == {f"{host.name}/0" for host in joined.hosts}


# -- what changes


def test_what_somebody_changed_is_mended(joined: Fleet) -> None:
    _, member, other = joined.hosts
    key = text(member, f"{KEYS}/host.key")
    member.inside(["chmod", "644", f"{KEYS}/host.key"])  # it may have been read: it is no secret any more
    systemctl(other, "stop", WORKER)
    mended = joined.run()
    assert mended.on(member).changed == (CERTIFICATE, START[0], START[2])
    assert mended.on(other).changed == (START[2],)
    assert text(member, f"{KEYS}/host.key") != key
    assert joined.run().changed == ()


def test_a_host_is_certified_anew_by_a_head_that_the_run_leaves_out(joined: Fleet) -> None:
    head, member, _ = joined.hosts
    (member.root / f"{KEYS}/host.pem"[1:]).unlink()
    before = process(head, SCHEDULER)
    mended = joined.run("-l", member.name)
    assert mended.changed == (CERTIFICATE, START[0], START[2])
    assert process(head, SCHEDULER) == before
    wait_for(lambda: f"{member.name}/0" in members(head), "it was there again")


def test_a_certificate_is_renewed_in_time(joined: Fleet) -> None:
    """Less than two thirds of 600 days are left of one for a year; of a new one, that and more.

    So whoever runs it twice a year, as the README says, never meets one that has expired.
    """
    keys = [text(host, f"{KEYS}/host.key") for host in joined.hosts]
    assert joined.run("-l", joined.hosts[1].name, fleet_certificate_days=500).changed == ()
    renewed = joined.run(fleet_certificate_days=600)
    head, *others = joined.hosts
    assert renewed.on(head).changed == (CERTIFICATE, *START)
    for host in others:
        assert renewed.on(host).changed == (CERTIFICATE, START[0], START[2])
    assert joined.run(fleet_certificate_days=600).changed == ()
    assert joined.run().changed == ()
    assert [text(host, f"{KEYS}/host.key") for host in joined.hosts] == keys
    wait_for(lambda: len(members(head)) == 3, "all workers had come")


@pytest.mark.slow
def test_another_runtime_is_what_the_services_run_then(joined: Fleet) -> None:
    """As after an upgrade: the role runtime replaces the program, which they were started with."""
    host = joined.hosts[1]
    before = process(host, WORKER)
    host.inside(["sh", "-c", f"echo >>{HOME}/.local/lib/sdops/sdops-runtime.pyz"])
    mended = Play(joined.play.lab, joined.play.folder, "runtime").run(host)
    assert "Start the fleet's services anew" in mended.changed
    wait_for(lambda: process(host, WORKER) not in ("0", before), "it was started anew")
    wait_for(lambda: systemctl(host, "is-active", WORKER, check=False) == "active\n", "it ran")
    assert joined.run().changed == ()
    # A run that broke off after it had written something: the next one sees it.
    host.inside(["touch", SETTINGS])
    before = process(host, WORKER)
    assert joined.run().changed == (START[0], START[2])
    assert process(host, WORKER) != before
    assert joined.run().changed == ()


@pytest.mark.slow
def test_workers_become_more_and_fewer(joined: Fleet) -> None:
    head = joined.hosts[0]
    joined.run("-l", head.name, fleet_slots=2)
    wait_for(lambda: f"{head.name}/1" in members(head), "the second worker had come")
    assert joined.run("-l", head.name, fleet_slots=2).changed == ()
    fewer = joined.run()
    assert fewer.on(head).changed == (STOP, FILES, *START)
    assert "sdops-fleet-worker@1" not in systemctl(head, "list-units", "--all")
    assert joined.run().changed == ()


@pytest.mark.slow
def test_a_fleet_comes_back_with_its_hosts(joined: Fleet) -> None:
    head, member, _ = joined.hosts
    for host in (member, head):
        host.reboot()
    everybody = [f"{host.name}/0" for host in joined.hosts]
    wait_for(lambda: members(head) == everybody, "all workers had come")
    assert joined.run().changed == ()


@pytest.mark.slow
def test_a_service_that_does_not_start_is_told_with_its_reason(joined: Fleet) -> None:
    host = joined.hosts[1]
    systemctl(host, "stop", WORKER)
    host.put(f"{LIBRARIES}/distributed/__init__.py", "raise ImportError('it was damaged')\n")
    refused = joined.run("-l", host.name, ok=False)
    assert refused.failed == (
        "Start the workers, now and whenever the host boots",
        "Say why a service does not start",
    )
    assert f"sdops-fleet-worker@0.service of sdops on {host.name} does not start." in refused.said
    assert "What shares jobs out cannot be loaded: it was damaged." in refused.said
    systemctl(host, "stop", WORKER)
    # Put there anew: what is damaged goes.
    host.inside(["sh", "-c", f"rm -r $(readlink -f {LIBRARIES})"])
    assert joined.run("-l", host.name).changed == (INSTALL, *START[::2])


@pytest.mark.slow
def test_another_head_has_an_authority_of_its_own(joined: Fleet) -> None:
    """The first host is gone from the group: the next one is the head. The one that left works alone."""
    old, head, member = joined.hosts
    groups = {"gpu": [head, member]}
    moved = joined.run(groups=groups)
    assert moved.on(old).changed == ()
    assert moved.on(head).changed == (AUTHORITY, CERTIFICATE, FILES, *START)
    assert moved.on(member).changed == (CERTIFICATE, FILES, START[0], START[2])
    wait_for(lambda: members(head) == [f"{host.name}/0" for host in (head, member)], "both workers had come")
    assert joined.run(groups=groups).changed == ()

    left = joined.run("-l", old.name, groups=groups, fleet_group="")
    assert left.changed
    assert joined.run("-l", old.name, groups=groups, fleet_group="").changed == ()
    assert "sdops-fleet" not in systemctl(old, "list-units", "--all", "*.service")
    assert systemctl(old, "is-active", SERVE) == "active\n"
    assert old.inside(["find", HOME, "-name", "*fleet*", "-not", "-path", f"{HOME}/.cache/*"]).stdout == ""


def test_one_host_alone_is_a_fleet_too(joined: Fleet) -> None:
    """Several GPUs of one host, which may have no private network."""
    host = joined.hosts[0]
    host.inside(["ip", "address", "delete", f"{private(host)}/24", "dev", "eth0"])
    groups = {"gpu": [host]}
    joined.run("-l", host.name, groups=groups, fleet_slots=2)
    assert json.loads(text(host, SETTINGS))["scheduler"] == "127.0.0.1:8786"
    wait_for(lambda: members(host) == [f"{host.name}/0", f"{host.name}/1"], "both workers had come")
    assert joined.run("-l", host.name, groups=groups, fleet_slots=2).changed == ()


def test_teardown_leaves_nothing_of_it(joined: Fleet) -> None:
    host = joined.hosts[1]
    gone = Play(joined.play.lab, joined.play.folder, playbook="teardown.yml")
    assert gone.run(host, sdops_teardown_confirmed=True).changed
    assert host.inside(["find", "/", "-xdev", "-uid", "1000", "-not", "-path", "/proc/*"]).stdout == ""
    assert host.inside(["pgrep", "-u", "1000"], check=False).stdout == ""
