"""A worker that is killed at any moment: no picture is lost, and none has other bytes. Python 3.9."""

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from sdops_runtime import queue
from sdops_runtime.job import CPU_BATCH
from sdops_runtime.protocol import JobRequest, Settings

RUNTIME = Path(__file__).parents[2] / "runtime"


def request(number, images):
    settings = Settings(
        model="demo", width=64, height=64, steps=4, strength=0.5, seed=1000 * number, images=images
    )
    return JobRequest(("photo.jpg",), (f"a hat, number {number}",), settings)


class Serving:
    """A worker in a process of its own, whose queue lies below a folder."""

    def __init__(self, folder, *words, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sdops_runtime", "serve", "--device", "cpu", *words],
            env={**os.environ, "XDG_DATA_HOME": str(folder), "PYTHONPATH": str(RUNTIME), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def wait_for(condition, timeout=120.0):
    """Waits until a condition holds; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, "it took too long"
        time.sleep(0.01)
    return time.monotonic() - began


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures(one):
    """Digest of each picture that has its final name."""
    return {path.name: digest(path) for path in one.out.glob("*.png")}


def told(one):
    """Digest of each picture that the events tell of, which is once."""
    found = [(event.data["name"], event.data["sha256"]) for event in one.events() if event.kind == "image"]
    assert len(dict(found)) == len(found)
    return dict(found)


def sound(place):
    """Asserts that a queue whose jobs have ended is in order."""
    base = sqlite3.connect(str(place.root / "queue.sqlite"))
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    base.close()
    for one in place.jobs():
        assert [event.kind for event in one.events() if event.terminal] == [one.state]
        assert pictures(one) == told(one)
        # What a worker was writing when it was killed is gone by the end.
        assert [path.name for path in one.out.iterdir() if path.suffix != ".png"] == []
    assert {path.name for path in (place.root / "jobs").iterdir()} == {one.id for one in place.jobs()}


def undisturbed(folder, photo, number, images):
    """The digests of the pictures of each of so many jobs, by a worker that nobody kills."""
    place = queue.Queue(folder / "sdops")
    jobs = [place.submit(request(one, images), [photo]) for one in range(number)]
    with Serving(folder):
        wait_for(lambda: place.job(jobs[-1].id).state == "done", 600)
    return [pictures(one) for one in jobs]


@pytest.mark.parametrize(
    ("kills", "number", "images"),
    [(5, 2, 60), pytest.param(200, 20, 100, marks=pytest.mark.slow)],
    ids=["some", "200"],
)
def test_random_kills_lose_nothing_and_change_no_byte(tmp_path, photo, demo_folder, kills, number, images):
    expected = undisturbed(tmp_path / "undisturbed", photo, number, images)
    folder = tmp_path / "killed"
    place = queue.Queue(folder / "sdops")
    jobs = [place.submit(request(one, images), [photo]) for one in range(number)]
    dice = random.Random(20221101)
    kept = [{} for _ in jobs]
    for _ in range(kills):
        assert place.job(jobs[-1].id).state != "done", "there was too little to do for so many kills"
        serving = Serving(folder)
        if dice.random() < 0.8:
            # Through the imports, the loading and some pictures.
            serving.process.stdout.readline()
            time.sleep(dice.uniform(0, 3.5))
        else:
            time.sleep(dice.uniform(0, 0.4))
        serving.kill()
        for before, one in zip(kept, jobs):
            now = pictures(one)
            assert before.items() <= now.items()
            # They are saved in a thread, a batch at most at once, and told of in their order.
            assert len(now.keys() - told(one).keys()) <= CPU_BATCH
            before.update(now)
    with Serving(folder):
        wait_for(lambda: place.job(jobs[-1].id).state == "done", 900)
    assert [pictures(one) for one in jobs] == expected
    sound(place)


#: Stops a worker dead at the first call of something, as if the power had gone just then.
STOPPER = """
import os, runpy, signal, sys
from sdops_runtime import {module} as module
def stop(*words, **named):
    {before}
    os.kill(os.getpid(), signal.SIGKILL)
if {count}:
    whole, calls = {target}, []
    def stop_later(*words, **named):
        calls.append(1)
        if len(calls) > {count}:
            stop(*words, **named)
        return whole(*words, **named)
    {target} = stop_later
else:
    {target} = stop
sys.argv = ["sdops-runtime", "serve", "--device", "cpu"]
runpy.run_module("sdops_runtime", run_name="__main__")
"""

#: What is called at each stage, and how often that is done before the end.
STAGES = {
    "claimed": ("worker", "module.Worker._serve", 0, "pass"),
    "loading": ("job", "module.load", 0, "pass"),
    "in a step": ("plms", "module.Plms.advance", 7, "pass"),
    "before a byte is saved": ("png", "module._write", 2, "pass"),
    "in the middle of a file": (
        "png",
        "module._write",
        2,
        "words[0].write_bytes(words[1][: len(words[1]) // 2])",
    ),
    "saved and not told": ("jobfolder", "module.Journal.append", 14, "pass"),
    "in the middle of a line": (
        "jobfolder",
        "module.Journal.append",
        14,
        'words[0]._file.write(b\'{\\"kind\\": \\"im\'); words[0]._file.flush()',
    ),
    "told and not written down": ("queue", "module.Queue.leave", 0, "pass"),
}


@pytest.fixture(scope="module")
def four(tmp_path_factory, demo_folder):
    """A photograph, and the digests of four pictures of it by a worker that nobody kills."""
    folder = tmp_path_factory.mktemp("undisturbed")
    photo = folder / "photo.jpg"
    Image.linear_gradient("L").convert("RGB").resize((300, 200)).save(photo)
    return photo, undisturbed(folder, photo, 1, 4)[0]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_stage_it_goes_on(tmp_path, four, stage):
    module, target, count, before = STAGES[stage]
    photo, expected = four
    folder = tmp_path / "killed"
    place = queue.Queue(folder / "sdops")
    one = place.submit(request(0, 4), [photo])
    script = tmp_path / "stop.py"
    script.write_text(STOPPER.format(module=module, target=target, count=count, before=before))
    environment = {**os.environ, "XDG_DATA_HOME": str(folder), "PYTHONPATH": str(RUNTIME)}
    ended = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, timeout=120, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert place.job(one.id).state == "running"
    assert pictures(one).items() <= expected.items()
    with Serving(folder):
        wait_for(lambda: place.job(one.id).state == "done")
    assert pictures(one) == expected
    sound(place)


def test_a_submitter_that_is_killed_leaves_a_whole_job_or_none(tmp_path, photo, libraries):
    folder = tmp_path / "place"
    place = queue.Queue(folder / "sdops")
    (tmp_path / "request.json").write_text(request(0, 1).to_json())
    dice = random.Random(20221102)
    command = [sys.executable, "-m", "sdops_runtime", "submit", str(tmp_path / "request.json"), str(photo)]
    environment = {**os.environ, "XDG_DATA_HOME": str(folder), "PYTHONPATH": str(RUNTIME)}
    for _ in range(25):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.05, 0.35))
        process.kill()
        process.wait(30)
    for one in place.jobs():
        assert one.request() == request(0, 1)
        assert one.inputs(request(0, 1))[0].read_bytes() == photo.read_bytes()
