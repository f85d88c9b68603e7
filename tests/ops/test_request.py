"""How the words of a command line become a job."""

import errno
import os
from pathlib import Path

import pytest
from sdops.errors import SdopsError
from sdops.jobs.request import ask, draw_seed, read_prompts
from sdops_runtime.protocol import Settings


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "odd name[1].jpg"):
        Path(name).write_bytes(b"")


def refused(*arguments):
    with pytest.raises(SdopsError) as caught:
        ask(*arguments, Settings())
    return caught.value.code, caught.value.message


def test_the_last_word_is_the_prompt():
    asked = ask(["a.jpg", "b.jpg", "a hat"], [], None, Settings())
    assert asked.sources == (Path("a.jpg"), Path("b.jpg"))
    assert (asked.request.inputs, asked.request.prompts) == (("a.jpg", "b.jpg"), ("a hat",))


def test_with_a_prompt_option_every_word_is_an_image():
    asked = ask(["a.jpg", "odd name[1].jpg"], ["a hat", "a cat"], None, Settings())
    assert (asked.request.inputs, asked.request.prompts) == (("a.jpg", "odd name[1].jpg"), ("a hat", "a cat"))


def test_prompts_of_a_file_are_added_to_those_of_the_options():
    Path("prompts.txt").write_text("\ufeff# hats\na red hat\n\n  a blue hat \r\n", encoding="utf-8")
    asked = ask(["a.jpg"], ["a cat"], Path("prompts.txt"), Settings())
    assert asked.request.prompts == ("a cat", "a red hat", "a blue hat")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], "input-missing", "There is no input image."),
        (["a hat"], "input-missing", "There is no input image: 'a hat' was taken for the prompt."),
        (["a.jpg"], "prompt-empty", "There is no prompt: the last word, 'a.jpg', is a file."),
        (["a.jpg", "b.jpg"], "prompt-empty", "There is no prompt: the last word, 'b.jpg', is a file."),
        (["a.jpg", ""], "prompt-empty", "The prompt is empty."),
        (["none.jpg", "a hat"], "image-missing", "none.jpg does not exist."),
        (
            ["x" * 5000],
            "input-missing",
            f"There is no input image: '{'x' * 57}...' was taken for the prompt.",
        ),
        (["a.jpg/b", "a hat"], "image-missing", "a.jpg/b does not exist."),
        (
            ["a.jpg", "x" * 5000, "a hat"],
            "image-missing",
            f"{'x' * 57}... cannot be opened: File name too long.",
        ),
        (["a\0b", "a hat"], "image-missing", "a\0b cannot be opened: embedded null byte."),
    ],
    ids=[
        "nothing",
        "prompt only",
        "image only",
        "images only",
        "blank prompt",
        "no such image",
        "endless word",
        "a file as folder",
        "an endless word among the images",
        "no name at all",
    ],
)
def test_what_is_missing_is_said(words, code, message):
    assert refused(words, [], None) == (code, message)


def test_an_image_in_a_closed_folder_is_said_to_be_closed(monkeypatch):
    closed = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr(Path, "stat", lambda self, **_: (_ for _ in ()).throw(closed))
    assert refused(["closed/a.jpg", "a hat"], [], None) == (
        "image-missing",
        "closed/a.jpg cannot be opened: Permission denied.",
    )


def test_a_prompt_too_many_is_told_why_it_was_taken_for_an_image():
    with pytest.raises(SdopsError) as caught:
        ask(["a.jpg", "a hat"], ["a cat"], None, Settings())
    assert caught.value.message == "a hat does not exist."
    assert "With -p or --prompts every other word is taken for an image." in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "prompts.txt cannot be read: No such file or directory."),
        (b"\xff\xfe\x00", "prompts.txt cannot be read: it is not UTF-8 text."),
        (b"# nothing\n\n", "prompts.txt holds no prompt."),
    ],
    ids=["missing", "binary", "empty"],
)
def test_a_file_of_prompts_that_is_none_is_named(content, message):
    path = Path("prompts.txt")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SdopsError) as caught:
        read_prompts(path)
    assert (caught.value.code, caught.value.message) == ("prompts-unreadable", message)


def test_drawn_seeds_differ_and_fit_into_32_bits():
    seeds = {draw_seed() for _ in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**32 for seed in seeds)
