"""``sdops replay``: the same picture again from what it carries, and how far apart the two are."""

import hashlib
import json
import math
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from sdops.jobs import source
from sdops.jobs.likeness import Likeness, compare
from sdops_runtime import png
from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import Event

QUICK = ("--model", "demo", "--width", "128", "--steps", "4", "--seed", "7")


@pytest.fixture(autouse=True)
def _libraries(libraries):
    pass


def told(ran):
    """What was said of the only picture."""
    (one,) = json.loads(ran.out)["pictures"]
    return one


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def rewrite(path, pixels=None, to=None, **changes):
    """Saves a picture with other pixels or another record."""
    record = replace(png.read_record(path), **changes)
    with Image.open(path) as image:
        image.load()
        found = image if pixels is None else pixels(image)
    png.save_png(found, Path(to or path), record, overwrite=True)


@pytest.fixture
def four(sdops, photo):
    """Four pictures of a job of two prompts in the working folder."""
    words = ("-p", "a hat", "-p", "a [bold]cat[/], ünï", "-n", "2", "--negative", "blur")
    assert sdops("run", photo, *words, *QUICK, "--strength", "0.6", "--background", "navy").code == 0
    return [Path(f"photo-{seed}.png") for seed in range(7, 11)]


def test_a_picture_is_the_same_again_to_the_last_byte(sdops, four):
    ran = sdops("replay", four[3])
    assert ran.code == 0
    assert ran.out == "photo-10.png: identical\n  The file is the same, too.\n"
    assert ran.err.splitlines()[-2:] == ["1 picture, 3 steps each", ran.err.splitlines()[-1]]
    assert sorted(path.name for path in Path().iterdir()) == sorted([*map(str, four), "sdops.ndjson"])


def test_several_pictures_and_the_model_is_loaded_once(sdops, four, monkeypatch):
    from sdops_runtime import pipeline

    loaded = []
    load = pipeline.load
    monkeypatch.setattr(pipeline, "load", lambda *words: loaded.append(words) or load(*words))
    ran = sdops("replay", *four, "--json")
    document = json.loads(ran.out)
    assert (ran.code, ran.err, document["ok"], document["error"]) == (0, "", True, None)
    assert [(one["picture"], one["identical"], one["same_file"]) for one in document["pictures"]] == [
        (str(path), True, True) for path in four
    ]
    assert len(loaded) == 1


def test_the_place_in_the_batch_is_the_same_again(sdops, four, monkeypatch):
    """On a CPU the batch is always 1; what is asked for shows that the record's would be taken."""
    from sdops.jobs import replay

    asked = []

    def make(one, out, watch):
        asked.append(one)
        raise SdopsError("interrupted", "enough")

    monkeypatch.setattr(replay, "maker", lambda *_: make)
    rewrite(four[3], batch=4, compiled=True)
    sdops("replay", four[3])
    rewrite(four[3], batch=8, index=123_456, seed=123_463)
    sdops("replay", four[3])
    first, second = (one.request for one in asked)
    assert (first.batch, first.skip, first.settings.images, first.settings.seed) == (4, (0, 1, 2), 4, 7)
    assert first.items()[3].seed == 10
    assert first.compiled is True
    assert (second.batch, second.skip, second.settings.images) == (8, (), 1)  # 123,456 is 0 modulo 8
    assert second.items()[0].seed == 123_463


def test_a_changed_picture_is_told_with_how_far_it_is_apart(sdops, four):
    rewrite(four[0], lambda image: image.point(lambda value: value ^ 4 if value % 16 == 0 else value))
    ran = sdops("replay", four[0])
    assert ran.code == 1
    verdict, numbers, *reason = ran.out.splitlines()
    assert verdict == "photo-7.png: different"
    assert "of the values differ, by 4 of 255 at most; mean 0." in numbers
    assert numbers.endswith(" dB.")
    assert reason == [
        "  It was made with the same versions on the same device: it was changed since,",
        "  or the model's files were.",
    ]
    one = told(sdops("replay", four[0], "--json"))
    assert (one["identical"], one["same_file"], one["largest"], one["changes"]) == (False, False, 4, {})
    assert 0 < one["differing"] < 1
    assert 40 < one["psnr"] < 80


