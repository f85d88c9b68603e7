"""What was made stands in a file beside it, and the same command again makes what is missing."""

import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image
from sdops.errors import SdopsError
from sdops.jobs import manifest
from sdops.jobs.entry import Begun, Failure, Input, Item, Output
from sdops.jobs.plan import digest, plan
from sdops.jobs.recorder import Recorder
from sdops.jobs.request import Asked
from sdops_runtime.protocol import Event, JobRequest, Settings

QUICK = ("--model", "demo", "--width", "128", "--steps", "4")


@pytest.fixture(autouse=True)
def _libraries(libraries):
    pass


def pictures(folder=Path()):
    """Digest of each picture in a folder, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).glob("*.png")}


def made(ran):
    """Names of the pictures that were made now, and of those that were there."""
    told = json.loads(ran.out)["pictures"]
    return [one["name"] for one in told if one["made"]], [one["name"] for one in told if not one["made"]]


def lines(folder=Path()):
    return [json.loads(line) for line in (Path(folder) / manifest.NAME).read_text().splitlines()]


def photo_of(path, colour):
    Image.new("RGB", (96, 64), colour).save(path)
    return path


NOON = "2026-01-01T12:00:00Z"


def an_item(number=0, **changes):
    output = Output(f"a-{number}.png", "0" * 64, 64, 64, 1.0, False, False)
    values = {"run": "r", "job": None, "host": "local", "time": NOON, "index": number}
    values |= {"input": Input("a.jpg", "1" * 64), "prompt": "a hat", "seed": number, "settings": {"steps": 4}}
    values |= {"batch": 1, "engine": {"device": None}, "output": output, "failure": None}
    return Item(**{**values, **changes})


def a_job(**changes):
    values = {"run": "r", "job": None, "host": "local", "time": NOON, "seed": 7, "drawn": True}
    values |= {"images": 1, "settings": manifest.common(Settings(model="demo")), "prompts": ("a hat",)}
    values |= {"inputs": (Input("a.jpg", None),), "batch": None}
    return Begun(**{**values, **changes})


# -- what stands in it


def test_every_item_is_told_with_what_it_was_made_from(sdops, photo):
    Path("bad.jpg").write_text("no picture")
    ran = sdops("run", "bad.jpg", photo, "a hat", *QUICK, "--seed", "7", "--json")
    assert ran.code == 1
    told = manifest.read(Path())
    (job,) = told.jobs
    bad = Input("bad.jpg", hashlib.sha256(b"no picture").hexdigest())
    good = Input("../photo.jpg", digest(photo))
    assert (job.job, job.host, job.seed, job.drawn, job.images, job.batch) == (None, "local", 7, False, 1, 1)
    assert (job.prompts, job.inputs) == (("a hat",), (bad, good))
    failed, item = told.items
    assert (failed.index, failed.input, failed.seed, failed.output) == (0, bad, 7, None)
    assert failed.failure.code == "image-unreadable"
    assert "bad.jpg" in failed.failure.message
    assert (item.index, item.input, item.prompt, item.seed, item.failure) == (1, good, "a hat", 8, None)
    assert item.run == failed.run == job.run
    assert (item.output.name, item.output.sha256) == ("photo-8.png", pictures()["photo-8.png"])
    assert (item.output.width, item.output.height, item.output.flagged) == (128, 88, False)
    assert item.settings == job.settings == manifest.common(Settings(model="demo", width=128, steps=4))
    assert (item.engine["model"], item.engine["device"], item.engine["dtype"]) == ("demo", "CPU", "float32")
    assert item.engine["revision"].startswith("recipe ")
    assert item.output.seconds >= 0
    assert item.batch == 1


def test_the_revision_that_is_really_wanted_is_told():
    assert manifest.common(Settings())["revision"] == "fp16"
    assert manifest.common(Settings()) == manifest.common(Settings(revision="fp16", seed=3, images=4))
    assert manifest.common(Settings(model="someone/open"))["revision"] is None


def test_no_token_gets_into_it(sdops, photo, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_CanaryToken")
    assert sdops("run", photo, "a hat", *QUICK).code == 0
    assert "Canary" not in Path(manifest.NAME).read_text()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("out/a.jpg", "a.jpg"),
        ("out/deeper/a.jpg", "deeper/a.jpg"),
        ("a.jpg", "../a.jpg"),
        ("photos/a.jpg", "../photos/a.jpg"),
        ("linked/a.jpg", "../photos/a.jpg"),
        ("../a.jpg", None),
    ],
)
def test_an_input_near_the_pictures_is_named_from_there(tmp_path, monkeypatch, source, told):
    here = tmp_path / "here"
    for folder in ("out/deeper", "photos"):
        (here / folder).mkdir(parents=True)
    (here / "linked").symlink_to("photos")
    monkeypatch.chdir(here)
    assert manifest.shorten(Path(source), Path("out")) == (told or str(tmp_path.resolve() / "a.jpg"))


# -- the same command again


def test_the_same_command_again_makes_nothing_and_says_what_to_type(sdops, photo):
    words = ("run", photo, "a hat", *QUICK, "--seed", "7", "--images", "2")
    assert sdops(*words).code == 0
    before = {path.name: path.stat().st_mtime_ns for path in Path().iterdir()}
    ran = sdops(*words)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["picture", "photo-7.png", "photo-8.png"]
    assert ran.err.splitlines() == [
        "All 2 pictures are here already (seed 7).",
        "Others: --seed 9. The same again: --force.",
    ]
    assert {path.name: path.stat().st_mtime_ns for path in Path().iterdir()} == before
    assert made(sdops(*words, "--json")) == ([], ["photo-7.png", "photo-8.png"])


def test_nothing_is_loaded_where_nothing_is_missing(sdops, photo):
    words = ["run", photo, "a hat", *QUICK, "--seed", "7", "--host", "local"]
    sdops(*words)
    script = """
