"""Compiled blocks: only for jobs that are long enough, kept on the disk, told of in records. Python 3.9."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from PIL import Image
from sdops_runtime import compiling, gains, job, memory, png, queue
from sdops_runtime.compiling import Load
from sdops_runtime.errors import SdopsError
from sdops_runtime.housekeeping import prune
from sdops_runtime.protocol import JobRequest, Settings

RUNTIME = Path(__file__).parents[2] / "runtime"
SUBJECT = gains.Subject("A100", "sd1", "float16")
#: A minute to compile, and 20 ms less for each call of 8 pictures with guidance.
MEASURED = gains.Measured(SUBJECT, Load(512, 512, 16), 60.0, 5.0, 100.0, 80.0, "2026-11-24")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, libraries):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/sdops/compiled"


class Wanted:
    """An engine that remembers what it was to compile."""

    def __init__(self, exact=True, lacks=None, short=False):
        self.short = short
        self.network = memory.Network(exact=exact)
        self.dtype, self.compiling_lacks, self.asked = "float16", lacks, []

    def load_of(self, size, batch, guidance):
        return Load(*size, batch * (1 + (guidance > 1)))

    def compile(self, *words):
        self.asked.append(words)
        return not self.short


def request(images, compiled=None, **settings):
    return JobRequest(("photo.jpg",), ("a hat",), Settings(images=images, **settings), compiled=compiled)


def decide(one, engine, left=None):
    left = range(one.total) if left is None else left
    return job.compile_if_it_pays(one, engine, {"device": "A100"}, (512, 512), 8, left)


# -- what a measurement says


def test_nothing_is_known_where_nothing_was_measured():
    assert gains.read() == []
    assert gains.estimate(SUBJECT, MEASURED.load, 1e6) is None


def test_what_was_measured_is_read_again_and_replaced_by_the_next(cache):
    other = gains.Measured(SUBJECT, Load(768, 512, 16), 70.0, 6.0, 150.0, 120.0, "2026-11-25")
    gains.keep([MEASURED])
    gains.keep([other])
    again = gains.Measured(SUBJECT, MEASURED.load, 50.0, 4.0, 100.0, 70.0, "2026-11-26")
    gains.keep([again])
    assert gains.read() == [again, other]
    assert [path.name for path in compiling.folder().iterdir()] == ["measured.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[", "{}", "[1]", '[{"subject": {}}]', "null"]
    + [
        json.dumps([{**dict(zip(gains.TIMES, (1, 1, 1, 1))), "date": "x", **one}])
        for one in ({}, {"subject": {"device": 1}, "load": {"width": 0, "height": 8, "rows": 2}})
    ],
)
def test_a_damaged_measurement_is_none(text):
    gains.keep([MEASURED])
    (compiling.folder() / "measured.json").write_text(text)
    assert gains.read() == []


@pytest.mark.parametrize("field", gains.TIMES)
def test_a_time_that_cannot_be_is_no_measurement(field):
    gains.keep([MEASURED])
    path = compiling.folder() / "measured.json"
    (told,) = json.loads(path.read_text())
    for value in (0, -1, "soon", float("inf"), float("nan")):
        path.write_text(json.dumps([{**told, field: value}]))
        assert gains.read() == []


def test_an_estimate_counts_what_the_job_calls():
    gains.keep([MEASURED])
    found = gains.estimate(SUBJECT, MEASURED.load, 1000)
    assert (found.costs, found.saves, found.pays) == (60.0, pytest.approx(20.0), False)
    # A call with half the rows and four times the pixels takes twice the time, and saves twice as much.
    assert gains.estimate(SUBJECT, Load(1024, 1024, 8), 1000).saves == pytest.approx(40.0)
    assert gains.estimate(SUBJECT, MEASURED.load, 4400).pays is False  # 88 s saved: less than half more
    found = gains.estimate(SUBJECT, MEASURED.load, 4600)
    assert found.pays
    assert str(found) == (
        "The model is compiled, which takes about 60 s and saves this job about 2 min, by what was measured "
        "here on 2026-11-24."
    )


def test_of_several_measurements_the_nearest_counts():
    small = gains.Measured(SUBJECT, Load(512, 512, 2), 60.0, 5.0, 30.0, 12.0, "2026-11-24")
    gains.keep([MEASURED, small])
    assert gains.estimate(SUBJECT, Load(512, 512, 2), 1000).saves == pytest.approx(18.0)
    assert gains.estimate(SUBJECT, Load(512, 512, 12), 1000).saves == pytest.approx(15.0)


@pytest.mark.parametrize(
    "subject",
    [
        gains.Subject("H100", "sd1", "float16"),
        gains.Subject("A100", "demo", "float16"),
        gains.Subject("A100", "sd1", "float32"),
    ],
)
def test_what_was_measured_of_another_does_not_count(subject):
    gains.keep([MEASURED])
    assert gains.estimate(subject, MEASURED.load, 1e6) is None


def test_kernels_that_are_on_the_disk_cost_less():
    gains.keep([MEASURED])
    compiling._marker(MEASURED.load, dataclasses.astuple(SUBJECT)).touch()
    assert gains.estimate(SUBJECT, MEASURED.load, 1000).costs == 5.0
    assert gains.estimate(SUBJECT, Load(512, 512, 8), 1000).costs == 60.0


def test_compiling_that_makes_it_slower_never_pays():
    slower = gains.Measured(SUBJECT, MEASURED.load, 60.0, 5.0, 80.0, 100.0, "2026-11-24")
    gains.keep([slower])
    found = gains.estimate(SUBJECT, MEASURED.load, 1e9)
    assert (found.saves, found.pays) == (0.0, False)


# -- what becomes of it for a job: 41 calls for 8 pictures, so that 900 are 4612 calls


def test_a_job_that_is_long_enough_is_compiled_and_says_why():
    gains.keep([MEASURED])
    engine = Wanted()
    assert "takes about 60 s and saves this job about 2 min" in decide(request(960), engine)
    assert engine.asked == [((512, 512), 8, 7.5)]


@pytest.mark.parametrize(
    ("one", "engine", "left"),
    [
        (request(100), Wanted(), None),
        (request(960), Wanted(), range(800, 960)),
        (request(960, steps=10), Wanted(), None),
        (request(960, compiled=False), Wanted(), None),
        (request(960), Wanted(exact=False), None),
        (request(960), Wanted(lacks="a C compiler"), None),
    ],
    ids=["short", "made before", "few steps", "not wanted", "another network", "no compiler"],
)
def test_another_one_is_not(one, engine, left):
    gains.keep([MEASURED])
    assert decide(one, engine, left) is None
    assert engine.asked == []


def test_one_that_asks_for_it_is_compiled_without_a_measurement():
    engine = Wanted()
    assert decide(request(1, compiled=True), engine) is None
    assert engine.asked == [((512, 512), 8, 7.5)]


def test_one_that_asks_for_what_is_not_there_says_so_and_goes_on():
    engine = Wanted(lacks="a C compiler")
    told = decide(request(1, compiled=True), engine)
    assert told == "The model is not compiled, as it was then: a C compiler is missing here."
    assert engine.asked == []


def test_a_job_that_needs_less_memory_is_not_compiled():
    gains.keep([MEASURED])
    assert decide(request(960), Wanted(short=True)) is None
    told = decide(request(1, compiled=True), Wanted(short=True))
    assert told == "The model is not compiled, as it was then: there is too little memory."


def test_what_was_lowered_is_not_compiled(engine):
    size = (64, 64)
    try:
        engine._ladder.rungs[size, 2, True] = memory.Rung(2, sliced=True)
        assert not engine.compile(size, 2, 7.5)
        assert not engine.compiles
        engine._ladder.rungs[size, 2, True] = memory.Rung(2)
        assert engine.compile(size, 2, 7.5)
        assert engine.compiles
    finally:
        engine.plan(size, 1, 7.5)
    assert not engine.compiles


def test_a_request_keeps_what_it_asks_for_and_nothing_else():
    for value in (None, True, False):
        one = request(1, compiled=value)
        assert JobRequest.from_json(one.to_json()) == one
    with pytest.raises(SdopsError):
        request(1, compiled="yes").check()


def test_a_host_lacks_what_it_does_not_have(engine, monkeypatch):
    unet = engine._pipeline.unet
    if not hasattr(unet, "compile_repeated_blocks"):
        assert compiling.missing(unet, "cpu") == "a diffusers that compiles blocks"
        return
    for name in ("CXX", "CC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert compiling.missing(unet, "cpu") == "a C compiler (apt-get install g++)"
    monkeypatch.setenv("CXX", f"{sys.executable} -fast")
    assert compiling.missing(unet, "cpu") is None


# -- what goes with time


def test_what_was_not_used_for_long_is_pruned_and_measurements_stay(cache, tmp_path):
    gains.keep([MEASURED])
    place = compiling.folder()
    (place / "ab").mkdir()
    (place / "ab/kernel.so").write_bytes(b"x" * 1000)
    made = compiling._marker(MEASURED.load, dataclasses.astuple(SUBJECT))
    made.touch()
    now = time.time()
    assert compiling.prune(now - 3600) == 0
    os.utime(made, (now - 7200, now - 7200))
    told = prune(queue.Queue(tmp_path / "queue"), 1 / 24, everything=False)
    assert told["freed"] == 1000
    assert [path.name for path in place.iterdir()] == ["measured.json"]
    assert gains.read() == [MEASURED]


def test_nothing_is_pruned_where_nothing_is():
    assert compiling.prune(time.time()) == 0


# -- with the real compiler

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from PIL import Image
from sdops_runtime import device, pipeline
from sdops_runtime.pipeline import Draw, Recipe
engine = pipeline.load(Path(sys.argv[1]), device.pick("cpu"), torch.float32)
size, notices = (64, 64), []
image = Image.linear_gradient("L").resize(size).convert("RGB")

def make(batch, name):
    draws = [Draw(image, "ramp", "a hat", seed, seed) for seed in range(batch)]
    made = engine.make(draws, Recipe(0.5, 4, 7.5), batch, lambda done, of: None,
                       on_notice=lambda *words: notices.append(words))
    for number, one in enumerate(made):
        one.image.save(f"{sys.argv[2]}/{name}-{number}.png")
    return [one.compiled for one in made]

engine.plan(size, 2, 7.5, 2)
told = {"before": make(2, "before"), "plain": make(1, "plain")}
engine.compile(size, 2, 7.5)
told["compiled"] = make(2, "compiled")
told["other"] = make(1, "other")
told["claims"] = engine.compiles
engine.plan(size, 2, 7.5, 2)
told["after"] = make(2, "after")
for batch in range(3, 3 + int(sys.argv[3])):
    engine.plan(size, batch, 7.5, batch)
    engine.compile(size, batch, 7.5)
    told["compiled"] += make(batch, f"more-{batch}")
counts = torch._dynamo.utils.counters["inductor"]
told["kept"] = [counts["fxgraph_cache_miss"], counts["fxgraph_cache_hit"]]
print(json.dumps({**told, "notices": notices}))
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache for several tests, which the first of them fills."""
    return tmp_path_factory.mktemp("filled")


