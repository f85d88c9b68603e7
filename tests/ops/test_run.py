"""``sdops run`` on the local host with the demo model: what it prints, writes and returns."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

QUICK = ("--model", "demo", "--width", "128", "--steps", "4", "--seed", "7")


def size_of(path):
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.fixture(autouse=True)
def _libraries(libraries):
    pass


def test_a_picture_is_made_and_its_file_named(sdops, photo):
    ran = sdops("run", photo, "wearing a christmas hat", *QUICK)
    assert ran.code == 0
    assert size_of("photo-7.png") == (128, 88)
    heading, row = ran.out.splitlines()
    assert heading.split() == ["picture", "seed", "size", "seconds", "flagged"]
    assert re.fullmatch(r"photo-7\.png\s+7\s+128x88\s+\d+\.\d\s+no", row.strip())


def test_messages_go_to_stderr_one_line_each(sdops, photo):
    ran = sdops("run", photo, "a hat", *QUICK, "--images", "2")
    lines = [re.sub(r"\d+\.\d s", "N s", line) for line in ran.err.splitlines()]
    assert lines[0] == "Loading demo"
    assert re.fullmatch(r"Loaded demo on CPU in N s \(float32.*\)", lines[1])
    assert lines[-3:] == ["2 pictures, 4 steps each", "[1/2] photo-7.png in N s", "[2/2] photo-8.png in N s"]


def test_json_is_one_document_and_nothing_else(sdops, photo):
    ran = sdops("run", photo, "-p", "a hat", "-p", "a [bold]cat[/]", *QUICK, "--out", "new/folder", "--json")
    assert (ran.code, ran.err) == (0, "")
    document = json.loads(ran.out)
    assert (document["ok"], document["end"], document["error"]) == (True, "done", None)
    assert [(one["file"], one["prompt"], one["seed"], one["flagged"]) for one in document["pictures"]] == [
        ("new/folder/photo-7.png", "a hat", 7, False),
        ("new/folder/photo-8.png", "a [bold]cat[/]", 8, False),
    ]
    assert document["settings"]["strength"] == 0.8
    assert document["passes"] == 4
    assert document["host"]["model"] == "demo"


def test_without_a_seed_one_is_drawn_and_told(sdops, photo):
    seeds = set()
    for folder in ("one", "two"):
        words = ("--model", "demo", "--width", "128", "--steps", "2", "--json", "--out", folder)
        ran = sdops("run", photo, "a hat", *words)
        seeds.add(json.loads(ran.out)["pictures"][0]["seed"])
    assert len(seeds) == 2


WRONG = {
    "nothing": (("run",), "usage"),
    "unknown option": (("run", "PHOTO", "a hat", "--strenght", "0.5"), "usage"),
    "not a number": (("run", "PHOTO", "a hat", "--steps", "many"), "usage"),
    "unknown command": (("jump",), "usage"),
    "no image": (("run", "a hat"), "input-missing"),
    "no prompt": (("run", "PHOTO"), "prompt-empty"),
    "empty prompt": (("run", "PHOTO", ""), "prompt-empty"),
    "no such image": (("run", "none.jpg", "a hat"), "image-missing"),
    "unreadable image": (("run", "TEXT", "a hat"), "image-unreadable"),
    "empty image": (("run", "EMPTY", "a hat"), "image-unreadable"),
    "strength": (("run", "PHOTO", "a hat", "--strength", "1.2"), "settings-invalid"),
    "steps": (("run", "PHOTO", "a hat", "--steps", "0"), "settings-invalid"),
    "width": (("run", "PHOTO", "a hat", "--width", "100"), "settings-invalid"),
    "unknown host": (("run", "PHOTO", "a hat", "--host", "gpu1"), "host-unknown"),
    "no such folder": (("run", "PHOTO", "a hat", "--model", "./none"), "model-unknown"),
    "device": (("run", "PHOTO", "a hat", "--device", "tpu", "--model", "demo"), "settings-invalid"),
    "colour": (("run", "PHOTO", "a hat", "--background", "blurple", "--model", "demo"), "settings-invalid"),
}


@pytest.mark.parametrize(("words", "code"), WRONG.values(), ids=WRONG.keys())
def test_wrong_use_is_answered_in_one_or_two_lines_and_exit_code_2(sdops, photo, tmp_path, words, code):
    (tmp_path / "text.png").write_text("I am no picture.")
    (tmp_path / "empty.png").write_bytes(b"")
    places = {"PHOTO": photo, "TEXT": tmp_path / "text.png", "EMPTY": tmp_path / "empty.png"}
    words = [str(places.get(word, word)) for word in words]
    ran = sdops(*words)
    said = [line for line in ran.err.splitlines() if not line.startswith("Loading ")]
    assert ran.code == 2
    assert ran.out == ""
    assert said[0].startswith("Error: ")
    assert len(said) == 2
    assert "Traceback" not in ran.err
    as_json = sdops(*words, "--json")
    document = json.loads(as_json.out)
    assert (as_json.code, as_json.err) == (2, "")
    assert (document["ok"], document["error"]["code"]) == (False, code)


def test_debug_shows_where_an_error_came_from_and_json_is_still_one_document(sdops):
    ran = sdops("--debug", "run", "none.jpg", "a hat", "--json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "image-missing")
    assert ran.err.startswith("Traceback")


def test_one_bad_image_of_two_is_exit_code_1(sdops, photo, tmp_path):
    (tmp_path / "text.png").write_text("I am no picture.")
    ran = sdops("run", tmp_path / "text.png", photo, "a hat", *QUICK)
    assert ran.code == 1
    assert "Failed: " in ran.err
    assert "text.png" in ran.err
    assert Path("photo-8.png").exists()


def test_a_gpu_that_is_not_there_is_said_if_it_was_asked_for(sdops, photo):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    ran = sdops("run", photo, "a hat", *QUICK, "--device", "cuda", "--json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (1, "device-unusable")


def run_apart(words, **environment):
    """The console script in a process of its own, so that it can be sent a signal."""
    command = [sys.executable, "-c", "from sdops.cli import main; main()", *map(str, words)]
    settings = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), OMP_NUM_THREADS="1", **environment)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings)


def test_ctrl_c_keeps_finished_pictures_and_says_what_is_missing(photo, tmp_path):
    out = tmp_path / "out"
    words = ["run", photo, "a hat", "--model", "demo", "--width", "256", "--steps", "30", "--seed", "7"]
    process = run_apart([*words, "--images", "200", "--out", out])
    try:
        for line in process.stderr:
            if line.startswith("[2/200]"):
                break
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    made = sorted(path.name for path in out.iterdir() if path.name != "sdops.ndjson")
    assert len(made) >= 2
    assert not [name for name in made if not re.fullmatch(r"photo-\d+\.png", name)]
    for name in made:
        size_of(out / name)
        assert name in printed
    assert f"{len(made)} of 200 pictures made; {200 - len(made)} missing." in said
    assert 'Run the same "sdops run" again to make them.\n' in said
    assert "Traceback" not in said


def test_ctrl_c_while_the_libraries_load_is_calm(photo, tmp_path):
    process = run_apart(["run", photo, "a hat", "--model", "demo", "--out", tmp_path / "out"])
    try:
        assert process.stderr.readline().startswith("Loading")
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert printed == ""
    assert "Traceback" not in said


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
def test_ctrl_c_before_the_job_has_begun_is_answered(sdops, photo, monkeypatch, as_json):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sdops.jobs.request.ask", stop)
    ran = sdops("run", photo, "a hat", *QUICK, *["--json"] * as_json)
    assert ran.code == 130
    if as_json:
        assert json.loads(ran.out)["error"]["code"] == "interrupted"
    else:
        assert (ran.out, ran.err) == ("", "Error: Interrupted.\n")


def test_control_characters_in_a_file_name_do_not_reach_the_terminal(sdops, tmp_path):
    odd = tmp_path / "a\x1b[31m[red].png"
    odd.write_text("no picture")
    ran = sdops("run", odd, "a hat", *QUICK)
    assert ran.code == 2
    assert "\x1b" not in ran.err
    assert "[red].png" in ran.err
