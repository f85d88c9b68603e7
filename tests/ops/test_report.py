"""What the end of a job and an error look like: on terminals, in pipes, as JSON."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from sdops.errors import SdopsError
from sdops.jobs.local import Outcome, nothing_to_do
from sdops.jobs.request import Asked
from sdops.report import failure, outcome, progress, terminal
from sdops_runtime.protocol import Event, JobRequest, Settings


def picture(index, name):
    """The data of a picture's event."""
    found = {"index": index, "name": name, "sha256": "0" * 64, "seed": index, "input": 0, "prompt": 0}
    return {**found, "width": 64, "height": 64, "seconds": 1.0, "flagged": False, "retried": False}


def stopped(made, images, inputs=("a.jpg",), out=Path()):
    """A job of which some pictures were made before it was interrupted."""
    request = JobRequest(inputs, ("a hat",), Settings(images=images))
    ended = Outcome(Asked(request, tuple(map(Path, inputs))), out)
    for index in range(made):
        ended.take(Event("image", picture(index, f"a-{index}.png")))
    ended.take(Event("cancelled", {"missing": list(range(made, request.total)), "seconds": 1.0}))
    return ended


@pytest.mark.parametrize(
    ("typed", "advised"),
    [
        ("run a.jpg 'a hat' -n 4", 'Run the same "sdops run" again to make them.'),
        ("run a.jpg 'a hat' -n 4 --force", 'Run the same "sdops run" again, without --force, to make them.'),
        ("run a.jpg 'a hat' -n 4 -f", 'Run the same "sdops run" again, without --force, to make them.'),
        ("attach 01234567", 'Run the same "sdops run" again to make them.'),
    ],
    ids=["run", "force", "short", "attached"],
)
def test_what_to_type_for_the_rest_is_the_same_command(monkeypatch, capsys, typed, advised):
    monkeypatch.setattr(sys, "argv", ["sdops", *shlex.split(typed)])
    outcome.render(stopped(2, 4), as_json=False)
    assert capsys.readouterr().err.splitlines() == ["2 of 4 pictures made; 2 missing.", advised]


def test_pictures_that_were_there_are_told_apart_from_new_ones(capsys):
    job = stopped(2, 3)
    job.there = (job.pictures.pop(0),)
    outcome.render(job, as_json=False)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[-1]) for row in rows] == [
        ("picture", "made"),
        ("a-0.png", "before"),
        ("a-1.png", "now"),
    ]
    outcome.render(job, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["made"]) for one in told["pictures"]] == [("a-0.png", False), ("a-1.png", True)]


@pytest.mark.parametrize(
    ("drawn", "images", "advised"),
    [
        (
            True,
            3,
            [
                "All 3 pictures are here already (seed 7).",
                "Others: --force. The same again: --seed 7 --force.",
            ],
        ),
        (
            False,
            3,
            ["All 3 pictures are here already (seed 7).", "Others: --seed 10. The same again: --force."],
        ),
        (False, 1, ["The picture is here already (seed 7).", "Others: --seed 8. The same again: --force."]),
    ],
    ids=["drawn", "given", "one"],
)
def test_where_nothing_is_missing_it_says_what_to_type_for_more(capsys, drawn, images, advised):
    request = JobRequest(("a.jpg",), ("a hat",), Settings(images=images, seed=7))
    there = tuple(picture(index, f"a-{index}.png") for index in range(images))
    ended = Outcome(Asked(request, (Path("a.jpg"),), drawn), Path(), there=there)
    ended.take(nothing_to_do())
    outcome.render(ended, as_json=False)
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err.splitlines()) == (images + 1, advised)
    assert outcome.exit_code(ended) == 0


def test_on_a_narrow_terminal_prompts_give_way_and_no_number_does(monkeypatch, capsys):
    request = JobRequest(("a.jpg",), ("a hat", "a cat with a long\ndescription of it"), Settings(images=1))
    ended = Outcome(Asked(request, (Path("a.jpg"),)), Path("a-folder"))
    seed = 4_294_967_290
    for index in range(2):
        data = {**picture(index, f"photo-{seed + index}.png"), "seed": seed + index, "prompt": index}
        ended.take(Event("image", data))
    ended.there = (ended.pictures.pop(0),)
    paper = io.StringIO()
    monkeypatch.setattr(outcome, "results", lambda: Console(file=paper, width=80))
    outcome.render(ended, as_json=False)
    assert [line.rstrip() for line in paper.getvalue().splitlines()[1:]] == [
        "a-folder/photo-42949672  a hat       4294967290  64x64      1.0  no       before",
        "90.png",
        "a-folder/photo-42949672  a cat wit…  4294967291  64x64      1.0  no       now",
        "91.png",
    ]


def test_a_long_name_stays_in_one_piece_where_a_program_reads_it(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    out = Path("a-folder-with-a-long-name" * 5)
    outcome.render(stopped(1, 1, out=out), as_json=False)
    assert str(out / "a-0.png") in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_readable_whatever_the_encoding_of_stdout(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    failure.render(SdopsError("usage", "é — \udcff"), as_json=True)
    sys.stdout.flush()
    assert json.loads(raw.getvalue())["error"]["message"] == "é — \udcff"


def test_letters_that_the_terminal_lacks_end_nothing(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    terminal.forgive()
    print("IMAGE…")
    sys.stdout.flush()
    assert raw.getvalue() == b"IMAGE?\n"


def printed_into(stdout, *words):
    """Exit code and stderr of the console script, whose stdout is ``stdout``."""
    command = [sys.executable, "-c", "from sdops.cli import main; main()", *words]
    settings = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    ran = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=settings, timeout=60)
    return ran.returncode, ran.stderr.splitlines()


@pytest.mark.parametrize("words", [["run", "--help"], ["--version"]], ids=["much", "little"])
def test_a_full_disk_behind_stdout_is_told_in_words(words):
    with Path("/dev/full").open("w") as full:
        assert printed_into(full, *words) == (
            1,
            [
                "Error: The result cannot be printed: No space left on device.",
                "Pictures that were made are kept.",
            ],
        )


def test_a_reader_who_has_left_is_no_matter_for_words():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert printed_into(writing, "run", "none.jpg", "a hat", "--json")[1] == []
        assert printed_into(writing, "--help") == (1, [])
    finally:
        os.close(writing)


def watched(monkeypatch, events, **settings):
    """What is left on a pretended terminal after these events."""
    paper = io.StringIO()
    console = Console(file=paper, force_terminal=True, width=100, **settings)
    monkeypatch.setattr(progress, "messages", lambda: console)
    with progress.watch(quiet=False) as watch:
        for event in events:
            watch(event)
        console.file.flush()
    return paper.getvalue()


def test_marks_in_a_models_name_are_no_marks_to_a_terminal(monkeypatch):
    shown = watched(monkeypatch, [Event("loading", {"model": "./[/x]"}), Event("notice", {"message": "now"})])
    assert "Loading ./[/x]" in shown
    assert "Note: " in shown


def test_a_terminal_that_cannot_move_its_cursor_gets_a_line_for_each_picture(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    events = [Event("planned", {"total": 2, "passes": 3})]
    events += [Event("image", picture(number, f"a-{number}.png")) for number in range(2)]
    shown = watched(monkeypatch, events, color_system=None)
    assert shown.splitlines() == [
        "2 pictures, 3 steps each",
        "[1/2] a-0.png in 1.0 s",
        "[2/2] a-1.png in 1.0 s",
    ]
