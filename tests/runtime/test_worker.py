"""The worker: a model that stays warm, and jobs that go on where they were, to the same bytes. Python 3.9."""

import dataclasses
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sdops_runtime import job, queue, worker
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.jobfolder import Journal
from sdops_runtime.pipeline import Engine
from sdops_runtime.protocol import Event, JobRequest, Settings

RUNTIME = Path(__file__).parents[2] / "runtime"
SETTINGS = Settings(model="demo", width=64, height=64, steps=4, strength=0.5, seed=7)


def request(images=1, **settings):
    values = {**vars(SETTINGS), "images": images, **settings}
    return JobRequest(("photo.jpg",), ("a hat",), Settings(**values))


@pytest.fixture
def place(tmp_path, libraries, demo_folder):
    return queue.Queue(tmp_path / "sdops")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(worker, "PAUSE", 0.02)
    monkeypatch.setattr(worker, "RETRY", 0.05)


def wait(condition, timeout=60):
    """Waits until a condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


class Serving:
    """A worker that serves in a thread while the block lasts."""

    def __init__(self, place, **options):
        self.worker = worker.Worker(place, "cpu", **options)
        self._thread = threading.Thread(target=self.worker.serve)

    def __enter__(self):
        self._thread.start()
        return self.worker

    def __exit__(self, *_):
        self.worker.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()


def state(place, one):
    return place.job(one.id).state


def kinds(one):
    return [event.kind for event in one.events() if event.kind not in ("notice", "step")]


def pictures(one):
    """The digest of each finished picture, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in one.out.glob("*.png")}


def told(one):
    """What the events tell of the pictures: the same."""
    return {event.data["name"]: event.data["sha256"] for event in one.events() if event.kind == "image"}


def test_jobs_run_in_order_and_the_second_finds_the_model_loaded(place, photo, quick, monkeypatch):
    loads = []
    load = job.load
    monkeypatch.setattr(job, "load", lambda *words: loads.append(words[0].model) or load(*words))
    jobs = [place.submit(request(2), [photo]), place.submit(request(seed=9), [photo])]
    with Serving(place):
        wait(lambda: state(place, jobs[1]) == "done")
    assert loads == ["demo"]
    assert kinds(jobs[0]) == ["loading", "loaded", "planned", "image", "image", "done"]
    assert [pictures(one) for one in jobs] == [told(one) for one in jobs]
    assert sorted(pictures(jobs[0])) == ["photo-7.png", "photo-8.png"]
    (loaded,) = [event for event in jobs[1].events() if event.kind == "loaded"]
    assert loaded.data["seconds"] == 0


def test_a_job_that_fails_has_its_reason_and_the_next_one_runs(place, photo, quick, tmp_path):
    (tmp_path / "broken.jpg").write_text("no image")
    bad = place.submit(request(), [tmp_path / "broken.jpg"])
    odd = place.submit(request(), [photo])
    (odd.folder / "request.json").write_text("{")
    good = place.submit(request(), [photo])
    with Serving(place):
        wait(lambda: state(place, good) == "done")
    assert (state(place, bad), state(place, odd)) == ("failed", "failed")
    assert bad.events()[-1].data["code"] == "image-unreadable"
    assert odd.events()[-1].data["code"] == "request-invalid"


def test_told_to_stop_it_finishes_the_picture_in_hand_and_the_next_one_goes_on(place, photo, quick):
    whole = place.submit(request(4), [photo])
    with Serving(place):
        wait(lambda: state(place, whole) == "done")
    halved = place.submit(request(4), [photo])
    with Serving(place):
        wait(lambda: "image" in kinds(halved))
    assert state(place, halved) == "queued"
    assert 1 <= len(pictures(halved)) < 4
    first = told(halved)
    with Serving(place):
        wait(lambda: state(place, halved) == "done")
    assert pictures(halved) == told(halved) == pictures(whole)
    assert [event.data["name"] for event in halved.events() if event.kind == "image"][: len(first)] == list(
        first
    )
    assert [kind for kind in kinds(halved) if kind == "done"] == ["done"]
    assert halved.events()[-1].data["images"] == 4


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(place, photo, quick):
    runs, waits = place.submit(request(50), [photo]), place.submit(request(), [photo])
    place.cancel(waits.id)
    with Serving(place):
        wait(lambda: "image" in kinds(runs))
        place.cancel(runs.id)
        wait(lambda: state(place, waits) == "cancelled")
    assert state(place, runs) == "cancelled"
    assert kinds(waits)[-1] == "cancelled"
    last = runs.events()[-1]
    assert last.data["images"] == len(pictures(runs)) == 50 - len(last.data["missing"])


