"""One behaviour over every transport: the same tests with this machine, and with a real SSH server."""

import hashlib
import os
import re
import threading
import time
from pathlib import Path

import pytest
import sdops
from sdops import transport_files
from sdops.errors import SdopsError
from sdops.inventory import Host
from sdops.transport import command_line, hint, open_session, split_hint
from sdops.transport_local import LocalSession

WORDS = [
    "",
    "a b",
    "it's",
    'say "hi"',
    "$HOME",
    "`id`",
    "back\\slash\\\\n",
    "!!",
    "new\nline",
    "ü 雪",
    "%s %d",
    "-n",
]


@pytest.fixture(scope="module")
def ssh_host(lab):
    host = lab.host()
    yield host
    lab.remove(host)


def reached(lab, host, **more):
    """The host as an inventory has it, with the controller's own settings of ssh."""
    return Host(host.name, host.address, ssh_args=("-F", str(lab.controller.ssh_config)), **more)


@pytest.fixture(scope="module", params=["local", pytest.param("ssh", marks=pytest.mark.hosts)])
def carrier(request):
    """Opens a session of one kind, and says whether it is SSH."""
    if request.param == "local":
        return LocalSession
    lab, host = request.getfixturevalue("lab"), request.getfixturevalue("ssh_host")
    return lambda: lab.controller.in_network(lambda: open_session(reached(lab, host)))


@pytest.fixture(scope="module")
def session(carrier):
    opened = carrier()
    yield opened
    opened.close()


def raised(call):
    with pytest.raises(SdopsError) as error:
        call()
    return error.value


def test_output_errors_and_status_are_told_apart(session):
    ran = session.run(["sh", "-c", "echo out; echo err >&2; exit 7"], timeout=20)
    assert (ran.status, ran.stdout, ran.stderr) == (7, b"out\n", b"err\n")


def test_words_arrive_as_they_are(session):
    ran = session.run(["printf", "<%s>\\n", *WORDS], timeout=20)
    assert ran.stdout.decode() == "".join(f"<{word}>\n" for word in WORDS)


def test_bytes_arrive_as_they_are(session):
    data = bytes(range(256)) * 100
    assert session.run(["cat"], stdin=data, timeout=20).stdout == data
    assert session.run(["cat"], stdin=iter([b"a", b"\0", b"b"]), timeout=20).stdout == b"a\0b"


def test_much_is_sent_and_answered_at_the_same_time(session):
    data = os.urandom(1_000_000) * 10
    assert session.run(["cat"], stdin=data, timeout=60).stdout == data


def test_input_that_nobody_reads_does_no_harm(session):
    ran = session.run(["sh", "-c", "echo done"], stdin=b"x" * 5_000_000, timeout=20)
    assert (ran.status, ran.stdout) == (0, b"done\n")


def test_output_comes_as_it_is_printed(session):
    pieces, first = [], threading.Event()

    def take(piece):
        pieces.append(piece)
        first.set()

    def pieces_of_stdin():
        yield b"one\n"
        # The second line is sent only when the first has come back.
        assert first.wait(20)
        yield b"two\n"

    status = session.stream(["cat"], take, stdin=pieces_of_stdin(), timeout=20)
    assert (status, b"".join(pieces), len(pieces)) == (0, b"one\ntwo\n", 2)


def test_a_command_that_is_not_there_is_no_error_of_the_connection(session):
    assert session.run(["no-such-command"], timeout=20).status == 127


def test_a_command_that_a_signal_ends_has_a_negative_status(session):
    assert session.run(["sh", "-c", "kill -KILL $$"], timeout=20).status < 0


@pytest.mark.parametrize("command", ["sleep 60", "yes", "exec >&- 2>&-; sleep 60"])
def test_a_command_that_never_ends_is_left_in_time(carrier, command):
    session = carrier()
    began = time.monotonic()
    error = raised(lambda: session.run(["sh", "-c", command], timeout=1))
    took = time.monotonic() - began
    # And the session can go on.
    assert (error.code, session.run(["echo", "on"], timeout=20).stdout) == ("host-slow", b"on\n")
    session.close()
    assert 1 <= took < 5


