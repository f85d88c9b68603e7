"""``sdops sweep``: every strength and guidance of a grid, from the same seeds, as one job."""

import errno
import json
import os
from pathlib import Path

import pytest
from PIL import Image
from sdops.errors import SdopsError
from sdops.gallery import sheet
from sdops.gallery.collect import collect
from sdops.gallery.sweep import sweeps
from sdops.jobs import manifest
from sdops.jobs.local import Outcome
from sdops.jobs.request import Asked
from sdops.jobs.values import values
from sdops_runtime import png
from sdops_runtime.protocol import JobRequest, Settings

QUICK = ("--model", "demo", "--width", "96", "--steps", "4", "--seed", "7", "--host", "local")
GRID = ("--strength", "0.5,0.9", "--guidance", "5..7.5:2.5")
CELLS = [(0.5, 5), (0.5, 7.5), (0.9, 5), (0.9, 7.5)]
NAMES = [f"photo-7-s{strength:g}-g{guidance:g}.png" for strength, guidance in CELLS]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", (0.5,)),
        ("5,7.5,10", (5, 7.5, 10)),
        ("0.3..0.9:0.2", (0.3, 0.5, 0.7, 0.9)),
        ("0.1..1:0.1", tuple(number / 10 for number in range(1, 11))),
        ("1..2:0.6", (1, 1.6)),
        ("3..3:1", (3,)),
        ("0.9, 0.1..0.3:0.1", (0.9, 0.1, 0.2, 0.3)),
        ("5,5.0,5", (5,)),
    ],
)
def test_values_are_read_as_typed(text, expected):
    assert values(text, "strength") == expected


@pytest.mark.parametrize(
    "text", ["", "a", "1..", "..2:1", "1..2", "1..2:0", "1..2:-1", "2..1:1", "nan", "1,,2", "1..inf:1"]
)
def test_what_is_no_value_is_said_with_an_example(text):
    with pytest.raises(SdopsError, match="cannot be understood") as error:
        values(text, "strength")
    assert "--strength 0.3..0.9:0.2" in error.value.hint


def test_a_slip_of_the_finger_makes_no_thousands():
    with pytest.raises(SdopsError, match="more than 100"):
        values("0..1:0.00001", "strength")


def test_a_request_with_a_sweep_comes_back_and_counts_its_pictures():
    request = JobRequest(
        ("a.png", "b.png"), ("x",), Settings(images=2, seed=7), sweep=((0.5, 5.0), (0.9, 5.0))
    )
    request.check()
    assert JobRequest.from_json(request.to_json()) == request
    assert [(one.cell, one.input, one.seed) for one in request.items()] == [
        (0, 0, 7), (0, 0, 8), (0, 1, 9), (0, 1, 10), (1, 0, 7), (1, 0, 8), (1, 1, 9), (1, 1, 10)
    ]  # fmt: skip
    assert request.total == 8
    assert [request.at(cell).strength for cell in (0, 1)] == [0.5, 0.9]


@pytest.mark.parametrize("sweep", [((0.5, 5.0), (0.5, 5.0)), ((0.5, 5.0), (1.5, 5.0)), ((0.5, 500.0),)])
def test_a_cell_is_checked_like_the_settings(sweep):
    with pytest.raises(SdopsError) as error:
        JobRequest(("a.png",), ("x",), sweep=sweep).check()
    assert error.value.code == "settings-invalid"


def test_every_cell_is_the_picture_that_a_run_makes(sdops, photo, demo_folder):
    ran = sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["ok"]) == (0, True)
    assert [one["name"] for one in told["pictures"]] == NAMES
    assert [(one["strength"], one["guidance"], one["seed"]) for one in told["pictures"]] == [
        (*cell, 7) for cell in CELLS
    ]
    assert told["sheets"] == ["swept/photo-7-sheet.png"]
    for (strength, guidance), name in zip(CELLS, NAMES, strict=True):
        out = f"run-{strength}-{guidance}"
        sdops("run", photo, "a hat", *QUICK, "--strength", strength, "--guidance", guidance, "--out", out)
        swept, plain = Path("swept", name), Path(out, "photo-7.png")
        record = png.read_record(swept)
        assert (record.strength, record.guidance, record.seed) == (strength, guidance, 7)
        with Image.open(swept) as one, Image.open(plain) as other:
            assert one.tobytes() == other.tobytes()


