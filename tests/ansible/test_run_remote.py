"""`sdops run` on real hosts, with a real worker and the demo model; links are cut and keys pressed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import makers
import pytest
from hosts.fixtures import do_without, need_release
from hosts.machine import UnavailableError
from people import Person, wait_for
from PIL import Image

pytestmark = pytest.mark.hosts

#: A picture in a tenth of a second.
SMALL = ("--model", "demo", "--width", "128", "--steps", "4", "--strength", "0.5")
QUEUE = "home/sdops/.local/share/sdops"


@pytest.fixture(scope="module")
def fleet(lab, guide, tmp_path_factory):
    need_release("bookworm")
    try:
        with makers.several(lab, guide, tmp_path_factory.mktemp("fleet"), 3) as hosts:
            yield hosts
    except UnavailableError as reason:
        do_without(reason)


@pytest.fixture
def person(lab, fleet, tmp_path, photo):
    one = Person.of(lab, tmp_path / "her", *fleet, groups={"gpu": fleet})
    shutil.copy(photo, one.folder / "photo.jpg")
    return one


@pytest.fixture
def host(fleet):
    return fleet[0]


def jobs_of(host):
    """State by name, as the host's queue has it."""
    place = host.root / QUEUE
    # Copied: SQLite follows links, and the way to the host's root is one.
    with tempfile.TemporaryDirectory() as folder:
        for name in ("queue.sqlite", "queue.sqlite-wal"):
            with suppress(FileNotFoundError):
                shutil.copy(place / name, folder)
        base = sqlite3.connect(f"{folder}/queue.sqlite")
        try:
            return dict(base.execute("SELECT id, state FROM jobs ORDER BY number").fetchall())
        except sqlite3.Error:  # not there yet, or just being written
            return {}
        finally:
            base.close()


def newest(host):
    return list(jobs_of(host))[-1]


def events(host, job, kind):
    path = host.root / QUEUE / "jobs" / job / "events.ndjson"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def told(host, job):
    """Digest of each picture of a job, by name, as its host tells it."""
    return {event["name"]: event["sha256"] for event in events(host, job, "image")}


