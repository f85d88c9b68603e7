"""`sdops run` where the account's systemd runs no service: a worker of its own makes the pictures."""

from __future__ import annotations

import json
import shutil

import pytest
from people import Person, wait_for

pytestmark = pytest.mark.hosts

SMALL = ("--model", "demo", "--width", "96", "--steps", "4", "--strength", "0.5")
LAUNCHER = "/home/sdops/.local/bin/sdops-runtime"
UNIT = "/home/sdops/.config/systemd/user/sdops-runtime.service"

#: The account has its systemd neither at the boot nor when somebody logs in.
ALONE = f"""systemctl --user -M sdops@ stop sdops-runtime
rm -f {UNIT} /var/lib/systemd/linger/sdops
systemctl stop user@$(id -u sdops).service
systemctl mask --runtime user@$(id -u sdops).service
# Not ten minutes, for the test.
sed -i '/^exec /i [ "$1" != serve ] || set -- "$@" --idle 4' {LAUNCHER}
"""


@pytest.fixture(scope="module")
def alone(maker):
    maker.inside(["sh", "-ec", ALONE])
    return maker


@pytest.fixture
def person(lab, alone, tmp_path, photo):
    one = Person.of(lab, tmp_path / "her", alone)
    shutil.copy(photo, one.folder / "photo.jpg")
    return one


def workers(host):
    """The workers that run, by process id."""
    return host.inside(["pgrep", "-u", "sdops", "-f", "serve --leave"], check=False).stdout.split()


def sessions(host):
    """The connections of the account that are open."""
    return host.inside(["pgrep", "-f", "sshd: sdops|runtime.pyz attend"], check=False).stdout.split()


def state(host, job):
    lines = host.run([LAUNCHER, "jobs"], user="sdops").stdout.splitlines()
    return {one["job"]: one["state"] for one in map(json.loads, lines)}[job]


def test_a_job_goes_on_when_the_connection_has_ended_and_its_worker_leaves(person, alone):
    ran = person.sdops(
        "run", "photo.jpg", "a hat", *SMALL, "--images", "60", "--seed", "7", "--detach", "--host", alone.name
    )
    assert ran.rc == 0, ran.stderr
    job = ran.stdout.strip()
    wait_for(lambda: not sessions(alone), "the end of the connection")
    (worker,) = workers(alone)
    assert state(alone, job) in ("queued", "running")
    wait_for(lambda: state(alone, job) == "done", "the end")
    assert workers(alone) == [worker]
    fetched = person.sdops("attach", job, "--out", "out")
    assert fetched.rc == 0, fetched.stderr
    assert len(list((person.folder / "out").glob("*.png"))) == 60
    log = person.sdops("logs", job, "--worker", "5")
    assert '"serving"' in log.stdout
    wait_for(lambda: not workers(alone), "the worker to leave")


def test_a_second_job_finds_the_worker_or_starts_one(person, alone):
    for number in range(3):
        ran = person.sdops(
            "run", "photo.jpg", "a hat", *SMALL, "--seed", str(number), "--out", "more", "--host", alone.name
        )
        assert ran.rc == 0, ran.stderr
        assert len(workers(alone)) == 1


def test_a_worker_that_is_killed_is_started_by_whoever_follows(person, alone):
    running = person.start(
        *("run", "photo.jpg", "a hat", *SMALL, "--images", "150", "--out", "out", "--host", alone.name)
    )
    wait_for(lambda: list((person.folder / "out").glob("*.png")) or running.ended(), "a picture")
    (worker,) = workers(alone)
    alone.inside(["kill", "-9", worker])
    assert running.wait() == 0, running.err
    assert len(list((person.folder / "out").glob("*.png"))) == 150
    (other,) = workers(alone)
    assert other != worker