@pytest.fixture
def compiles(engine):
    if compiling.missing(engine._pipeline.unet, "cpu"):
        pytest.skip(f"{compiling.missing(engine._pipeline.unet, 'cpu')} is missing")


def by_script(demo_folder, tmp_path, more=0, **environment):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, demo_folder, out, str(more)],
        env={**os.environ, "PYTHONPATH": str(RUNTIME), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])

    def pixels(name, number):
        with Image.open(out / f"{name}-{number}.png") as image:
            return numpy.asarray(image).astype(int)

    return SimpleNamespace(**told, pixels=pixels)


def test_blocks_are_compiled_for_their_batch_alone_and_not_again_at_the_next_start(
    compiles, demo_folder, tmp_path, filled, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(filled))
    first = by_script(demo_folder, tmp_path)
    assert (first.before, first.compiled, first.other, first.after) == (
        [False] * 2,
        [True] * 2,
        [False],
        [False] * 2,
    )
    assert (first.claims, first.notices) == (True, [])
    apart = [abs(first.pixels("compiled", one) - first.pixels("before", one)) for one in range(2)]
    assert numpy.max(apart) <= 1
    for one in range(2):
        assert (first.pixels("after", one) == first.pixels("before", one)).all()
    assert (first.pixels("other", 0) == first.pixels("plain", 0)).all()
    misses, _ = first.kept
    assert misses > 0
    assert compiling.is_kept(Load(64, 64, 4), ("CPU", "demo", "float32"))

    again = by_script(demo_folder, tmp_path)
    assert again.compiled == [True] * 2
    assert again.kept == [0, misses]
    for one in range(2):
        assert (again.pixels("compiled", one) == first.pixels("compiled", one)).all()