def test_the_sheet_shows_all_and_the_gallery_a_grid(sdops, photo, demo_folder):
    ran = sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    assert "Contact sheet: swept/photo-7-sheet.png" in ran.out
    assert "guidance" in ran.out.splitlines()[0]
    with Image.open("swept/photo-7-sheet.png") as sheet:
        assert sheet.width > 2 * 96
        assert sheet.height > 2 * 64
    found = collect(Path("swept"), deep=False)
    (one,) = sweeps(found.pictures)
    assert (one.strengths, one.guidances) == ((0.5, 0.9), (5, 7.5))


def test_the_same_sweep_again_makes_what_is_missing(sdops, photo, demo_folder):
    sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    before = {name: Path("swept", name).read_bytes() for name in NAMES}
    Path("swept", NAMES[2]).unlink()
    Path("swept", "photo-7-sheet.png").unlink()
    told = json.loads(sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept", "--json").out)
    assert [one["name"] for one in told["pictures"] if one["made"]] == [NAMES[2]]
    assert {name: Path("swept", name).read_bytes() for name in NAMES} == before
    assert Path("swept", "photo-7-sheet.png").exists()
    again = sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    assert "here already" in again.err
    assert "--seed 8" in again.err
    settings = [
        (one.settings["strength"], one.settings["guidance"]) for one in manifest.read(Path("swept")).items
    ]
    assert settings[:4] == CELLS


def test_another_grid_adds_to_the_folder(sdops, photo, demo_folder):
    sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    told = json.loads(
        sdops(
            "sweep",
            photo,
            "a hat",
            *QUICK,
            "--strength",
            "0.5",
            "--guidance",
            "5,10",
            "--out",
            "swept",
            "--json",
        ).out
    )
    assert [(one["name"], one["made"]) for one in told["pictures"]] == [
        (NAMES[0], False),
        ("photo-7-s0.5-g10.png", True),
    ]


def test_a_file_that_is_no_sheet_stays(sdops, photo, demo_folder):
    Path("swept").mkdir()
    Path("swept/photo-7-sheet.png").write_text("mine")
    ran = sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    assert ran.code == 0
    assert "Contact sheet" not in ran.out
    assert "Note: swept/photo-7-sheet.png is there already, and is no contact sheet" in ran.err
    assert Path("swept/photo-7-sheet.png").read_text() == "mine"


def test_a_sheet_that_cannot_be_written_takes_nothing_from_the_job(sdops, photo, demo_folder, monkeypatch):
    words = ("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    sdops(*words)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = sdops(*words)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == [f"swept/{name}" for name in NAMES]
    assert "Note: The disk of swept is full." in ran.err
    told = json.loads(sdops(*words, "--json").out)
    assert (told["ok"], len(told["pictures"]), told["sheets"]) == (True, 4, [])
    assert [one["code"] for one in told["notices"]] == ["disk-full"]


def test_ctrl_c_while_a_sheet_is_drawn_takes_nothing_from_the_job(sdops, photo, demo_folder, monkeypatch):
    def interrupt(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(sheet, "_open", interrupt)
    told = json.loads(sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept", "--json").out)
    assert (told["ok"], len(told["pictures"]), told["sheets"]) == (True, 4, [])
    assert [one["code"] for one in told["notices"]][-1] == "interrupted"


def test_a_picture_that_is_broken_or_anothers_leaves_its_cell_empty(sdops, photo, demo_folder):
    sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    broken, other, gone = (Path("swept", name) for name in NAMES[:3])
    broken.write_bytes(broken.read_bytes()[:-60])
    other.write_bytes(Path("swept", NAMES[3]).read_bytes())
    gone.unlink()
    settings = Settings(model="demo", width=96, steps=4, seed=7)
    request = JobRequest(("photo.jpg",), ("a hat",), settings, sweep=tuple(CELLS))
    made = sheet.write(Outcome(Asked(request, (photo,)), Path("swept")))
    assert made.paths == (Path("swept/photo-7-sheet.png"),)
    assert [(one.code, NAMES[0] in one.message) for one in made.troubles] == [("image-unreadable", True)]
    with Image.open(made.paths[0]) as drawn:
        # What is no frame on paper is a picture: the last cell alone.
        colours = [drawn.getpixel((drawn.width - x, drawn.height - y)) for x, y in ((170, 110), (60, 40))]
    assert (colours[0] == (251, 250, 248), colours[1] == (251, 250, 248)) == (True, False)


def test_a_sheet_too_large_for_pillow_to_open_is_known_and_drawn_anew(sdops, photo, demo_folder, monkeypatch):
    words = ("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept", "--json")
    sdops(*words)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    told = json.loads(sdops(*words).out)
    assert (told["sheets"], told["notices"]) == (["swept/photo-7-sheet.png"], [])


def test_a_large_grid_has_small_pictures(sdops, photo, demo_folder, monkeypatch):
    sdops("run", photo, "a hat", *QUICK)
    sweep = [(row / 100, column) for row in range(1, 51) for column in range(1, 51)]
    cells = dict.fromkeys(sweep, sheet._Cell(Path("photo-7.png"), (96, 64)))
    monkeypatch.setattr(sheet, "MOST", 3_000_000)
    drawn = sheet._draw("a hat", 7, sweep, cells, [])
    assert 2_500_000 < drawn.width * drawn.height <= 3_000_000
    # The last one is a picture, too.
    assert drawn.getpixel((drawn.width - 25, drawn.height - 30)) != (251, 250, 248)


def test_the_example_stands_on_one_line(sdops, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (line,) = [line for line in sdops("sweep", "--help").out.splitlines() if "Example:" in line]
    assert line.split()[-4:] == ["--strength", "0.3..0.9:0.2", "--guidance", "5,9"]


def test_a_picture_of_a_sweep_is_made_again(sdops, photo, demo_folder):
    sdops("sweep", photo, "a hat", *QUICK, *GRID, "--out", "swept")
    told = json.loads(sdops("replay", f"swept/{NAMES[3]}", "--input", photo, "--json").out)
    assert told["pictures"][0]["identical"]


def test_a_host_makes_it_too(sdops, photo, desk_host):
    words = [word for word in QUICK if word not in ("--host", "local")]
    ran = sdops("sweep", photo, "a hat", *words, *GRID, "--out", "swept", "--json", *desk_host)
    told = json.loads(ran.out)
    assert (ran.code, [one["name"] for one in told["pictures"]]) == (0, NAMES)
    assert Path("swept/photo-7-sheet.png").exists()


def test_attach_and_fetch_write_the_sheet_of_a_sweep_that_was_left_to_its_host(sdops, photo, desk_host):
    words = [word for word in QUICK if word not in ("--host", "local")]
    command = ("sweep", photo, "a hat", *words, *GRID, "--out", "swept", *desk_host)
    left = json.loads(sdops(*command, "--detach", "--json").out)
    assert (left["pictures"], left["sheets"]) == ([], [])
    told = json.loads(sdops("attach", "--json").out)
    assert (len(told["pictures"]), told["sheets"]) == (4, ["swept/photo-7-sheet.png"])
    whole = Path("swept/photo-7-sheet.png").read_bytes()
    assert "Contact sheet: got/photo-7-sheet.png" in sdops("fetch", left["job"], "--out", "got").out
    assert Path("got/photo-7-sheet.png").read_bytes() == whole
    # Those that were here before stand on it, too.
    Path("swept", NAMES[2]).unlink()
    Path("swept/photo-7-sheet.png").unlink()
    sdops(*command, "--detach")
    told = json.loads(sdops("attach", "--json").out)
    assert ([one["name"] for one in told["pictures"]], len(told["sheets"])) == ([NAMES[2]], 1)
    assert Path("swept/photo-7-sheet.png").read_bytes() == whole


@pytest.mark.parametrize(
    ("option", "value"), [("--strength", "0..1:0.5"), ("--guidance", "5,200"), ("--strength", "x")]
)
def test_wrong_values_make_nothing(sdops, photo, option, value):
    ran = sdops("sweep", photo, "a hat", *QUICK, option, value, "--out", "swept")
    assert (ran.code, ran.out) == (2, "")
    assert not Path("swept").exists()