def test_what_was_otherwise_is_said(sdops, four):
    versions = {**png.read_record(four[0]).versions, "torch": "old"}
    rewrite(four[0], lambda image: image.point(lambda value: value // 2), versions=versions, stack="guide")
    rewrite(four[1], device="NVIDIA A100")
    ran = sdops("replay", *four[:2])
    assert ran.code == 1
    first, second = ran.out.split("photo-8.png")
    assert "  It was made with stack guide, torch old;\n  the new one with stack " in first
    assert second == ": identical\n  It was made on NVIDIA A100;\n  the new one on CPU.\n"
    one = told(sdops("replay", four[1], "--json"))
    assert (one["identical"], one["same_file"]) == (True, False)
    assert one["changes"] == {"device": {"then": "NVIDIA A100", "now": "CPU"}}


def test_a_picture_of_another_size_was_changed(sdops, four):
    rewrite(four[0], lambda image: image.resize((64, 64)))
    ran = sdops("replay", four[0])
    assert ran.code == 1
    assert "It has another size than it was made with: it was changed since." in ran.out


def test_the_new_picture_is_kept_where_it_is_wanted(sdops, four):
    assert sdops("replay", four[0], "--out", "new/folder").code == 0
    assert sha256("new/folder/photo-7.png") == sha256(four[0])
    ran = sdops("replay", four[0], "--out", "new/folder")
    assert (ran.code, ran.err) == (
        2,
        "Error: new/folder/photo-7.png is there already.\nUse another --out.\n",
    )


def test_a_flagged_picture_is_black_again(sdops, photo, monkeypatch):
    from sdops_runtime import pipeline

    make = pipeline.Engine.make

    def flag(self, *words, **named):
        made = make(self, *words, **named)
        return [replace(one, image=Image.new("RGB", one.image.size), flagged=True) for one in made]

    monkeypatch.setattr(pipeline.Engine, "make", flag)
    sdops("run", photo, "a hat", *QUICK)
    assert png.read_record(Path("photo-7.png")).flagged
    assert told(sdops("replay", "photo-7.png", "--json"))["same_file"]


def test_a_host_makes_it_again_too(sdops, four, desk_host):
    one = told(sdops("replay", four[3], *desk_host, "--json"))
    assert (one["identical"], one["same_file"]) == (True, True)


# -- the image that it was made from


@pytest.fixture
def lone(sdops, photo, tmp_path):
    """A picture alone in a folder of its own, its input and its manifest elsewhere."""
    sdops("run", photo, "a hat", *QUICK, "--out", "first")
    folder = tmp_path / "lone"
    folder.mkdir()
    shutil.move("first/photo-7.png", folder)
    return folder / "photo-7.png"


def test_the_input_is_found_by_the_manifest_even_if_the_picture_has_another_name(sdops, four, photo):
    four[0].rename("best one.png")
    one = told(sdops("replay", "best one.png", "--json"))
    assert (one["identical"], one["input"]) == (True, str(photo))


@pytest.mark.parametrize("where", ["beside", "here"])
def test_the_input_is_found_by_its_bytes(sdops, lone, photo, where):
    folder = lone.parent if where == "beside" else Path.cwd()
    (folder / "a.jpg").write_bytes(b"another")
    (folder / "photo.jpg").write_bytes(b"of the right name, and another all the same")
    (folder / "odd\nname").write_bytes(photo.read_bytes())
    photo.unlink()
    one = told(sdops("replay", lone, "--json"))
    found = lone.parent / "odd\nname" if where == "beside" else Path("odd\nname")
    assert (one["identical"], one["input"]) == (True, str(found))


def test_the_input_may_be_named(sdops, lone, photo):
    (photo.parent / "other.jpg").write_bytes(b"x")
    words = ("--input", photo.parent / "other.jpg", "--input", photo)
    assert told(sdops("replay", lone, *words, "--json"))["input"] == str(photo)


def test_an_input_that_is_not_found_is_said_with_its_hash(sdops, lone, photo):
    ran = sdops("replay", lone)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"Error: The image that {lone} was made from is not found.",
        f"Name the original with --input FILE; its SHA-256 is {sha256(photo)}.",
    ]


def test_an_input_that_has_changed_is_said(sdops, four, photo):
    before = sha256(photo)
    photo.write_bytes(b"edited")
    ran = sdops("replay", four[0])
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            f"Error: {photo} has changed since photo-7.png was made from it.",
            f"Name the original with --input FILE; its SHA-256 is {before}.",
        ],
    )