def test_an_end_that_was_told_and_not_written_down_is_kept(place, photo, quick):
    one = place.submit(request(), [photo])
    journal = Journal(one)
    journal.append(Event("done", {"images": 1}))
    journal.close()
    with Serving(place):
        wait(lambda: state(place, one) == "done")
    assert kinds(one) == ["done"]


def test_while_events_cannot_be_written_the_job_waits(place, photo, quick, monkeypatch):
    append, full = Journal.append, [3]

    def sometimes(self, event):
        if event.kind == "image" and full[0]:
            full[0] -= 1
            raise OSError(28, "No space left on device")
        append(self, event)

    monkeypatch.setattr(Journal, "append", sometimes)
    one = place.submit(request(), [photo])
    with Serving(place):
        wait(lambda: state(place, one) == "done")
    assert full == [0]
    assert pictures(one) == told(one)
    assert [kind for kind in kinds(one) if kind in ("image", "done", "failed")] == ["image", "done"]


def test_an_idle_worker_gives_the_models_memory_back(place, photo, quick):
    one = place.submit(request(), [photo])
    with Serving(place, idle=0.2) as serving:
        wait(lambda: state(place, one) == "done")
        wait(lambda: not serving._warm.holds)
        again = place.submit(request(), [photo])
        wait(lambda: state(place, again) == "done")
    assert pictures(again) == pictures(one)


def test_there_is_one_worker(place, quick):
    with Serving(place):
        wait(lambda: place_is_taken(place))
    assert not place_is_taken(place)


def place_is_taken(place):
    try:
        with place.serving():
            return False
    except SdopsError as error:
        assert error.code == "worker-running"
        return True


def command(tmp_path, *words):
    """A command of the runtime as a process, with its queue below tmp_path."""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "PYTHONPATH": str(RUNTIME)}
    return [sys.executable, "-m", "sdops_runtime", *words], environment


def call(tmp_path, *words):
    argv, environment = command(tmp_path, *words)
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]


def test_killed_at_any_moment_no_picture_is_lost_and_none_has_other_bytes(place, photo, tmp_path, quick):
    whole = place.submit(request(6), [photo])
    with Serving(place):
        wait(lambda: state(place, whole) == "done")
    expected = pictures(whole)
    argv, environment = command(tmp_path, "serve", "--device", "cpu")
    one = place.submit(request(6), [photo])
    kept = {}
    # After so many pictures, and a little later, in the middle of the next one.
    for after, later in ((0, 0.05), (2, 0.0), (3, 0.02)):
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE)
        wait(lambda after=after: len(told(one)) >= after and "loaded" in kinds(one))
        time.sleep(later)
        process.kill()
        process.wait(30)
        process.stdout.close()
        assert state(place, one) == "running"
        assert kept.items() <= pictures(one).items()
        kept = pictures(one)
        assert kept.items() <= expected.items()
    with Serving(place):
        wait(lambda: state(place, one) == "done")
    assert pictures(one) == told(one) == expected


def test_the_commands_speak_json_and_stop_by_signal(photo, tmp_path, libraries, demo_folder):
    (tmp_path / "request.json").write_text(request().to_json())
    code, (accepted,) = call(tmp_path, "submit", str(tmp_path / "request.json"), str(photo))
    assert (code, accepted["state"]) == (0, "queued")
    name = accepted["job"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        argv, environment = command(tmp_path, "serve", "--device", "cpu")
        environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        assert systemd.recv(100) == b"READY=1"
        assert json.loads(process.stdout.readline())["kind"] == "serving"
        place = queue.Queue(tmp_path / "sdops")
        wait(lambda: place.job(name).state == "done")
        warm = json.loads(process.stdout.readline())
        # From the start of the process to the loaded model, of which importing the libraries is the most.
        assert (warm["kind"], warm["model"]) == ("warm", "demo")
        assert warm["seconds"] > warm["loading"] > 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process.stdout.close()
        said = []
        while b"STOPPING=1" not in said:
            said.append(systemd.recv(100))
    assert f"STATUS=Making pictures of job {name}".encode() in said
    assert [line["state"] for line in call(tmp_path, "jobs")[1]] == ["done"]
    assert call(tmp_path, "events", name)[1][-1]["kind"] == "done"
    assert call(tmp_path, "cancel", name)[1][0]["state"] == "done"
    code, (said,) = call(tmp_path, "cancel", "nobody")
    assert (code, said["code"]) == (2, "job-unknown")


def test_waiting_jobs_of_equal_settings_share_batches_and_keep_their_own_files(
    place, photo, quick, monkeypatch
):
    runs, make = [], Engine.make
    monkeypatch.setattr(
        Engine,
        "make",
        lambda self, draws, *rest, **named: runs.append(len(draws)) or make(self, draws, *rest, **named),
    )
    jobs = [place.submit(request(2, seed=100 * number), [photo]) for number in range(8)]
    other = place.submit(request(2, strength=0.9), [photo])
    with Serving(place):
        wait(lambda: state(place, other) == "done")
    assert [state(place, one) for one in jobs] == ["done"] * 8
    assert [pictures(one) for one in jobs] == [told(one) for one in jobs]
    assert [len(pictures(one)) for one in jobs] == [2] * 8
    assert runs == [4, 4, 4, 4, 1, 1]
    chosen = [next(event.data for event in one.events() if event.kind == "loaded") for one in jobs]
    assert [(data["batch"], data["first"]) for data in chosen] == [(4, 0), (4, 2)] * 4
    assert kinds(jobs[1]) == ["loading", "loaded", "planned", "image", "image", "done"]
    # Each alone, with the same batch size and slots: the same bytes.
    for one, data in zip(jobs, chosen):
        alone = dataclasses.replace(one.request(), batch=data["batch"], first=data["first"])
        out = place.root / "alone" / one.id
        job.run(alone, [photo], Place(out, "cpu"), lambda event: None)
        made = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}
        assert made == pictures(one)