def here(folder):
    """Digest of each picture in a folder, by name; nothing else but their manifest lies there."""
    names = [path for path in folder.iterdir() if path.name != "sdops.ndjson"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def stored(host):
    """The inputs that a host keeps."""
    folder = host.root / QUEUE / "inputs"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_pictures_come_as_the_host_made_them_and_the_model_is_loaded_once(person, host, photo, guide):
    words = ("run", "photo.jpg", "a hat", *SMALL, "--images", "3", "--seed", "7", "--host", host.name)
    first = person.sdops(*words, "--out", "one")
    assert first.rc == 0, first.stdout + first.stderr
    sent = stored(host)
    second = person.json(*words, "--out", "two")
    assert (second["ok"], second["end"], second["on"]) == (True, "done", host.name)
    assert second["host"]["seconds"] == 0  # it was loaded
    assert stored(host) == sent  # and the photograph was there
    made = here(person.folder / "one")
    assert made == here(person.folder / "two") == told(host, newest(host))
    assert sorted(made) == ["photo-7.png", "photo-8.png", "photo-9.png"]
    # The very pictures that the same libraries make of the photograph itself.
    own = person.folder / "request.json"
    request = json.loads((host.root / QUEUE / "jobs" / newest(host) / "request.json").read_text())
    own.write_text(json.dumps({**request, "prepared": None}))
    command = [
        makers.VENV / "bin/python",
        "-m",
        "sdops_runtime",
        "run",
        own,
        photo,
        "--out",
        person.folder / "own",
    ]
    person.lab.controller.run(command, env=makers.environment(guide.cache))
    assert here(person.folder / "own") == made


def test_one_bad_file_fails_its_pictures_and_not_the_job(person, host):
    (person.folder / "bad.jpg").write_text("not a picture")
    words = (
        "run",
        "bad.jpg",
        "photo.jpg",
        "-p",
        "a hat",
        "-p",
        "a cat",
        *SMALL,
        "--seed",
        "7",
        "--out",
        "out",
    )
    ran = person.json(*words, "--host", host.name)
    assert not ran["ok"]
    assert [one["code"] for one in ran["failed"]] == ["image-unreadable"] * 2
    assert [(one["input"], one["prompt"]) for one in ran["failed"]] == [
        ("bad.jpg", "a hat"),
        ("bad.jpg", "a cat"),
    ]
    assert sorted(here(person.folder / "out")) == ["photo-10.png", "photo-9.png"]
    again = person.sdops("run", "bad.jpg", "-p", "x", *SMALL, "--out", "none", "--host", host.name)
    assert (again.rc, "bad.jpg" in again.stderr) == (2, True)
    assert "Job" not in again.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("photo.jpg", "a hat", "--strength", "7"), "settings-invalid"),
        (("photo.jpg", "a hat", "--width", "130"), "settings-invalid"),
        (("photo.jpg", " "), "prompt-empty"),
        (("missing.jpg", "-p", "a hat"), "image-missing"),
        (("bad.jpg", "-p", "a hat"), "image-unreadable"),
        (("photo.jpg", "a hat", "--out", "photo.jpg/x"), "output-unwritable"),
        (("photo.jpg", "a hat", "--seed", "7"), "output-exists"),
        (("photo.jpg", "a hat", "--device", "cuda"), "usage"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_is_answered_before_anything_is_sent(person, host, words, code):
    (person.folder / "bad.jpg").write_text("not a picture")
    (person.folder / "photo-7.png").write_text("somebody's own")
    before = jobs_of(host)
    # A host that is off would not be noticed.
    host.cut()
    try:
        ran = person.json("run", *words, "--model", "demo", "--host", host.name)
    finally:
        host.restore()
    assert (ran["ok"], ran["error"]["code"]) == (False, code)
    assert jobs_of(host) == before
    assert (person.folder / "photo-7.png").read_text() == "somebody's own"


def big_photo(path):
    """A photograph whose fitted form is some hundred kB."""
    noise = Image.merge("RGB", [Image.effect_noise((1200, 800), 90) for _ in range(3)])
    noise.save(path, quality=90)


def outputs(host, job, folder):
    return told(host, job) == here(folder)


#: Who is in the middle of what, and how that is told from outside. A second's worth of a slow link each.
MOMENTS = {
    "upload": (
        ("noise.jpg", "a hat", "--width", "512", "--steps", "2", "--strength", "0.6"),
        lambda host, folder: list((host.root / QUEUE).glob("inputs/.*.part")),
    ),
    "generation": (
        ("photo.jpg", "a hat", "--width", "128", "--steps", "50", "--strength", "0.9", "--images", "8"),
        lambda host, folder: events(host, newest(host), "step"),
    ),
    "download": (
        ("noise.jpg", "a hat", "--width", "384", "--steps", "2", "--strength", "0.6", "--images", "3"),
        lambda host, folder: jobs_of(host) and told(host, newest(host)) and not list(folder.glob("*.png")),
    ),
}


@pytest.mark.parametrize("seconds", [5, 45, pytest.param(300, marks=pytest.mark.slow)])
def test_a_cut_link_loses_nothing_wherever_it_is_cut(lab, fleet, tmp_path, photo, seconds):
    def suffer(number, moment):
        host, (words, there) = fleet[number], MOMENTS[moment]
        person = Person.of(lab, tmp_path / moment, host)
        shutil.copy(photo, person.folder / "photo.jpg")
        big_photo(person.folder / "noise.jpg")
        out = person.folder / "out"
        host.link.shape(rate="1mbit")
        try:
            before = set(jobs_of(host))
            running = person.start(
                "run", *words, "--model", "demo", "--seed", "7", "--host", host.name, "--out", "out"
            )
            wait_for(lambda: moment == "upload" or set(jobs_of(host)) - before or running.ended(), moment)
            wait_for(lambda: there(host, out) or running.ended(), moment)
            assert not running.ended(), running.err
            host.cut()
            # Nothing arrives meanwhile; what is to be waited for is time.
            wait_for_seconds(seconds)
            host.restore()
            assert running.wait(200) == 0, running.err
        finally:
            host.restore()
            host.link.shape()
        assert [state for job, state in jobs_of(host).items() if job not in before] == ["done"]
        assert told(host, newest(host)) == here(out)
        assert ("trying to reach it again" in running.err) == (seconds > 30), running.err

    with ThreadPoolExecutor(3) as pool:
        for one in [pool.submit(suffer, number, moment) for number, moment in enumerate(MOMENTS)]:
            one.result()


def wait_for_seconds(seconds):
    import time

    time.sleep(seconds)


def long_job(person, host, *words, images=1000, name="command"):
    """A job that makes its first picture at once, and takes a minute, to be cancelled by whoever began it."""
    asked = ("run", "photo.jpg", "a hat", *SMALL, "--steps", "16", "--images", images, "--seed", "7")
    before = set(jobs_of(host))
    running = person.start(*asked, "--out", "out", "--host", host.name, *words, name=name)
    job = wait_for(lambda: next(iter(set(jobs_of(host)) - before), None), "the job")
    wait_for(lambda: told(host, job), "a picture")
    return running, job


def test_ctrl_c_leaves_the_job_to_its_host_and_attach_fetches_the_rest(person, host):
    running, job = long_job(person, host, images=150)
    running.press()
    assert running.wait() == 130
    assert f"sdops attach {job}" in running.err
    assert "Traceback" not in running.err
    assert jobs_of(host)[job] == "running"
    attached = person.sdops("attach")
    assert attached.rc == 0, attached.stderr
    assert told(host, job) == here(person.folder / "out")
    assert len(told(host, job)) == 150


def test_ctrl_c_twice_cancels_and_keeps_what_was_made(person, host):
    running, job = long_job(person, host, "--json")
    running.press()
    wait_for_seconds(0.5)
    running.press()
    assert running.wait() == 130
    document = json.loads(running.out)
    assert (document["end"], jobs_of(host)[job]) == ("cancelled", "cancelled")
    assert told(host, job) == here(person.folder / "out")
    assert len(document["missing_seeds"]) == 1000 - len(document["pictures"]) > 0


def test_ctrl_c_before_anything_was_sent_leaves_no_job(person, host):
    before = jobs_of(host)
    host.cut()
    try:
        running = person.start("run", "photo.jpg", "a hat", *SMALL, "--host", host.name)
        wait_for_seconds(2)
        running.press()
        assert running.wait(20) == 130
    finally:
        host.restore()
    assert "Interrupted." in running.err
    assert "Traceback" not in running.err
    assert jobs_of(host) == before
    assert list((person.folder / ".local/state/sdops/jobs").iterdir()) == []


def test_a_detached_job_is_followed_from_another_machine_by_the_end_of_its_name(
    person, lab, host, fleet, tmp_path
):
    ran = person.sdops(
        "run", "photo.jpg", "a hat", *SMALL, "--seed", "7", "--images", "2", "--detach", "--host", host.name
    )
    job = ran.stdout.strip()
    assert (ran.rc, job) == (0, newest(host))
    other = Person.of(lab, tmp_path / "other", *fleet)
    attached = other.sdops("attach", job[-8:], "--out", "got")
    assert attached.rc == 0, attached.stderr
    assert here(other.folder / "got") == told(host, job)
    # What is there is not fetched again, and what is somebody's own is not replaced.
    (other.folder / "got" / "photo-7.png").write_text("my own")
    again = other.sdops("fetch", job, "--out", "got")
    assert again.rc == 1
    assert "photo-7.png is there already" in " ".join(again.stderr.split())
    assert (other.folder / "got" / "photo-7.png").read_text() == "my own"
    assert other.sdops("fetch", job, "--out", "got", "--overwrite").rc == 0
    assert here(other.folder / "got") == told(host, job)


def test_fetch_brings_what_is_there_and_does_not_wait(person, host):
    running, job = long_job(person, host)
    running.press()
    running.wait()
    fetched = person.sdops("fetch", job, "--out", "some")
    assert fetched.rc == 0, fetched.stderr
    some = here(person.folder / "some")
    assert some.items() <= told(host, job).items()
    assert some
    assert "pictures so far" in fetched.stderr
    cancelled = person.sdops("cancel", job)
    assert (cancelled.rc, job in cancelled.stderr) == (0, True)
    wait_for(lambda: jobs_of(host)[job] == "cancelled", "the end")


def test_a_job_that_waits_is_cancelled_at_once_and_jobs_and_logs_tell_of_it(person, host):
    running, job = long_job(person, host)
    ran = person.sdops(
        "run",
        "photo.jpg",
        "a [bold]hat[/bold] \x1b[31m",
        *SMALL,
        "--seed",
        "9",
        "--detach",
        "--host",
        host.name,
    )
    waits = ran.stdout.strip()
    assert person.sdops("cancel", waits).stderr == f"{waits} on {host.name} is cancelled.\n"
    listed = person.json("jobs", "--host", host.name)
    states = {one["job"]: one["state"] for one in listed["hosts"][0]["jobs"]}
    assert (states[job], states[waits]) == ("running", "cancelled")
    shown = person.sdops("jobs", "--host", host.name)
    assert shown.rc == 0
    assert "a [bold]hat[/bold] \N{REPLACEMENT CHARACTER}[31m" in shown.stdout
    running.press()
    wait_for_seconds(0.3)
    running.press()
    running.wait()
    log = person.sdops("logs", job, "--worker", "3")
    assert (log.rc, "Cancelled: " in log.stdout, "photo-7.png in " in log.stdout) == (0, True, True)


def test_of_a_group_the_least_busy_host_is_taken_and_one_that_is_off_is_left_out(person, fleet):
    running, _ = long_job(person, fleet[0])
    fleet[1].cut()
    try:
        ran = person.sdops("run", "photo.jpg", "a hat", *SMALL, "--host", "gpu", "--out", "elsewhere")
    finally:
        fleet[1].restore()
    assert ran.rc == 0, ran.stderr
    assert f"on {fleet[2].name}" in ran.stderr
    assert f"Note: {fleet[1].name}" in ran.stderr
    running.press()
    wait_for_seconds(0.3)
    running.press()
    running.wait()


def test_prune_removes_what_ended_and_was_fetched(person, host):
    ran = person.sdops("run", "photo.jpg", "a hat", *SMALL, "--host", host.name, "--out", "fetched")
    assert ran.rc == 0
    fetched = newest(host)
    left = person.sdops("run", "photo.jpg", "a hat", *SMALL, "--host", host.name, "--detach").stdout.strip()
    wait_for(lambda: jobs_of(host)[left] == "done", "the end")
    pruned = person.json("prune", "--days", "0", "--host", host.name)
    (told_of,) = pruned["hosts"]
    assert fetched in told_of["removed"]
    assert left in told_of["kept"]
    assert fetched not in jobs_of(host)
    assert left in jobs_of(host)
    assert (
        left in person.json("prune", "--days", "0", "--unfetched", "--host", host.name)["hosts"][0]["removed"]
    )
    assert stored(host) == []
