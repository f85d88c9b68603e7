"""``--watch`` of real hosts, one of which is cut off: the others go on, and Ctrl-C is heard at once."""

from __future__ import annotations

import shutil
import time

import makers
import pytest
from hosts.fixtures import do_without, need_release
from hosts.machine import UnavailableError
from people import Person, Terminal, wait_for

from .test_run_remote import SMALL

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def two(lab, guide, tmp_path_factory):
    need_release("bookworm")
    try:
        with makers.several(lab, guide, tmp_path_factory.mktemp("watched"), 2) as hosts:
            yield hosts
    except UnavailableError as reason:
        do_without(reason)


def row(terminal, host):
    """What is shown of a host, its line of the table."""
    lines = [line.split() for line in terminal.read().splitlines()]
    return next((line[1:] for line in lines if line[:1] == [host.name]), None)


def logins(host):
    """How often the account was logged in to."""
    told = host.inside(
        ["journalctl", "--quiet", "--output", "cat", "--grep", "^Accepted ", "_COMM=sshd"]
    ).stdout
    return sum(" for sdops " in line for line in told.splitlines())


def leave(terminal):
    """Presses Ctrl-C; the exit code, and after how many seconds."""
    begun = time.monotonic()
    terminal.press()
    return terminal.end(), time.monotonic() - begun


def test_status_stays_live_while_a_host_is_cut_off(lab, two, tmp_path, photo):
    well, other = two
    person = Person.of(lab, tmp_path / "her", *two)
    shutil.copy(photo, person.folder / "photo.jpg")
    before = logins(well)
    other.cut()
    try:
        terminal = Terminal(person, "status", "--watch")
        wait_for(lambda: "ready" in (row(terminal, well) or ()), "the host that is well")
        assert row(terminal, other) == ["…"]
        words = ("run", "photo.jpg", "a hat", *SMALL, "--images", "2000", "--host", well.name)
        job = person.sdops(*words, "--detach").stdout.strip()
        during = logins(well)
        wait_for(lambda: job[-8:] in (row(terminal, well) or ()), "the job")
        made = [word for word in row(terminal, well) if word.endswith("/2000")]
        wait_for(lambda: made[0] not in row(terminal, well), "another picture")
    finally:
        other.restore()
    wait_for(lambda: "ready" in (row(terminal, other) or ()), "the host that is back")
    # One login for all that was seen, and one for the job.
    assert (during - before, logins(well) - during) == (2, 0)
    well.cut()
    try:
        terminal.sees(f"{well.name}: no answer for")
        assert job[-8:] in row(terminal, well)
        code, seconds = leave(terminal)
    finally:
        well.restore()
    assert (code, seconds < 10) == (0, True), seconds  # half a second, alone; a hanging host takes longer
    assert b"Traceback" not in terminal.text
    assert person.sdops("cancel", job).rc == 0


def test_jobs_stay_live_while_a_host_is_cut_off(lab, two, tmp_path, photo):
    well, other = two
    person = Person.of(lab, tmp_path / "her", *two)
    shutil.copy(photo, person.folder / "photo.jpg")
    other.cut()
    try:
        terminal = Terminal(person, "jobs", "--watch")
        terminal.sees(f"{other.name}: no answer yet")
        words = ("run", "photo.jpg", "a red hat", *SMALL, "--host", well.name)
        job = person.sdops(*words, "--detach").stdout.strip()
        terminal.sees(job[-8:], "a red hat", "done")
        code, seconds = leave(terminal)
    finally:
        other.restore()
    assert (code, seconds < 10) == (0, True), seconds