@pytest.mark.slow
def test_one_model_is_compiled_for_any_number_of_sizes(compiles, demo_folder, tmp_path):
    told = by_script(demo_folder, tmp_path, more=4)
    assert told.notices == []
    assert told.compiled == [True] * (2 + 3 + 4 + 5 + 6)


@pytest.mark.parametrize("trouble", ["a compiler that fails", "a folder that is closed"])
def test_pictures_are_made_without_it_where_compiling_fails(compiles, demo_folder, tmp_path, cache, trouble):
    environment = {"CXX": "false"}
    if trouble == "a folder that is closed":
        # A file in its place: nothing keeps root out of a folder.
        environment = {}
        cache.mkdir(parents=True)
        compiling.folder().touch()
    told = by_script(demo_folder, tmp_path, **environment)
    assert (told.compiled, told.claims) == ([False] * 2, False)
    ((code, message),) = told.notices
    assert code == "compile"
    assert message.startswith("Compiling failed (")
    assert message.endswith("): the pictures are made without it.")
    assert "\n" not in message
    for one in range(2):
        assert (told.pixels("compiled", one) == told.pixels("before", one)).all()


def test_a_job_tells_of_it_in_its_events_and_pictures(
    compiles, demo_folder, tmp_path, photo, filled, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(filled))
    out = tmp_path / "out"
    settings = Settings(str(demo_folder), width=64, height=64, steps=4, strength=0.5, images=8)
    gains.keep(
        [
            gains.Measured(
                gains.Subject("CPU", "demo", "float32"), Load(64, 64, 4), 0.001, 0.001, 9.0, 1.0, "2026-11-24"
            )
        ]
    )
    asked = tmp_path / "request.json"
    asked.write_text(JobRequest((photo.name,), ("a hat",), settings).to_json())
    ran = subprocess.run(
        [sys.executable, "-m", "sdops_runtime", "run", asked, photo, "--out", out, "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (ran.returncode, events[-1]["kind"]) == (0, "done"), ran.stderr
    assert next(event["compiled"] for event in events if event["kind"] == "loaded") is True
    (said,) = [event for event in events if event["kind"] == "notice" and event["code"] == "compile"]
    assert "by what was measured here on 2026-11-24" in said["message"]
    assert [png.read_record(path).compiled for path in out.glob("*.png")] == [True] * 8
