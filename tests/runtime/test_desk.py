"""The desk: one conversation by which a job gets to a host, and its pictures back. Python 3.9."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sdops_runtime import images, job, queue
from sdops_runtime.course import Place
from sdops_runtime.jobfolder import Journal
from sdops_runtime.protocol import Event, JobRequest, Prepared, Settings

RUNTIME = Path(__file__).parents[2] / "runtime"
NAME = "20260101-000000-0123abcd"


class Client:
    """Somebody at the desk, which is a process."""

    def __init__(self, folder, **environment):
        self.environment = {
            **os.environ,
            "XDG_DATA_HOME": str(folder),
            "HOME": str(folder),
            "PYTHONPATH": str(RUNTIME),
            "SDOPS_LAUNCHER": "",
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sdops_runtime", "attend", "word"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout.readline() == b"\n"
        assert self.process.stdout.readline() == b"word\n"
        self.hello = self.hear()

    def hear(self):
        """The next line, with the bytes that follow it."""
        line = json.loads(self.process.stdout.readline())
        if line.get("bytes"):
            line["payload"] = self.process.stdout.read(line["bytes"])
        return line

    def say(self, do, payload=b"", **data):
        self.process.stdin.write(json.dumps({"do": do, **data}).encode() + b"\n" + payload)
        self.process.stdin.flush()

    def ask(self, do, payload=b"", **data):
        self.say(do, payload, **data)
        return self.hear()

    def follow(self, name, offset=0, have=(), wait=True):
        """What is said until the job has ended."""
        self.say("follow", job=name, offset=offset, have=have, wait=wait)
        said = []
        while not said or said[-1]["kind"] not in ("ended", "error"):
            said.append(self.hear())
        return said

    def close(self):
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


@pytest.fixture
def client(tmp_path):
    clients = []

    def make(**environment):
        clients.append(Client(tmp_path, **environment))
        return clients[-1]

    yield make
    for one in clients:
        one.close()


@pytest.fixture
def place(tmp_path):
    return queue.Queue(tmp_path / "sdops")


def prepared(photo, images_count=1, skip=()):
    """A request with its input as a client would send it."""
    opened = images.open_image(photo)
    stream = BytesIO()
    images.fit(opened.image, 64, 64).save(stream, "PNG")
    data = stream.getvalue()
    one = Prepared(hashlib.sha256(data).hexdigest(), opened.sha256, opened.size)
    settings = Settings(model="demo", width=64, height=64, steps=4, strength=0.5, seed=7, images=images_count)
    request = JobRequest(("photo.jpg",), ("a hat",), settings, prepared=(one,), skip=tuple(skip))
    return request, data


def as_json(request):
    return json.loads(request.to_json())


def bring(client, request, data, name=NAME):
    """Sends an input and submits the job."""
    sha256 = request.prepared[0].sha256
    assert client.ask("put", data, sha256=sha256, size=len(data)) == {"kind": "stored", "sha256": sha256}
    return client.ask("submit", job=name, request=as_json(request))


@pytest.fixture
def served(place):
    """Has the right to run jobs, and runs none: no worker is started beside it."""
    with place.serving():
        yield place


def test_it_says_what_it_is_first(client):
    hello = client().hello
    assert hello.pop("free") > 0
    assert hello == {
        "kind": "hello",
        "version": hello["version"],
        "protocol": 1,
        "digest": None,
        "serving": False,
        "waiting": 0,
        "memory": hello["memory"],
        "fleet": None,
    }


def test_it_says_of_which_fleet_the_host_is(client, place, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    settings = tmp_path / ".config/sdops/fleet.json"
    settings.parent.mkdir(parents=True)
    words = ("name", "address", "scheduler", "authority", "certificate", "key", "libraries")
    told = {**dict.fromkeys(words, ""), "head": True, "port": 8790, "slots": 1, "gpu": False}
    settings.write_text(json.dumps(told))
    assert client().hello["fleet"] == {"head": True, "members": []}
    (place.root / "members.json").write_text('[{"name": "gpu1/0", "busy": true}]')
    assert client().hello["fleet"] == {"head": True, "members": [{"name": "gpu1/0", "busy": True}]}
    # Before a job is brought to it that it could not make.
    settings.write_text("{")
    assert client().hello["code"] == "fleet-settings"


def test_an_input_is_sent_once_and_kept_only_if_it_is_the_right_one(client, place, photo, served):
    request, data = prepared(photo)
    sha256 = request.prepared[0].sha256
    one = client()
    assert one.ask("have", sha256=[sha256]) == {"kind": "missing", "sha256": [sha256]}
    assert bring(one, request, data)["state"] == "queued"
    assert one.ask("have", sha256=[sha256]) == {"kind": "missing", "sha256": []}
    assert one.ask("put", b"other bytes", sha256="0" * 64, size=11)["code"] == "input-damaged"
    assert [path.name for path in (place.root / "inputs").iterdir()] == [sha256]
    two = client()
    assert two.ask("put", b"x", sha256="../../x", size=1)["code"] == "request-invalid"


def test_a_job_is_accepted_once_however_often_it_is_submitted(client, place, photo, served):
    request, data = prepared(photo)
    one, two = client(), client()
    assert bring(one, request, data)["job"] == NAME
    assert bring(two, request, data)["job"] == NAME
    assert [one.id for one in place.jobs()] == [NAME]
    other = as_json(JobRequest(request.inputs, ("another",), request.settings, prepared=request.prepared))
    assert two.ask("submit", job=NAME, request=other)["code"] == "request-invalid"


def test_a_job_that_was_never_accepted_is_so_the_second_time(client, place, photo, served):
    request, data = prepared(photo)
    one = client()
    bring(one, request, data)
    with place._open() as base:  # as if the power had gone after the folder, and before the row
        base.execute("DELETE FROM jobs")
    assert one.ask("submit", job=NAME, request=as_json(request))["state"] == "queued"
    assert [one.id for one in place.jobs()] == [NAME]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"do": "dance"}, "request-invalid"),
        ({"do": "put"}, "request-invalid"),
        ({"do": "follow", "job": "../../etc", "offset": 0, "have": [], "wait": True}, "job-unknown"),
        ({"do": "submit", "job": "../../etc", "request": {}}, "job-unknown"),
        ({"do": "submit", "job": NAME, "request": {"protocol": 99}}, "request-invalid"),
        ({"do": "cancel", "job": NAME}, "job-unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["do"],
)
def test_what_makes_no_sense_is_refused(client, asked, code):
    one = client()
    assert one.ask(asked.pop("do"), **asked)["code"] == code


def test_an_input_that_the_host_lost_is_said(client, place, photo, served):
    request, data = prepared(photo)
    one = client()
    one.ask("put", data, sha256=request.prepared[0].sha256, size=len(data))
    shutil.rmtree(place.root / "inputs")
    assert one.ask("submit", job=NAME, request=as_json(request))["code"] == "input-lost"
    assert place.jobs() == []


def test_a_job_that_does_not_fit_on_the_disk_is_refused(client, place, photo, served):
    request, _ = prepared(photo, images_count=10_000)
    big = as_json(request)
    big["settings"].update(width=2048, height=2048)
    told = client().ask("submit", job=NAME, request=big)
    assert (told["code"], "MiB are free" in told["message"]) == ("disk-full", True)


def test_the_pictures_come_with_the_events_and_only_those_that_are_wanted(client, place, photo, served):
    request, data = prepared(photo, images_count=2)
    one = client()
    bring(one, request, data)
    running = place.claim()
    journal = Journal(running)
    for number in (7, 8):
        (running.out / f"photo-{number}.png").write_bytes(b"picture %d" % number)
        journal.append(Event("step", {"step": 1}))
        journal.append(Event("step", {"step": 2}))
        journal.append(Event("image", {"index": number - 7, "name": f"photo-{number}.png", "flagged": None}))
    journal.append(Event("done", {"images": 2}))
    journal.close()
    place.leave(running, "done")
    said = [line for line in one.follow(NAME, have=["photo-7.png"]) if line["kind"] != "waiting"]
    assert [line.get("event") for line in said] == ["step", "image", "step", "image", "done", None]
    assert [line.get("payload") for line in said if line.get("event") == "image"] == [None, b"picture 8"]
    assert said[-1] == {"kind": "ended", "state": "done"}
    # From where it was left; and a picture that is not there any more is said to be so.
    (running.out / "photo-8.png").unlink()
    rest = client().follow(NAME, offset=said[1]["offset"])
    assert [line.get("event") for line in rest if line["kind"] == "event"] == ["step", "image", "done"]
    assert [line["bytes"] for line in rest if "bytes" in line] == [None]


def test_what_has_happened_so_far_is_told_without_waiting_and_without_pictures(client, place, photo, served):
    request, data = prepared(photo)
    one = client()
    bring(one, request, data)
    journal = Journal(place.claim())
    journal.append(Event("image", {"index": 0, "name": "photo-7.png", "flagged": None}))
    journal.close()
    said = one.follow(NAME, have=None, wait=False)
    assert [(line["kind"], line.get("event")) for line in said] == [("event", "image"), ("ended", None)]
    assert "bytes" not in said[0]
    assert said[1]["state"] == "running"


def test_a_download_is_told_and_nothing_is_taken_for_its_bytes(client, place, photo, served):
    request, data = prepared(photo)
    one = client()
    bring(one, request, data)
    journal = Journal(place.job(NAME))
    journal.append(Event("download", {"done": 5, "total": 7}))
    journal.append(Event("loading", {"model": "demo"}))
    journal.close()
    said = one.follow(NAME, wait=False)
    assert [line.get("event", line["kind"]) for line in said] == ["download", "loading", "ended"]
    assert (said[0]["done"], said[0]["total"]) == (5, 7)


def test_a_job_that_ended_long_ago_is_said_to_have_ended(client, place, photo, served):
    request, data = prepared(photo)
    one = client()
    bring(one, request, data)
    assert one.ask("cancel", job=NAME)["state"] == "cancelled"
    said = one.follow(NAME)
    assert [line.get("event", line["kind"]) for line in said] == ["cancelled", "ended"]
    assert one.follow(NAME, offset=said[0]["offset"]) == [{"kind": "ended", "state": "cancelled"}]
    assert said[0]["missing"] == [7]


def test_where_there_is_no_service_a_worker_is_started_that_outlives_the_connection(
    client, place, photo, demo_folder, own_cache
):
    request, data = prepared(photo, images_count=2)
    one = client()
    assert bring(one, request, data)["state"] == "queued"
    one.process.kill()
    one.process.wait(10)
    one.close = lambda: one.process.stdout.close() or one.process.stdin.close()
    try:
        said = client().follow(NAME)
        assert said[-1] == {"kind": "ended", "state": "done"}
        hashes = [line["sha256"] for line in said if line.get("event") == "image"]
        assert [hashlib.sha256(line["payload"]).hexdigest() for line in said if "payload" in line] == hashes
        # The same pictures as of the photograph itself, in every byte.
        own = JobRequest(("photo.jpg",), ("a hat",), request.settings)
        expected = place_of_its_own(own, photo, place.root.parent / "own")
        assert hashes == expected
    finally:
        end_worker(place)


def place_of_its_own(request, photo, folder):
    """The hashes of a job that runs in this process."""
    events = []
    job.run(request, [photo], Place(folder, "cpu"), events.append)
    return [event.data["sha256"] for event in events if event.kind == "image"]


def end_worker(place):
    """Ends the worker that was started for this queue, and no other."""
    for found in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            named = f"XDG_DATA_HOME={place.root.parent}\0".encode() in found.read_bytes()
            if named and b"serve" in (found.parent / "cmdline").read_bytes():
                os.kill(int(found.parent.name), signal.SIGKILL)


def test_a_worker_that_does_not_start_is_said_with_its_reason(client, place, photo, tmp_path):
    launcher = tmp_path / "launcher"
    line = json.dumps({"code": "stack-missing", "message": "There is no torch.", "hint": "Make it."})
    launcher.write_text(f"#!/bin/sh\necho '{line}'\nexit 1\n")
    launcher.chmod(0o755)
    request, data = prepared(photo)
    one = client(SDOPS_LAUNCHER=str(launcher))
    told = bring(one, request, data)
    assert told["code"] == "worker-dead"
    assert told["message"] == "The host's worker does not start: There is no torch. Make it."
    assert place.jobs() == []
    assert "There is no torch" in client().ask("log", lines=5)["text"]


def test_what_was_fetched_long_ago_can_go_and_nothing_else(client, place, photo, served):
    request, data = prepared(photo)
    one = client()
    names = [NAME[:-1] + end for end in "abcd"]
    for name in names:
        bring(one, request, data, name)
    old = time.time() - 10 * 86400
    for name in names[:3]:
        ended = place.claim()
        journal = Journal(ended)
        (ended.out / "photo-7.png").write_bytes(b"x" * 1000)
        journal.append(Event("done", {}))
        journal.close()
        place.leave(ended, "done")
        if name != names[2]:
            os.utime(ended.folder / "events.ndjson", (old, old))
    one.ask("fetched", job=names[0])
    one.ask("fetched", job=names[2])
    told = one.ask("prune", days=7, all=False)
    assert (told["removed"], told["kept"]) == ([names[0]], [names[1]])
    assert told["freed"] > 1000
    assert [one.id for one in place.jobs()] == names[1:]
    assert one.ask("prune", days=0, all=True)["removed"] == names[1:3]
    assert [line["job"] for line in [one.ask("jobs", most=5)]] == names[3:]
    assert one.hear() == {"kind": "listed", "left": 0, "serving": True}
    # The input stays for the job that waits.
    assert place.store.has(request.prepared[0].sha256)


def test_a_job_in_a_few_words(client, place, photo, served):
    request, data = prepared(photo, images_count=3, skip=[1])
    one = client()
    told = bring(one, request, data)
    assert told == {
        "kind": "job",
        "job": NAME,
        "state": "queued",
        "cancel": False,
        "fetched": False,
        "made": 0,
        "failed": 0,
        "flagged": 0,
        "begun": None,
        "ended": None,
        "reason": None,
        "wanted": 2,
        "inputs": ["photo.jpg"],
        "prompts": ["a hat"],
        "model": "demo",
    }
    assert JobRequest.from_json(json.dumps(one.ask("job", job=NAME)["request"])) == request


def test_only_what_is_wanted_is_made_and_as_in_the_whole_job(photo, tmp_path, libraries, demo_folder):
    whole, data = prepared(photo, images_count=3)
    some, _ = prepared(photo, images_count=3, skip=[0, 2])
    sent = tmp_path / "sent"
    sent.write_bytes(data)
    made = place_of_its_own(whole, sent, tmp_path / "whole")
    assert place_of_its_own(some, sent, tmp_path / "some") == made[1:2]
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["photo-8.png"]


def test_what_was_sent_and_has_changed_is_not_taken_for_it(photo, tmp_path, libraries, demo_folder):
    request, _ = prepared(photo)
    sent = tmp_path / "sent"
    Image.new("RGB", (64, 64)).save(sent, "PNG")
    events = []
    last = job.run(request, [sent], Place(tmp_path / "out", "cpu"), events.append)
    assert (last.kind, last.data["code"]) == ("failed", "image-unreadable")


def test_it_says_how_the_host_is(client, place, photo, served):
    one = client()

    def told(*keys):
        said = one.ask("status")
        return [said[key] for key in keys]

    assert told("serving", "waiting", "job", "error", "model") == [True, 0, None, None, None]
    request, data = prepared(photo)
    bring(one, request, data)
    assert told("waiting", "job") == [1, None]
    job = place.claim()
    journal = Journal(job)
    journal.append(Event("step", {"indices": [0], "step": 1, "steps": 4}))
    (about, step), waiting = told("job", "step"), told("waiting")
    assert ((about["job"], about["made"], about["wanted"]), step, waiting) == ((NAME, 0, 1), 0.25, [0])
    ending = {"images": 0, "failed": 0, "flagged": 0, "missing": [7], "seconds": 1.0}
    reason = {"code": "model-broken", "message": "It is broken.", "hint": ""}
    journal.append(Event("failed", {**ending, **reason}))
    journal.close()
    place.leave(job, "failed")
    (error,) = told("error")
    assert (error["job"], error["message"], told("job")) == (NAME, "It is broken.", [None])
    assert time.time() - error["at"] < 60
