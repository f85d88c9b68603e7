"""``sdops status --watch`` and ``sdops jobs --watch``: no host holds up what is shown of the others."""

import contextlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pyte
import pytest
from sdops import desk
from sdops.errors import SdopsError
from sdops.inventory import Host
from sdops.jobs import lookout as lookout_module
from sdops.jobs import overview
from sdops.jobs.lookout import Lookout
from sdops.jobs.overview import Listed
from sdops.jobs.status import State
from sdops.report import jobs as jobs_report
from sdops.report import status as status_report

COMMAND = [sys.executable, "-c", "from sdops.start import main; main()"]


class Place:
    """A host whose conversations are what a test says, counted."""

    def __init__(self, name, ask):
        self.name, self.host, self.ask = name, Host(name), ask
        self.begun = self.ended = 0

    @contextlib.contextmanager
    def conversation(self):
        self.begun += 1
        try:
            yield self.ask
        finally:
            self.ended += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lookout_module, "PAUSE", 0.01)


def until(there, condition):
    end = time.monotonic() + 20
    while not condition(there.seen()):
        assert time.monotonic() < end, there.seen()
        there.news(1)


def test_a_host_that_hangs_holds_up_no_other_and_connections_are_kept():
    hangs = threading.Event()
    numbers = iter(range(10**9))
    places = [Place("gpu1", lambda: next(numbers)), Place("gpu2", lambda: hangs.wait(60))]
    begun = time.monotonic()
    with Lookout(places, lambda place, ask: ask()) as there:
        until(there, lambda seen: (seen[0][1] or 0) >= 5)
        (_, _, young), (_, silent, old) = there.seen()
        assert silent is None
        assert 0 <= young <= old
        assert not there.all_known()
    assert time.monotonic() - begun < 20
    assert [one.begun for one in places] == [1, 1]
    assert places[0].ended == 1
    hangs.set()


def test_a_connection_that_breaks_is_made_anew_and_the_error_stands_until_then():
    broken, mended = threading.Event(), threading.Event()

    def ask():
        if broken.is_set() and not mended.is_set():
            raise SdopsError("connection-lost", "It broke off.")
        return "well"

    place = Place("gpu1", ask)
    with Lookout([place], lambda place, ask: ask()) as there:
        until(there, lambda seen: seen[0][1] == "well")
        broken.set()
        until(there, lambda seen: isinstance(seen[0][1], SdopsError))
        assert there.all_known()
        mended.set()
        until(there, lambda seen: seen[0][1] == "well")
    assert place.begun >= 2