def test_a_file_named_that_is_another_one_is_said(sdops, four, photo):
    Path("other.jpg").write_bytes(b"x")
    ran = sdops("replay", four[0], "--input", "other.jpg", "--json")
    assert (ran.code, told(ran)["error"]["code"]) == (2, "source-differs")
    ran = sdops("replay", four[0], "--input", "none.jpg", "--json")
    assert (ran.code, told(ran)["error"]["code"]) == (2, "image-missing")


def test_files_too_large_and_too_many_are_not_looked_into(sdops, lone, photo, monkeypatch):
    shutil.copy(photo, lone.parent / "zzz.jpg")
    size = photo.stat().st_size
    (lone.parent / "aaa.jpg").write_bytes(bytes(size))
    for largest, most, code in ((size, 2 * size, 0), (size - 1, 2 * size, 2), (size, 2 * size - 1, 2)):
        monkeypatch.setattr(source, "LARGEST", largest)
        monkeypatch.setattr(source, "MOST", most)
        assert sdops("replay", lone).code == code


# -- what cannot be replayed


def test_a_picture_without_metadata_is_said(sdops, photo):
    Image.new("RGB", (8, 8)).save("plain.png")
    for name, why in (("plain.png", "carries no settings of sdops"), (photo, "is no PNG")):
        ran = sdops("replay", name)
        assert ran.code == 2
        assert ran.err.splitlines()[0] == f"Error: {Path(name).name} {why}."
    assert told(sdops("replay", "none.png", "--json"))["error"]["code"] == "image-missing"


def test_a_picture_of_a_newer_sdops_is_said(sdops, four):
    rewrite(four[0], schema=99)
    ran = sdops("replay", four[0])
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            "Error: photo-7.png was made by a newer sdops, whose settings this one cannot read.",
            "Update sdops.",
        ],
    )


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"batch": 0}, {"steps": 0}, {"width": 7}, {"dtype": "int4"}, {"index": -1}, {"prompt": ""}],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_cannot_be_are_said(sdops, four, change):
    rewrite(four[3], **change)
    ran = sdops("replay", four[3], "--json")
    assert (ran.code, told(ran)["error"]["code"]) == (2, "metadata-missing")


def test_one_that_cannot_be_replayed_does_not_keep_the_others_from_it(sdops, four):
    Image.new("RGB", (8, 8)).save("plain.png")
    ran = sdops("replay", "plain.png", four[0])
    assert ran.code == 1
    assert ran.out == "photo-7.png: identical\n  The file is the same, too.\n"
    assert ran.err.splitlines()[-3:-1] == ["plain.png:", "Error: plain.png carries no settings of sdops."]
    document = json.loads(sdops("replay", "plain.png", four[0], "--json").out)
    assert (document["ok"], document["error"]["code"]) == (False, "metadata-missing")
    assert [one["error"] is None for one in document["pictures"]] == [False, True]


def test_control_characters_in_names_do_not_reach_the_terminal(sdops, four):
    odd = Path("a\x1b[31m[red].png")
    four[0].rename(odd)
    ran = sdops("replay", odd)
    assert (ran.code, "\x1b" in ran.out + ran.err) == (0, False)
    assert "[red].png: identical" in ran.out


# -- the model


