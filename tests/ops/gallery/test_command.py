"""The command that a picture shows is the one that makes it."""

import shlex
from pathlib import Path

import pytest
from sdops.gallery.command import command, seen_from
from sdops_runtime import png
from sdops_runtime.protocol import DEFAULT_MODEL


def words(folder, source="photo.jpg", **settings):
    record = png.read_record(
        folder.add(7, **{"model": DEFAULT_MODEL, "width": 512, "height": 344, **settings})
    )
    return command(record, source)


def test_what_is_usual_is_left_out(folder):
    assert words(folder) == "sdops run photo.jpg 'a hat' --seed 7"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (
            {"strength": 0.35, "steps": 20, "guidance": 10},
            "--strength 0.35 --steps 20 --guidance 10 --seed 7",
        ),
        ({"negative_prompt": "a cat's"}, """--negative 'a cat'"'"'s' --seed 7"""),
        ({"width": 256, "height": 168}, "--seed 7 --width 256"),
        ({"height": 512}, "--seed 7 --height 512"),
        ({"model": "a/b", "revision": "c0ffee"}, "--seed 7 --model a/b --revision c0ffee"),
        ({"model": "demo", "revision": "recipe 1"}, "--seed 7 --model demo"),
        ({"dtype": "float32"}, "--seed 7 --dtype float32"),
        ({"dtype": "float32", "device": "CPU"}, "--seed 7"),
        ({"background": "#ff0000"}, "--seed 7 --background '#ff0000'"),
    ],
)
def test_what_is_not_is_an_option(folder, settings, options):
    assert words(folder, **settings) == f"sdops run photo.jpg 'a hat' {options}"


def test_what_begins_with_a_dash_is_no_option(folder):
    assert words(folder, source="-x.jpg", prompt="--help") == "sdops run ./-x.jpg --prompt=--help --seed 7"


def test_it_makes_the_same_picture(sdops, photo, demo_folder):
    settings = ("--model", "demo", "--width", 96, "--steps", 3, "--strength", 0.5, "--seed", 9)
    assert sdops("run", photo, "a hat; it's", *settings, "--out", "first").code == 0
    first = Path("first/photo-9.png")
    typed = command(png.read_record(first), seen_from(Path.cwd(), photo))
    assert sdops(*shlex.split(typed)[1:], "--out", "second").code == 0
    assert Path("second/photo-9.png").read_bytes() == first.read_bytes()