import sys
from sdops import cli
try:
    cli.main()
except SystemExit as end:
    print(end.code, sorted({"torch", "diffusers", "transformers"} & set(sys.modules)))
"""
    again = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, env=environment()
    )
    assert again.stdout.splitlines()[-1] == "0 []", again.stderr


def test_a_drawn_seed_is_found_again_and_drawn_anew_by_force(sdops, photo):
    words = ("run", photo, "a hat", *QUICK, "--images", "2", "--json")
    first = json.loads(sdops(*words).out)["settings"]["seed"]
    there = [f"photo-{first}.png", f"photo-{first + 1}.png"]
    assert made(sdops(*words)) == ([], there)
    Path(there[1]).unlink()
    assert made(sdops(*words)) == (there[1:], there[:1])
    forced = json.loads(sdops(*words, "--force").out)
    second = forced["settings"]["seed"]
    assert second != first
    assert all(one["made"] for one in forced["pictures"])
    assert made(sdops(*words)) == ([], [f"photo-{second}.png", f"photo-{second + 1}.png"])
    assert len(pictures()) == 4


OTHERS = {
    "prompt": ("PHOTO", "a cat"),
    "more pictures": ("PHOTO", "a hat", "-n", "2"),
    "strength": ("PHOTO", "a hat", "--strength", "0.5"),
    "negative": ("PHOTO", "a hat", "--negative", "blur"),
    "another photo": ("OTHER", "a hat"),
    "one more photo": ("PHOTO", "OTHER", "-p", "a hat"),
    "another folder": ("PHOTO", "a hat", "--out", "new"),
}


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS.keys())
def test_for_anything_else_a_seed_is_drawn_anew(sdops, photo, tmp_path, words):
    other = photo_of(tmp_path / "other.jpg", "red")
    first = json.loads(sdops("run", photo, "a hat", *QUICK, "--json").out)
    words = [{"PHOTO": photo, "OTHER": other}.get(word, word) for word in words]
    second = json.loads(sdops("run", *words, *QUICK, "--json").out)
    assert second["settings"]["seed"] != first["settings"]["seed"]
    assert all(one["made"] for one in second["pictures"])


def test_the_same_photo_under_another_name_is_the_same(sdops, photo, tmp_path):
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(photo.read_bytes())
    words = ("a hat", *QUICK, "--seed", "7", "--json")
    assert made(sdops("run", photo, *words)) == (["photo-7.png"], [])
    assert made(sdops("run", copy, *words)) == ([], ["photo-7.png"])


def test_more_pictures_from_a_given_seed_go_on_behind_those_that_are_there(sdops, photo):
    words = ("run", photo, "a hat", *QUICK, "--seed", "7", "--json")
    sdops(*words)
    assert made(sdops(*words, "-n", "3")) == (["photo-8.png", "photo-9.png"], ["photo-7.png"])


def test_a_deleted_picture_is_made_again_the_same(sdops, photo):
    words = ("run", photo, "-p", "a hat", "-p", "a cat", *QUICK, "--seed", "7", "-n", "2")
    sdops(*words)
    whole = pictures()
    Path("photo-8.png").unlink()
    Path("photo-10.png").unlink()
    ran = sdops(*words)
    assert ran.code == 0
    assert ran.err.splitlines()[0] == "2 of 4 pictures are here already"
    assert [line.split()[-1] for line in ran.out.splitlines()] == ["made", "before", "now", "before", "now"]
    assert pictures() == whole


def test_a_changed_picture_is_not_overwritten_unless_that_is_asked_for(sdops, photo):
    words = ("run", photo, "a hat", *QUICK, "--seed", "7", "-n", "2", "--json")
    sdops(*words)
    whole = pictures()
    for option in ("--overwrite", "--force"):
        Path("photo-7.png").write_bytes(b"edited by hand")
        ran = sdops(*words)
        assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "output-exists")
        assert Path("photo-7.png").read_bytes() == b"edited by hand"
        assert sdops(*words, option).code == 0
        assert pictures() == whole


def test_force_makes_all_again_and_leaves_other_peoples_files_alone(sdops, photo):
    words = ("run", photo, "a hat", *QUICK, "--seed", "7", "--json")
    sdops(*words)
    whole = pictures()
    assert made(sdops(*words, "--force")) == (["photo-7.png"], [])
    assert pictures() == whole
    Path("photo-8.png").write_bytes(b"somebody's own")
    ran = sdops(*words, "-n", "2", "--force")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "output-exists")
    assert "photo-8.png" in json.loads(ran.out)["error"]["message"]
    assert Path("photo-8.png").read_bytes() == b"somebody's own"
    assert sdops(*words, "-n", "2", "--force", "--overwrite").code == 0


def test_a_file_that_the_manifest_does_not_know_is_in_the_way_as_ever(sdops, photo):
    Path("photo-7.png").write_bytes(b"somebody's own")
    words = ("run", photo, "a hat", *QUICK, "--seed", "7", "--json")
    ran = sdops(*words)
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "output-exists")
    assert not Path(manifest.NAME).exists()


def test_other_settings_with_the_same_seed_are_in_the_way_of_each_other(sdops, photo):
    words = ("run", photo, "a hat", *QUICK, "--seed", "7", "--json")
    sdops(*words)
    before = pictures()
    ran = sdops(*words, "--strength", "0.5")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "output-exists")
    assert sdops(*words, "--strength", "0.5", "--force").code == 0
    assert pictures() != before
    ran = sdops(*words)  # that one is there no more
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "output-exists")


def test_a_bad_file_is_tried_again_and_made_with_its_seed_when_it_is_mended(sdops, photo):
    Path("bad.jpg").write_text("no picture")
    words = ("run", photo, "bad.jpg", "-p", "a hat", *QUICK, "--json")
    first = json.loads(sdops(*words).out)
    assert [one["code"] for one in first["failed"]] == ["image-unreadable"]
    ran = sdops(*words)
    second = json.loads(ran.out)
    assert (ran.code, second["end"], [one["made"] for one in second["pictures"]]) == (1, "done", [False])
    assert second["failed"] == first["failed"]
    assert second["host"] == {}  # nothing was loaded to say so
    photo_of(Path("bad.jpg"), "red")
    third = json.loads(sdops(*words).out)
    seed = first["settings"]["seed"]
    assert third["settings"]["seed"] == seed
    assert third["ok"]
    assert [(one["name"], one["made"]) for one in third["pictures"]] == [
        (f"photo-{seed}.png", False),
        (f"bad-{seed + 1}.png", True),
    ]


ODD = {
    "newline": "a\nb.jpg",
    "not UTF-8": os.fsdecode(b"caf\xe9.jpg"),
    "colons": "12:30:00.jpg",
    "quotes": '"it\'s".jpg',
    "dashes": "--force.jpg",
    "letters": "Ünïcødé ✨.jpg",
    "brackets": "[red]a[bold].jpg",
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_odd_names_are_found_again(sdops, photo, name):
    Path(name).write_bytes(photo.read_bytes())
    words = ("run", *QUICK, "--json", "-p", "a hat", "--", name)
    first = json.loads(sdops(*words).out)
    assert first["ok"], first
    assert manifest.read(Path()).items[0].input.path == name
    second = json.loads(sdops(*words).out)
    assert [one["made"] for one in second["pictures"]] == [False]
    assert second["settings"] == first["settings"]


# -- what is left behind when a run ends in the middle


def environment():
    return dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), OMP_NUM_THREADS="1")


def start(words):
    """The console script in a process of its own."""
    command = [sys.executable, "-c", "from sdops.cli import main; main()", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_after_a_stop_in_the_middle_only_the_rest_is_made_to_the_same_bytes(sdops, photo, how):
    words = ("run", photo, "a hat", *QUICK, "--images", "12", "--host", "local", "--out", "one")
    process = start(words)
    try:
        for line in process.stderr:
            if line.startswith("[3/12]"):
                break
        process.send_signal(how)
        process.communicate(timeout=60)
    finally:
        process.kill()
    some = pictures("one")
    assert 3 <= len(some) < 12
    ran = json.loads(sdops(*words, "--json").out)
    seed = ran["settings"]["seed"]
    assert ran["ok"], ran
    now = {one["name"] for one in ran["pictures"] if one["made"]}
    assert now == {f"photo-{seed + number}.png" for number in range(12)} - set(some)
    undisturbed = sdops(*words[:-1], "two", "--seed", seed)
    assert undisturbed.code == 0
    assert pictures("one") == pictures("two")


@pytest.mark.parametrize("left", [0, 100], ids=["no line", "half a line"])
def test_a_picture_saved_right_before_a_crash_is_known_by_what_it_carries(sdops, photo, left):
    words = ("run", photo, "a hat", *QUICK, "--images", "2")
    sdops(*words)
    path = Path(manifest.NAME)
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-1]) + whole[-1][:left])
    before = pictures()
    ran = sdops(*words)
    assert (ran.code, ran.err.splitlines()[0].split(" (")[0]) == (0, "All 2 pictures are here already")
    assert pictures() == before
    assert sorted(item.output.sha256 for item in manifest.read(Path()).items) == sorted(before.values())
    assert path.read_bytes().endswith(b"\n")


def test_a_picture_of_another_job_is_not_taken_for_one_saved_before_a_crash(sdops, photo):
    sdops("run", photo, "a cat", *QUICK, "--seed", "7", "--out", "other")
    sdops("run", photo, "a hat", *QUICK, "--seed", "7")
    path = Path(manifest.NAME)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    Path("photo-7.png").write_bytes(Path("other/photo-7.png").read_bytes())
    ran = sdops("run", photo, "a hat", *QUICK, "--seed", "7", "--json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "output-exists")


DAMAGE = {
    "no JSON": b"\x00\xff garbage\n",
    "half": b'{"kind": "item", "schema": 1, "run": "x\n',
    "list": b"[1, 2]\n",
    "number": b"7\n",
    "deep": b"[" * 100_000 + b"\n",
    "empty": b"\n",
    "newer": b'{"kind": "item", "schema": 99, "new": true}\n',
    "other kind": b'{"kind": "dance", "schema": 1}\n',
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_bad_line_in_the_middle_is_passed_over(tmp_path, damage):
    path = tmp_path / manifest.NAME
    for entry in (a_job(), an_item(0), an_item(1)):
        manifest.append(tmp_path, entry)
        path.write_bytes(path.read_bytes() + damage)
    assert manifest.read(tmp_path) == manifest.Manifest((a_job(),), (an_item(0), an_item(1)))


FORGED = {
    "a path": {"output": {"name": "../photo-7.png"}},
    "no text": {"prompt": 7},
    "true for one": {"index": True},
    "both": {"failure": {"code": "x", "message": "", "hint": ""}},
    "settings": {"settings": {"model": ["demo"]}},
    "no input": {"input": None},
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_a_line_that_makes_no_sense_is_passed_over(tmp_path, change):
    manifest.append(tmp_path, an_item())
    (item,) = lines(tmp_path)
    for name, value in change.items():
        item[name] = {**item[name], **value} if isinstance(item[name], dict) and value else value
    (tmp_path / manifest.NAME).write_text(json.dumps(item) + "\n")
    assert manifest.read(tmp_path).items == ()


def test_two_runs_at_once_leave_a_whole_manifest(sdops, photo):
    commands = [
        ("run", photo, prompt, *QUICK, "--images", "5", "--seed", seed, "--host", "local", "--out", "out")
        for prompt, seed in (("a hat", 100), ("a cat", 200))
    ]
    running = [start(words) for words in commands]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    told = manifest.read(Path("out"))
    assert (len(told.jobs), len(told.items)) == (2, 10)
    assert len(lines("out")) == 12
    assert {item.output.name: item.output.sha256 for item in told.items} == pictures("out")
    for words in commands:
        assert len(made(sdops(*words, "--json"))[1]) == 5


def test_the_same_command_twice_at_once_spoils_nothing(sdops, photo):
    words = (
        "run",
        photo,
        "a hat",
        *QUICK,
        "--images",
        "10",
        "--seed",
        "7",
        "--host",
        "local",
        "--out",
        "out",
    )
    running = [start([*words, "--json"]) for _ in range(2)]
    told = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    # One may find in its way what the other has made, and says so.
    assert {one["error"]["code"] for one in told if one["error"]} <= {"output-exists"}
    assert json.loads(sdops(*words, "--json").out)["ok"]
    now, there = made(sdops(*words, "--json"))
    assert (now, len(there)) == ([], 10)
    sdops(*words[:-1], "alone")
    assert pictures("out") == pictures("alone")


# -- the file


def test_what_is_written_is_read(tmp_path):
    failed = an_item(1, output=None, failure=Failure("x", "why", "do"), prompt="a\n\u2028✨\udcff")
    manifest.append(tmp_path, a_job(), an_item())
    manifest.append(tmp_path, failed)
    assert manifest.read(tmp_path) == manifest.Manifest((a_job(),), (an_item(), failed))


def test_a_folder_without_one_tells_nothing(tmp_path):
    assert manifest.read(tmp_path) == manifest.read(tmp_path / "none") == manifest.Manifest()
    (tmp_path / "file").touch()
    assert manifest.read(tmp_path / "file") == manifest.Manifest()


def test_a_line_cut_off_is_passed_over_and_the_next_one_stands_on_its_own(tmp_path):
    manifest.append(tmp_path, an_item(0), an_item(1))
    path = tmp_path / manifest.NAME
    path.write_bytes(path.read_bytes()[:-40])
    assert manifest.read(tmp_path).items == (an_item(0),)
    manifest.append(tmp_path, an_item(2))
    assert manifest.read(tmp_path).items == (an_item(0), an_item(2))


def test_only_the_end_of_the_line_lost_is_nothing_lost(tmp_path):
    manifest.append(tmp_path, an_item(0))
    path = tmp_path / manifest.NAME
    path.write_bytes(path.read_bytes()[:-1])
    manifest.append(tmp_path, an_item(1))
    assert manifest.read(tmp_path).items == (an_item(0), an_item(1))


def test_a_writer_waits_for_the_other(tmp_path):
    manifest.append(tmp_path, an_item(0))
    with (tmp_path / manifest.NAME).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writer = threading.Thread(target=manifest.append, args=(tmp_path, an_item(1)))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
    writer.join(10)
    assert len(manifest.read(tmp_path).items) == 2


def test_many_writers_lose_no_line(tmp_path):
    def write(first):
        for number in range(first, first + 20):
            manifest.append(tmp_path, an_item(number))

    writers = [threading.Thread(target=write, args=(100 * number,)) for number in range(8)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert len(lines(tmp_path)) == len({item.index for item in manifest.read(tmp_path).items}) == 160


def test_a_disk_without_locks_does(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    item = an_item()
    manifest.append(tmp_path, item)
    assert manifest.read(tmp_path).items == (item,)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_a_name_that_is_taken_by_something_else_is_said(tmp_path, kind):
    path = tmp_path / manifest.NAME
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/full")
    for call in (manifest.read, lambda folder: manifest.append(folder, an_item())):
        with pytest.raises(SdopsError) as caught:
            call(tmp_path)
        assert caught.value.code == "manifest-unusable"
        assert str(path) in caught.value.message


def test_a_manifest_that_cannot_be_read_stops_a_run_before_anything_is_loaded(sdops, photo):
    Path(manifest.NAME).mkdir()
    ran = sdops("run", photo, "a hat", *QUICK)
    assert ran.code == 1
    error, hint = ran.err.splitlines()
    assert error.startswith(f"Error: {manifest.NAME}, which tells what was made, cannot be used: ")
    assert "--out" in hint
    assert pictures() == {}


def test_a_full_disk_is_said_and_leaves_the_manifest_as_it_was(small_disk):
    manifest.append(small_disk, an_item(0))
    before = (small_disk / manifest.NAME).read_bytes()
    with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(4096))
    with pytest.raises(SdopsError) as caught:
        manifest.append(small_disk, *(an_item(number) for number in range(1, 50)))
    assert caught.value.code == "disk-full"
    assert (small_disk / manifest.NAME).read_bytes() == before
    (small_disk / "filler").unlink()
    manifest.append(small_disk, an_item(1))
    assert len(manifest.read(small_disk).items) == 2


def test_a_manifest_that_takes_no_line_ends_the_job_and_the_picture_stays_known(sdops, photo, monkeypatch):
    words = ("run", photo, "a hat", *QUICK, "--images", "2", "--seed", "7", "--json")
    append = manifest.append

    def full(folder, *entries):
        if any(isinstance(one, Item) for one in entries):
            raise SdopsError("disk-full", "The disk is full.")
        append(folder, *entries)

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "append", full)
        ran = json.loads(sdops(*words).out)
    assert (ran["end"], ran["error"]["code"]) == ("failed", "disk-full")
    assert [one["name"] for one in ran["pictures"]] == ["photo-7.png"]
    assert made(sdops(*words)) == (["photo-8.png"], ["photo-7.png"])


# -- what follows from it


def asked(source, drawn=False, **settings):
    request = JobRequest((source.name,), ("a hat",), Settings(model="demo", width=64, **settings))
    return Asked(request, (source,), drawn)


def test_the_batch_of_the_same_job_is_taken_again(tmp_path):
    source = photo_of(tmp_path / "a.png", "red")
    before = asked(source, images=8, seed=7)
    recorder = Recorder(before, tmp_path, "gpu1", hashes=(digest(source),))
    recorder.take(Event("loaded", {"model": "demo", "batch": 4}))
    found = {
        name: plan(asked(source, **settings), tmp_path, host, False, False).asked.request.batch
        for name, host, settings in (
            ("same", "gpu1", {"images": 8, "seed": 7}),
            ("another host", "gpu2", {"images": 8, "seed": 7}),
            ("another seed", "gpu1", {"images": 8, "seed": 8}),
            ("more pictures", "gpu1", {"images": 9, "seed": 7}),
            ("other steps", "gpu1", {"images": 8, "seed": 7, "steps": 20}),
        )
    }
    assert found == {
        "same": 4,
        "another host": None,
        "another seed": None,
        "more pictures": None,
        "other steps": None,
    }
    assert plan(before, tmp_path, "gpu1", False, force=True).asked.request.batch is None


def test_a_job_that_began_within_anothers_batch_goes_on_at_its_place(tmp_path):
    source = photo_of(tmp_path / "a.png", "red")
    before = asked(source, images=8, seed=7)
    recorder = Recorder(before, tmp_path, "gpu1", hashes=(digest(source),))
    recorder.take(Event("loaded", {"model": "demo", "batch": 4, "first": 3}))
    failed = {"index": 0, "code": "image-not-finite", "message": "", "hint": ""}
    recorder.take(Event("item_failed", failed))
    request = plan(before, tmp_path, "gpu1", False, False).asked.request
    assert (request.batch, request.first) == (4, 3)
    request.check()
    # Lines of before there were such jobs have no such field.
    path = tmp_path / manifest.NAME
    path.write_text(path.read_text().replace(', "first": 3', ""))
    request = plan(before, tmp_path, "gpu1", False, False).asked.request
    assert (request.batch, request.first) == (4, 0)


def test_a_job_that_a_host_still_has_is_named(tmp_path):
    source = photo_of(tmp_path / "a.png", "red")
    again = asked(source, images=2, seed=7)
    Recorder(again, tmp_path, "gpu1", "20260101-000000-0123abcd").begin()
    seen = []
    plan(again, tmp_path, "gpu1", False, False).tell(seen.append)
    assert [event.kind for event in seen] == ["notice"]
    assert "sdops attach 20260101-000000-0123abcd" in seen[0].data["message"]
    assert plan(again, tmp_path, "gpu2", False, False).before is None


def test_what_is_told_twice_is_noted_once(tmp_path):
    source = photo_of(tmp_path / "a.png", "red")
    job = "20260101-000000-0123abcd"
    events = [
        Event("loaded", {"model": "demo", "batch": 1, "revision": ["odd"]}),
        Event("image", {"index": 0, "input_sha256": "2" * 64, **vars(an_item().output)}),
        Event("item_failed", {"index": 1, "code": "x", "message": "why", "hint": ""}),
    ]
    for _ in range(2):
        recorder = Recorder(asked(source, images=2), tmp_path, "gpu1", job)
        for event in [*events, *events]:
            recorder.take(event)
    told = manifest.read(tmp_path)
    assert ([one.job for one in told.jobs], [item.index for item in told.items]) == ([job], [0, 1])
    assert told.items[0].input.sha256 == "2" * 64  # what it was made from, not what lay there before


# -- on a host


def test_on_a_host_too_only_the_rest_is_made_to_the_same_bytes(sdops, photo, desk_host):
    words = ("run", photo, "-p", "a hat", "-p", "a cat", *QUICK, "-n", "2", *desk_host)
    first = json.loads(sdops(*words, "--json", "--out", "one").out)
    assert first["ok"], first
    told = manifest.read(Path("one"))
    assert [(job.job, job.host, job.drawn) for job in told.jobs] == [(first["job"], "gpu1", True)]
    assert {item.output.name: item.output.sha256 for item in told.items} == pictures("one")
    assert {item.input for item in told.items} == {Input(str(photo), digest(photo))}
    whole = pictures("one")
    names = sorted(whole)
    for name in names[1:3]:
        Path("one", name).unlink()
    again = sdops(*words, "--json", "--out", "one")
    assert made(again) == (names[1:3], [names[0], names[3]])
    assert pictures("one") == whole
    assert made(sdops(*words, "--json", "--out", "one")) == ([], names)
    here = sdops(
        *words[: -len(desk_host)], "--host", "local", "--seed", first["settings"]["seed"], "--out", "two"
    )
    assert here.code == 0
    assert pictures("two") == whole


def test_a_detached_job_is_noted_when_it_begins_and_its_pictures_when_they_are_fetched(
    sdops, photo, desk_host
):
    words = ("run", photo, "a hat", *QUICK, "-n", "2", *desk_host, "--out", "out")
    job = sdops(*words, "--detach").out.strip()
    assert [one.job for one in manifest.read(Path("out")).jobs] == [job]
    attached = sdops("attach", job, *desk_host[2:], "--json")
    assert json.loads(attached.out)["ok"], attached
    told = manifest.read(Path("out"))
    assert (len(told.jobs), {item.output.name: item.output.sha256 for item in told.items}) == (
        1,
        pictures("out"),
    )
    assert {item.input.sha256 for item in told.items} == {digest(photo)}
    now, there = made(sdops(*words, "--json"))
    assert (now, len(there)) == ([], 2)