def test_a_guest_is_told_what_was_lowered_for_its_host(place, photo, quick, monkeypatch):
    plan = Engine.plan

    def lowering(self, *words):
        found = plan(self, *words)
        self.lowered = ("Less at a time.",)
        return found

    monkeypatch.setattr(Engine, "plan", lowering)
    jobs = [
        place.submit(dataclasses.replace(request(2), batch=4), [photo]),
        place.submit(request(2), [photo]),
    ]
    with Serving(place):
        wait(lambda: [state(place, one) for one in jobs] == ["done"] * 2)
    for one in jobs:
        assert [event.data["message"] for event in one.events() if event.kind == "notice"].count(
            "Less at a time."
        ) == 1


def test_a_guest_that_is_cancelled_or_cannot_be_written_does_not_disturb_its_host(
    place, photo, quick, monkeypatch
):
    whole = place.submit(dataclasses.replace(request(2), batch=4), [photo])
    with Serving(place):
        wait(lambda: state(place, whole) == "done")
    host = place.submit(dataclasses.replace(request(2), batch=4), [photo])
    full, cancelled = place.submit(request(), [photo]), place.submit(request(), [photo])
    append, left = Journal.append, [1]

    def sometimes(self, event):
        if str(full.folder) in self._file.name and event.kind == "image" and left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        if str(cancelled.folder) in self._file.name and event.kind == "step":
            place.cancel(cancelled.id)
        append(self, event)

    monkeypatch.setattr(Journal, "append", sometimes)
    with Serving(place):
        wait(lambda: {state(place, one) for one in (full, cancelled)} == {"done", "cancelled"})
    assert left == [0]
    assert state(place, host) == "done"
    assert pictures(host) == pictures(whole) == told(host)
    assert kinds(cancelled)[-1] == "cancelled"
    assert pictures(full) == told(full)
    assert [kind for kind in kinds(full) if kind in ("image", "done")] == ["image", "done"]


def test_a_guest_is_what_it_was_after_its_host_was_killed(place, photo, tmp_path, quick):
    def both():
        return [
            place.submit(dataclasses.replace(request(2, steps=20), batch=4), [photo]),
            place.submit(request(3, steps=20, seed=50), [photo]),
        ]

    first = both()
    with Serving(place):
        wait(lambda: state(place, first[1]) == "done")
    second = both()
    argv, environment = command(tmp_path, "serve", "--device", "cpu")
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE)
    wait(lambda: "loaded" in kinds(second[1]))
    process.kill()
    process.wait(30)
    process.stdout.close()
    with Serving(place):
        wait(lambda: state(place, second[1]) == "done")
    assert [pictures(one) for one in second] == [pictures(one) for one in first]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_job_goes_on_with_what_was_chosen_for_it(place, photo, quick, monkeypatch, compiled):
    """Batch, slots and whether the model is compiled decide on bytes."""
    one = place.submit(request(8), [photo])
    journal = Journal(one)
    journal.append(Event("loading", {"model": "demo"}))
    journal.append(Event("loaded", {"batch": 4, "first": 1, "compiled": compiled}))
    journal.close()
    asked, run = [], job.run

    def remember(wanted, *rest, **named):
        asked.append(wanted)
        return run(dataclasses.replace(wanted, compiled=False), *rest, **named)

    monkeypatch.setattr(job, "run", remember)
    with Serving(place):
        wait(lambda: state(place, one) == "done")
    assert [(wanted.batch, wanted.first, wanted.compiled) for wanted in asked] == [(4, 1, compiled)]
