"""The queue: accepted jobs are kept, in order, whatever happens to who writes and who serves. Python 3.9."""

import json
import multiprocessing
import sqlite3

import pytest
from sdops_runtime import jobfolder, queue
from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import Event, JobRequest, Settings

REQUEST = JobRequest(("a.png", "b.png"), ("a hat",), Settings(model="demo"))


@pytest.fixture
def sources(tmp_path):
    paths = [tmp_path / "first", tmp_path / "second"]
    for path in paths:
        path.write_text(path.name)
    return paths


@pytest.fixture
def one(tmp_path):
    return queue.Queue(tmp_path / "place")


def states(one):
    return [job.state for job in one.jobs()]


def code(call, *words):
    with pytest.raises(SdopsError) as caught:
        call(*words)
    return caught.value.code


def test_a_job_keeps_its_request_and_its_inputs(one, sources):
    job = one.submit(REQUEST, sources)
    assert (job.state, job.cancel, job.request()) == ("queued", False, REQUEST)
    assert [path.read_text() for path in job.inputs(REQUEST)] == ["first", "second"]
    assert job.events() == []
    assert queue.Queue(one.root).jobs() == [job]
    assert job.folder.stat().st_mode & 0o077 == 0


def test_jobs_are_claimed_in_the_order_of_their_acceptance(one, sources, monkeypatch):
    first = one.submit(REQUEST, sources)
    monkeypatch.setattr(queue.time, "gmtime", lambda: (2001, 1, 1, 0, 0, 0, 0, 1, 0))  # a clock set back
    second = one.submit(REQUEST, sources)
    assert second.id < first.id
    assert [one.claim().id, one.claim().id, one.claim()] == [first.id, second.id, None]
    assert states(one) == ["running", "running"]


def test_what_ran_when_the_worker_died_waits_again_at_its_place(one, sources):
    first, _ = one.submit(REQUEST, sources), one.submit(REQUEST, sources)
    one.claim()
    one.wait_again()
    assert states(one) == ["queued", "queued"]
    assert one.claim().id == first.id
    one.leave(first, "done")
    one.wait_again()
    assert states(one) == ["done", "queued"]


def test_one_at_a_time_serves(one):
    with one.serving():
        assert code(queue.Queue(one.root).serving().__enter__) == "worker-running"
    with one.serving():
        pass


def test_cancelling_is_for_jobs_that_have_not_ended(one, sources):
    job = one.submit(REQUEST, sources)
    assert one.cancel(job.id).cancel
    assert one.wants_cancelling(job)
    ended = one.submit(REQUEST, sources)
    one.leave(ended, "done")
    assert not one.cancel(ended.id).cancel
    assert code(one.cancel, "../../etc") == "job-unknown"


def test_what_cannot_be_a_job_leaves_nothing(one, sources, tmp_path):
    assert code(one.submit, REQUEST, sources[:1]) == "request-invalid"
    assert code(one.submit, REQUEST, [*sources[:1], tmp_path / "missing"]) == "image-missing"
    assert code(one.submit, JobRequest(("a",), (" ",)), sources[:1]) == "prompt-empty"
    assert list((one.root / "jobs").iterdir()) == []
    assert one.jobs() == []


def test_a_line_that_was_cut_off_is_no_event_and_the_next_one_is_whole(one, sources):
    job = one.submit(REQUEST, sources)
    journal = jobfolder.Journal(job)
    journal.append(Event("loading", {"model": "demo"}))
    journal.close()
    file = job.folder / "events.ndjson"
    with file.open("ab") as end:
        end.write(b'{"kind": "ima')
    assert [event.kind for event in job.events()] == ["loading"]
    journal = jobfolder.Journal(job)
    journal.append(Event("done", {"images": 0}))
    journal.close()
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["loading", "done"]


def test_single_steps_are_for_those_who_follow(one, sources):
    job = one.submit(REQUEST, sources)
    journal = jobfolder.Journal(job)
    for kind in ("planned", "step", "step", "image"):
        journal.append(Event(kind, {"step": 1}))
    journal.close()
    assert [event.kind for event in job.events()] == ["planned", "image"]
    assert [event.kind for _, event in job.follow(0)] == ["planned", "step", "step", "image"]
    ends = [end for end, _ in job.follow(0)]
    assert [end for end, _ in job.follow(0, steps=False)] == [ends[0], ends[3]]


def test_a_queue_that_cannot_be_used_is_said_in_words(one, sources, monkeypatch):
    job = one.submit(REQUEST, sources)
    (one.root / "queue.sqlite").write_bytes(b"no database at all" * 100)
    for suffix in ("-wal", "-shm"):
        (one.root / f"queue.sqlite{suffix}").unlink(missing_ok=True)
    assert code(one.jobs) == "queue-unusable"
    assert not one.wants_cancelling(job)
    (one.root.parent / "file").write_text("")
    assert code(queue.Queue, one.root.parent / "file") == "queue-unusable"

    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(queue.sqlite3, "connect", full)
    assert code(one.jobs) == "disk-full"


def submit_some(root, sources, number):
    one = queue.Queue(root)
    for _ in range(number):
        one.submit(REQUEST, sources)


def test_many_may_submit_at_once(one, sources):
    context = multiprocessing.get_context("fork")
    people = [context.Process(target=submit_some, args=(one.root, sources, 5)) for _ in range(6)]
    for person in people:
        person.start()
    for person in people:
        person.join(120)
    assert [person.exitcode for person in people] == [0] * 6
    names = [job.id for job in one.jobs()]
    assert len(set(names)) == len(names) == 30
    claimed = [one.claim().id for _ in names]
    assert claimed == names