def test_attempts_to_reach_a_host_again_become_rare(monkeypatch):
    waits = []

    class Over(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            if len(waits) == 6:
                self.set()
            return self.is_set()

    monkeypatch.setattr(lookout_module, "PAUSE", 2.0)

    def ask():
        raise SdopsError("ssh-refused", "Nobody listens.")

    there = Lookout([Place("gpu1", ask)], lambda place, ask: ask())
    there._over = Over()
    with there:
        there._threads[0].join(20)
    assert waits == [2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_has_thought_of_is_told_as_an_error():
    with Lookout([Place("gpu1", lambda: 1 / 0)], lambda place, ask: ask()) as there:
        until(there, lambda seen: seen[0][1] is not None)
        assert there.seen()[0][1].code == "internal-error"


def test_hosts_that_have_not_answered_or_not_for_long_are_said_to_have_not():
    told = {"serving": True, "waiting": 0}
    view = status_report._view([State("gpu1", told, age=1), State("gpu2", told, age=40), State("gpu3")], 80)
    notes = [note.plain for note in view.notes]
    assert notes == [
        "gpu2: no answer for 40 s; this is what it said last",
        "gpu3: no answer yet, for 0 s",
    ]
    listed = [Listed("gpu1", age=1), Listed("gpu2", age=40), Listed("gpu3", answered=False)]
    assert [note.plain for note in jobs_report._notes(listed)] == notes


@pytest.mark.parametrize(("last", "serving"), [({"serving": False}, False), ({}, True)])
def test_whether_a_worker_runs_is_told_with_the_jobs_not_only_at_the_beginning(last, serving):
    class Kept:
        """A conversation that began while a worker ran."""

        def hello(self):
            return desk.Message("hello", {"serving": True})

        def say(self, do, **data):
            assert (do, data) == ("jobs", {"most": 5})

        def hear(self, *kinds):
            return desk.Message("listed", {"left": 0, **last})

    assert overview._ask(5, Place("gpu1", None), Kept()).serving is serving


@pytest.mark.parametrize("command", ["status", "jobs"])
def test_json_and_watch_are_refused_together(sdops, command):
    ran = sdops(command, "--watch", "--json")
    assert (ran.code, ran.err) == (2, "")
    assert '"code": "usage"' in ran.out


@pytest.mark.parametrize("command", ["status", "jobs"])
def test_without_hosts_there_is_nothing_to_watch(sdops, tmp_path, command):
    (tmp_path / "none.ini").write_text("")
    ran = sdops(command, "--watch", "--inventory", tmp_path / "none.ini")
    assert (ran.code, ran.out, ran.err) == (0, "", "There are no hosts but this machine.\n")


@pytest.fixture
def two_hosts(tmp_path, monkeypatch, desk_host):
    """gpu1, whose desk is real and writes down who comes, and gpu2, which accepts who comes and is silent."""
    launcher = tmp_path / "home" / desk.LAUNCHER
    launcher.write_text(launcher.read_text().replace("exec", 'echo "$1" >>~/visits\nexec', 1))
    monkeypatch.setenv("COLUMNS", "80")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        file = tmp_path / "two.ini"
        file.write_text(
            f"gpu1 ansible_connection=local\ngpu2 ansible_host=127.0.0.1 ansible_port={port} ansible_user=x\n"
        )
        yield "--inventory", str(file)


def visits(tmp_path):
    return (tmp_path / "home/visits").read_text().split()


@pytest.mark.parametrize("command", ["status", "jobs"])
def test_in_a_pipe_there_is_a_table_each_round_and_ctrl_c_ends_it(tmp_path, two_hosts, command):
    running = subprocess.Popen(
        [*COMMAND, command, "--watch", *two_hosts], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        rounds = []
        while len(rounds) < 3:
            line = running.stdout.readline()
            assert line, running.stderr.read()
            if re.fullmatch(r"\d\d:\d\d:\d\d\n", line):
                rounds.append([])
            else:
                rounds[-1].append(" ".join(line.split()))
        pressed = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
        assert time.monotonic() - pressed < 3  # the machine may be busy; alone it is half a second
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0
    assert "Traceback" not in said
    assert "gpu2: no answer yet" in said
    for one in rounds[:2] if command == "status" else ():
        assert one[1:] == ["gpu1 none ready", "gpu2 …"]
    assert visits(tmp_path) == ["attend"]


def test_on_a_terminal_the_screen_shows_what_is_known_and_ctrl_c_ends_it_quietly(tmp_path, two_hosts):
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        ["setsid", "--ctty", *COMMAND, "status", "--watch", *two_hosts],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "LINES": "24"},
    )
    os.close(theirs)

    def read(seconds):
        if select.select([ours], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # it has ended
                stream.feed(os.read(ours, 1 << 16))
        return [" ".join(line.split()) for line in screen.display]

    try:
        end = time.monotonic() + 40
        while not {"gpu1 none ready", "gpu2 …"} <= set(read(1)) or "gpu2: no answer yet" not in str(read(0)):
            assert time.monotonic() < end, read(0)
        os.write(ours, b"\x03")
        pressed = time.monotonic()
        while running.poll() is None and time.monotonic() < pressed + 20:
            read(0.1)
        assert time.monotonic() - pressed < 3  # the machine may be busy; alone it is half a second
        text = "\n".join(read(0))
    finally:
        running.kill()
        running.wait()
        os.close(ours)
    assert running.returncode == 0
    assert "Traceback" not in text and "Error" not in text
    assert visits(tmp_path) == ["attend"]
