"""Jobs on a real host live through reboots, power cuts and full disks, and many clients at once."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess

import makers
import pytest
from hosts.fixtures import do_without, need_release
from hosts.machine import UnavailableError
from people import Person, wait_for
from PIL import Image, ImageChops

from .test_run_remote import SMALL, events, here, jobs_of, newest, told

pytestmark = pytest.mark.hosts

CLIENTS, EACH = 10, 10


@pytest.fixture(scope="module")
def host(lab, guide, tmp_path_factory):
    need_release("bookworm")
    try:
        with makers.several(lab, guide, tmp_path_factory.mktemp("durable"), disk="300M") as (one,):
            yield one
    except UnavailableError as reason:
        do_without(reason)


@pytest.fixture
def person(lab, host, tmp_path, photo):
    one = Person.of(lab, tmp_path / "her", host)
    shutil.copy(photo, one.folder / "photo.jpg")
    return one


def job_words(host, seed, images, out):
    common = ("run", "photo.jpg", "a hat", *SMALL, "--seed", seed, "--images", images)
    return (*common, "--out", out, "--host", host.name)


def submitted(person, host, seed, images):
    """The name of a job that was given to the host."""
    ran = person.sdops(*job_words(host, seed, images, "out"), "--detach")
    assert ran.rc == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize("end", ["reboot", "power cut"])
def test_what_ran_and_what_waited_ends_by_itself_after_a_boot(person, host, end):
    assert person.sdops(*job_words(host, 7, 40, "expected")).rc == 0
    expected = here(person.folder / "expected")
    first, second = submitted(person, host, 7, 40), submitted(person, host, 7, 40)
    wait_for(lambda: told(host, first), "a picture")
    before = told(host, first)
    if end == "reboot":
        host.reboot()
    else:
        host.kill()
        host.start()
    assert before.items() <= told(host, first).items()
    wait_for(lambda: jobs_of(host).get(second) == "done", "the end", 180)
    assert told(host, first) == told(host, second) == expected
    # In order, and each with one end.
    ends = [events(host, one, "done") for one in (first, second)]
    assert [len(one) for one in ends] == [1, 1]
    assert ends[0][0]["at"] <= ends[1][0]["at"]
    attached = person.sdops("attach", first, "--out", "got")
    assert attached.rc == 0, attached.stderr
    assert here(person.folder / "got") == expected


def test_while_the_disk_is_full_a_job_waits_and_that_is_said(person, host):
    assert person.sdops(*job_words(host, 7, 60, "expected")).rc == 0
    expected = here(person.folder / "expected")
    known = set(jobs_of(host))
    running = person.start(*job_words(host, 7, 60, "out"))
    job = wait_for(lambda: next(iter(set(jobs_of(host)) - known), None), "the job")
    wait_for(lambda: told(host, job), "a picture")
    # All that is left, in root's hands.
    host.inside(["sh", "-c", "head -c 1G /dev/zero >/full 2>/dev/null || true"])
    try:
        rc = running.wait(180)
        assert (rc, "disk" in running.err, "is full" in running.err) == (1, True, True), running.err
        assert f"sdops attach {job}" in running.err
        assert "Traceback" not in running.err
        assert not events(host, job, "failed")
        assert told(host, job).items() <= expected.items()
    finally:
        host.inside(["rm", "/full"])
    attached = person.sdops("attach", job)
    assert attached.rc == 0, attached.stderr
    assert here(person.folder / "out") == told(host, job) == expected
    out = host.root / "home/sdops/.local/share/sdops/jobs" / job / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(expected)


def client(lab, host, request):
    """A client that submits jobs over one connection; the names, in its order."""
    word = f"sdops-{secrets.token_hex(8)}"
    argv = lab.controller.ssh_argv(host.name, [makers.LAUNCHER, "attend", word], user="sdops")
    names = [f"20260101-000000-{secrets.token_hex(4)}" for _ in range(EACH)]
    lines = [json.dumps({"do": "submit", "job": name, "request": request}) + "\n" for name in names]
    process = lab.controller.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write("".join(lines).encode())
    process.stdin.close()
    return names, process


def test_a_hundred_jobs_from_ten_clients_at_once_run_once_each_in_each_clients_order(person, lab, host):
    assert person.sdops(*job_words(host, 7, 1, "first")).rc == 0
    place = host.root / "home/sdops/.local/share/sdops/jobs" / newest(host)
    request = json.loads((place / "request.json").read_text())
    ask = ["systemctl", "--user", "show", "--property=MainPID", "--value", "sdops-runtime"]
    pid = host.run(ask, user="sdops").stdout.strip()

    def memory():
        status = host.inside(["cat", f"/proc/{pid}/status"]).stdout
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    before = memory()
    known = set(jobs_of(host))
    clients = [client(lab, host, request) for _ in range(CLIENTS)]
    for names, process in clients:
        answers = [json.loads(line) for line in process.stdout.read().splitlines() if line.startswith(b"{")]
        process.stdout.close()
        assert process.wait(60) == 0
        assert [one["job"] for one in answers if one["kind"] == "job"] == names
    everyone = [name for names, _ in clients for name in names]
    wait_for(lambda: all(jobs_of(host).get(name) == "done" for name in everyone), "the end", 240)
    order = [job for job in jobs_of(host) if job not in known]
    assert sorted(order) == sorted(everyone)
    for names, _ in clients:
        assert [job for job in order if job in names] == names
    ended = [events(host, job, "done") for job in order]
    assert [len(one) for one in ended] == [1] * len(order)
    # They share batches, in which they end together; they begin in their order.
    times = [events(host, job, "loading")[0]["at"] for job in order]
    assert times == sorted(times)
    # The same picture: a batch, and a place in it, change it by rounding.
    with Image.open(place / "out/photo-7.png") as alone:
        for job in order:
            assert list(told(host, job)) == ["photo-7.png"]
            with Image.open(place.parent / job / "out/photo-7.png") as made:
                assert max(most for _, most in ImageChops.difference(made, alone).getextrema()) <= 1
    # A hundred jobs with a model of a few MB: what stays behind of each would show.
    assert memory() - before < 64, f"{before:.0f} MiB before, {memory():.0f} MiB after"
