"""Ctrl-C, pressed once, twice and more, at every moment of a job on a real host; and jobs --watch."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from people import Person, Terminal, wait_for
from PIL import Image
from sdops.jobs import remote

pytestmark = pytest.mark.hosts

SMALL = ("--model", "demo", "--width", "96", "--steps", "4", "--strength", "0.5")
LAUNCHER = "/home/sdops/.local/bin/sdops-runtime"
QUEUE = "home/sdops/.local/share/sdops"


@pytest.fixture
def person(lab, maker, tmp_path, photo):
    one = Person.of(lab, tmp_path / "her", maker)
    shutil.copy(photo, one.folder / "photo.jpg")
    return one


def jobs_of(host):
    """State by name, as the host's own program lists them."""
    lines = host.run([LAUNCHER, "jobs"], user="sdops").stdout.splitlines()
    return {one["job"]: one["state"] for one in map(json.loads, lines)}


def wait_for_a_moment(seconds):
    """For what no event tells of: that a key is not pressed for so long."""
    time.sleep(seconds)


def start(person, host, *words):
    """A job that takes a minute, to be cancelled by whoever began it, with its first picture here."""
    asked = ("run", "photo.jpg", "a hat", *SMALL, "--steps", "16", "--images", "1500", "--host", host.name)
    running = person.start(*asked, "--out", "out", *words)
    wait_for(lambda: list((person.folder / "out").glob("*.png")) or running.ended(), "a picture")
    return running, person.tickets()[-1]


def ends(host, job, state):
    wait_for(lambda: jobs_of(host)[job] == state, state)


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["words", "json"])
def test_a_key_that_is_held_down_cancels(person, maker, words):
    running, job = start(person, maker, *words)
    for _ in range(8):
        running.press()
        # Two signals that come together are one.
        wait_for_a_moment(0.05)
    assert running.wait() == 130
    assert "Traceback" not in running.err
    ends(maker, job, "cancelled")
    if words:
        assert running.err == ""
        assert json.loads(running.out)["end"] == "cancelled"
    else:
        assert f"Cancelling {job}" in running.err


def test_a_third_press_ends_it_where_the_host_cannot_be_told(person, maker):
    running, job = start(person, maker)
    maker.cut()
    try:
        running.press()
        wait_for(lambda: "Detached" in running.err, "detached")
        running.press()
        wait_for(lambda: "Cancelling" in running.err, "cancelling")
        wait_for_a_moment(remote.GRACE + 0.2)
        running.press()
        assert running.wait(10) == 130
    finally:
        maker.restore()
    assert "Traceback" not in running.err
    assert f"sdops cancel {job}" in running.err
    assert person.tickets()[-1] == job
    assert person.sdops("cancel", job).rc == 0
    ends(maker, job, "cancelled")


def test_while_it_is_sent_nothing_is_left_behind(person, maker):
    noise = Image.merge("RGB", [Image.effect_noise((900, 900), 90) for _ in range(3)])
    noise.save(person.folder / "noise.png")
    before = jobs_of(maker)
    maker.link.shape(rate="1mbit")
    try:
        running = person.start(
            *(
                "run",
                "noise.png",
                "a hat",
                "--model",
                "demo",
                "--width",
                "768",
                "--host",
                maker.name,
                "--json",
            )
        )
        parts = maker.root / QUEUE / "inputs"
        wait_for(lambda: list(parts.glob(".*.part")) or running.ended(), "the sending")
        running.press()
        assert running.wait(20) == 130
    finally:
        maker.link.shape()
    assert json.loads(running.out)["error"]["code"] == "interrupted"
    assert running.err == ""
    assert jobs_of(maker) == before
    assert person.tickets() == []
    wait_for(lambda: not list(parts.glob(".*.part")), "the rest of it to be gone")


def test_while_the_pictures_are_opened_nothing_is_left_behind(person, maker):
    Image.new("RGB", (4000, 4000), "red").save(person.folder / "big.png", compress_level=1)
    before = jobs_of(maker)
    big = ["big.png"] * 20
    spool = person.folder / "spool"
    spool.mkdir()
    running = person.start("run", *big, "-p", "a hat", *SMALL, "--host", maker.name, TMPDIR=str(spool))
    wait_for(lambda: list(spool.glob("sdops-*/*")) or running.ended(), "the first to be fitted")
    running.press()
    assert running.wait(5) == 130
    assert running.err == "Error: Interrupted.\n"
    assert (jobs_of(maker), person.tickets(), list(spool.iterdir())) == (before, [], [])


def test_attach_is_left_as_run_is_and_fetch_at_once(person, maker):
    running, job = start(person, maker)
    running.press()
    assert running.wait() == 130
    attached = person.start("attach", job, name="attach")
    wait_for(lambda: "[" in attached.err or attached.ended(), "pictures")
    attached.press()
    assert attached.wait() == 130
    assert f"sdops attach {job}" in attached.err
    assert jobs_of(maker)[job] == "running"
    maker.link.shape(rate="500kbit")
    try:
        fetched = person.start("fetch", job, "--out", "slowly", name="fetch")
        wait_for(lambda: list((person.folder / "slowly").glob("*.png")) or fetched.ended(), "a picture")
        fetched.press()
        assert fetched.wait(20) == 130
    finally:
        maker.link.shape()
    assert fetched.err.splitlines()[-1] == "Error: Interrupted."
    assert "Detached" not in fetched.err
    assert person.sdops("cancel", job).rc == 0
    ends(maker, job, "cancelled")


def test_jobs_are_watched_until_ctrl_c(person, maker):
    running, job = start(person, maker)
    watching = Terminal(person, "jobs", "--watch", "--most", "3")
    watching.sees(job[-8:], "running", "/150", "a hat")
    watching.press()
    assert watching.end() == 0
    shown = watching.read()
    assert "Traceback" not in shown
    assert "Error" not in shown
    assert job[-8:] in shown
    running.press()
    running.press()
    assert running.wait() == 130


def test_a_run_in_a_terminal_is_followed_and_left(person, maker):
    terminal = Terminal(
        person, "run", "photo.jpg", "a hat", *SMALL, "--images", "150", "--seed", "7", "--host", maker.name
    )
    terminal.sees("Pictures", "/150", "Steps")
    terminal.press()
    terminal.sees("Detached")
    terminal.press()
    terminal.sees("Cancelling")
    assert terminal.end() == 130
    shown = terminal.read()
    assert "Traceback" not in shown
    assert "of 150 pictures made" in shown.replace("\n", " ")