def test_two_commands_run_side_by_side(session):
    done = []

    def wait():
        done.append(
            session.run(["sh", "-c", "cat; echo end"], stdin=iter(held.wait, True), timeout=30).status
        )

    held = threading.Event()
    thread = threading.Thread(target=wait)
    thread.start()
    assert session.run(["echo", "meanwhile"], timeout=20).stdout == b"meanwhile\n"
    held.set()
    thread.join(30)
    assert done == [0]


def test_files_go_there_and_back(session, tmp_path):
    data = os.urandom(3_000_000)
    there = f"/tmp/sdops test {os.getpid()}"
    (tmp_path / "one").write_bytes(data)
    session.put(tmp_path / "one", there, timeout=60)
    digest = session.run(["sha256sum", there], timeout=20).stdout.split()[0].decode()
    session.get(there, tmp_path / "two", timeout=60)
    session.run(["rm", there], timeout=20)
    assert digest == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "two").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_an_empty_file_and_a_relative_place(session, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    name = f"-sdops-test-{os.getpid()}"
    session.put(tmp_path / "empty", name, timeout=20)
    session.get(name, tmp_path / "back", timeout=20)
    assert session.run(["sh", "-c", 'rm -- ~/"$0"', name], timeout=20).status == 0
    assert (tmp_path / "back").read_bytes() == b""


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda session, here: session.put(here / "none", "/tmp/x", timeout=20), "none cannot be read"),
        (lambda session, here: session.put(here / "some", "/none/x", timeout=20), "/none/x was not written"),
        (lambda session, here: session.put(here / "some", "/proc", timeout=20), "/proc was not written"),
        (lambda session, here: session.get("/none", here / "x", timeout=20), "no such file"),
        (lambda session, here: session.get("/tmp", here / "x", timeout=20), "no such file"),
        (
            lambda session, here: session.get("/etc/passwd", here / "none" / "x", timeout=20),
            "x cannot be written",
        ),
    ],
    ids=[
        "nothing to send",
        "no folder there",
        "a folder there",
        "nothing there",
        "a folder",
        "no folder here",
    ],
)
def test_a_file_that_cannot_be_brought_says_why_and_leaves_nothing(session, tmp_path, act, words):
    (tmp_path / "some").write_bytes(b"some")
    error = raised(lambda: act(session, tmp_path))
    assert (error.code, words in error.message) == ("transfer-failed", True), error.message
    assert [path.name for path in tmp_path.iterdir()] == ["some"]


def test_what_was_there_stays_until_the_new_file_is_whole(session, tmp_path):
    there = f"/tmp/sdops-test-old-{os.getpid()}"
    session.run(["sh", "-c", 'echo old >"$0"', there], timeout=20)

    # Shorter than its size says: what a broken connection makes of it.
    ran = session.run(["sh", "-c", transport_files.PUT, "sh", there, "100"], stdin=b"new", timeout=20)
    shown = session.run(["sh", "-c", 'cat "$0"; ls "$0"*; rm "$0"', there], timeout=20).stdout.decode()
    assert (ran.status, shown) == (1, f"old\n{there}\n")


def test_local_is_opened_without_ssh():
    assert isinstance(open_session(Host("local", connection="local")), LocalSession)


@pytest.mark.parametrize("argv", [["true"], ["a b", "c"], ["it's"], ["a\\b", "!x", "%d"], ["ü\n"]])
def test_a_command_line_is_read_back_as_the_same_words(argv):
    import subprocess

    line = command_line(["printf", "%s|", *argv])
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout.decode() == "".join(
        f"{word}|" for word in argv
    )
    # What fish and csh read otherwise between single quotes does not stand there.
    assert not set("!\n") & set(line) and "\\\\" not in line


def test_a_hint_keeps_its_commands_apart():
    text = hint("Do this.", "ssh gpu1", "true")
    assert text == "Do this.\n    ssh gpu1\n    true"
    assert split_hint(text) == ("Do this.", ("ssh gpu1", "true"))
    assert split_hint("Only words.") == ("Only words.", ())


def test_one_module_alone_imports_the_ssh_libraries():
    users = {
        path.name
        for path in Path(sdops.__file__).parent.rglob("*.py")
        if re.search(r"^\s*(from|import) (fabric|paramiko)\b", path.read_text(), re.MULTILINE)
    }
    assert users == {"transport_fabric.py"}