def test_a_model_in_a_folder_has_to_be_named_unless_the_manifest_knows_it(sdops, photo, demo_folder):
    model = Path("my-model")
    model.symlink_to(demo_folder)
    shutil.copytree(demo_folder, "models/mine")
    ran = sdops("run", photo, "a hat", *QUICK, "--model", "models/mine")
    assert ran.code == 0, ran.err
    assert png.read_record(Path("photo-7.png")).model == "mine"
    assert sdops("replay", "photo-7.png").code == 0
    Path("models").rename("moved")
    ran = sdops("replay", "photo-7.png")
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            "Error: photo-7.png was made with a model in a folder mine, and does not tell where that is.",
            "Name the folder: --model DIR",
        ],
    )
    assert told(sdops("replay", "photo-7.png", "--model", "moved/mine", "--json"))["same_file"]


def test_a_model_of_the_hub_is_asked_for_at_the_very_commit(sdops, four, monkeypatch):
    from sdops.jobs import replay

    asked = []

    def make(one, out, watch):
        asked.append(one.request.settings)
        raise SdopsError("hub-offline", "no hub")

    monkeypatch.setattr(replay, "maker", lambda *_: make)
    rewrite(four[0], model="someone/model", revision="c" * 40)
    for words in ((), ("--model", "someone/model"), ("--model", "other/model")):
        assert told(sdops("replay", four[0], *words, "--json"))["error"]["code"] == "hub-offline"
    assert [(one.model, one.revision) for one in asked] == [
        ("someone/model", "c" * 40),
        ("someone/model", "c" * 40),
        ("other/model", None),
    ]


def test_a_number_format_that_is_not_there_is_replaced_and_said(sdops, four, monkeypatch):
    """The guide's torch has no half precision on a CPU; today's has, so it is refused here."""
    from sdops_runtime import dialect

    monkeypatch.setattr(dialect, "computes_half_on_cpu", lambda: False)
    rewrite(four[0], dtype="float16")
    ran = sdops("replay", four[0])
    assert ran.code == 0
    assert ran.out.splitlines()[1:] == [
        "  It was made with dtype float16;",
        "  the new one with dtype float32.",
    ]


def test_ctrl_c_is_answered(sdops, four, monkeypatch):
    from sdops_runtime import job

    def stop(request, sources, place, emit, **_):
        emit(Event("cancelled", {"missing": [7]}))

    monkeypatch.setattr(job, "run", stop)
    ran = sdops("replay", four[0])
    assert (ran.code, ran.out, ran.err) == (130, "", "Error: Interrupted.\n")


def test_help_comes_without_the_libraries(photo):
    script = "import sys; from sdops.cli import app; app(['replay', '--help'], standalone_mode=False)"
    script += "; print(sorted({'torch', 'PIL', 'numpy'} & set(sys.modules)))"
    code = f"import sys; sys.path[:0] = {sys.path!r}; {script}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


# -- how far apart


def test_pictures_are_compared_value_by_value():
    black = Image.new("RGB", (4, 5))
    assert compare(black, black.copy()) == Likeness(0.0, 0, 0.0, None)
    assert compare(black, black.copy()).identical
    other = black.copy()
    other.putpixel((1, 1), (0, 10, 2))
    found = compare(black, other)
    assert not found.identical
    assert (found.differing, found.largest, found.mean) == (pytest.approx(2 / 60), 10, pytest.approx(12 / 60))
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / (104 / 60)))
    assert compare(black, Image.new("RGB", (4, 5), "white")) == Likeness(1.0, 255, 255.0, 0.0)
    assert compare(black, Image.new("RGB", (5, 4))) == Likeness(None, None, None, None)


def test_the_numbers_are_those_of_the_definition():
    chance = random.Random(7)
    one, other = (bytes(chance.randrange(256) for _ in range(30 * 20 * 3)) for _ in range(2))
    apart = [abs(a - b) for a, b in zip(one, other, strict=True)]
    found = compare(Image.frombytes("RGB", (30, 20), one), Image.frombytes("RGB", (30, 20), other))
    assert found.differing == pytest.approx(sum(map(bool, apart)) / 1800)
    assert found.largest == max(apart)
    assert found.mean == pytest.approx(sum(apart) / 1800)
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / (sum(x * x for x in apart) / 1800)))
