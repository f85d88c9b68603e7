"""The shell of ``sdops ssh``, by a real bash and a real tmux in a real terminal of this machine."""

import contextlib
import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from sdops import shell
from sdops.facts.wanted import Wanted

#: A terminal that no machine knows, as xterm-kitty and xterm-ghostty are not known to most hosts.
UNKNOWN = "xterm-nobody"


class Session:
    """What ``sdops ssh`` would have a host run, here. without: programs that are not there."""

    def __init__(self, tmp_path, term, *words, tmux=True, without=(), instead=None):
        programs = tmp_path / "programs"
        programs.mkdir()
        for folder in ("/usr/bin", "/bin"):
            for path in Path(folder).iterdir():
                if path.name not in without and not (programs / path.name).is_symlink():
                    (programs / path.name).symlink_to(path)
        for name, text in (instead or {}).items():
            (programs / name).unlink()
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        (tmp_path / ".bashrc").write_text("PS1='ready: '\n")
        self._ours, theirs = pty.openpty()
        self.text = ""
        self._process = subprocess.Popen(
            [
                "setsid",
                "--ctty",
                "sh",
                "-c",
                shell.remote(Wanted(prefix=str(tmp_path / "none")), words, tmux),
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=tmp_path,
            env={
                "PATH": str(programs),
                "HOME": str(tmp_path),
                "TMUX_TMPDIR": str(tmp_path),
                "LC_ALL": "C.UTF-8",
                "TERM": term,
            },
        )
        os.close(theirs)

    def sees(self, word):
        end = time.monotonic() + 30
        while word not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self._ours], [], [], 1)[0]:
                try:
                    self.text += os.read(self._ours, 1 << 16).decode("utf-8", "replace")
                except OSError:
                    assert word in self.text, self.text
                    return

    def types(self, line):
        os.write(self._ours, f"{line}\r".encode())

    def end(self):
        return self._process.wait(30)

    def close(self):
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        os.close(self._ours)


@pytest.fixture
def begin(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(*words, **options):
            one = Session(tmp_path, *words, **options)
            stack.callback(one.close)
            return one

        yield make
        subprocess.run(
            ["tmux", "-L", shell.SESSION, "kill-server"],
            env={**os.environ, "TMUX_TMPDIR": str(tmp_path)},
            stderr=subprocess.DEVNULL,
            check=False,
        ) if shutil.which("tmux") else None


needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed here")


@needs_tmux
@pytest.mark.parametrize("term", ["xterm-256color", UNKNOWN, ""])
@pytest.mark.parametrize(
    "without", [(), ("infocmp",), ("infocmp", "tput")], ids=["all", "no-infocmp", "none"]
)
def test_tmux_starts_whichever_terminal_it_is(begin, term, without):
    one = begin(term, without=without)
    one.sees("ready: ")
    one.types("echo in ${TMUX:+tmux}")
    one.sees("in tmux")
    one.types("exit")
    assert one.end() == 0


def test_a_terminal_that_the_host_knows_stays_what_it_is(begin):
    one = begin("vt100", tmux=False)
    one.sees("ready: ")
    one.types("echo it is $TERM; exit")
    one.sees("it is vt100")


def test_a_plain_shell_and_a_command_have_a_terminal_that_is_known(begin, tmp_path):
    one = begin(UNKNOWN, tmux=False)
    one.sees("ready: ")
    one.types("echo it is $TERM; exit 3")
    one.sees("it is xterm-256color")
    assert one.end() == 3


def test_a_command_has_a_terminal_that_is_known(begin):
    one = begin(UNKNOWN, "echo it is $TERM; exit 4")
    one.sees("it is xterm-256color")
    assert one.end() == 4


def test_without_tmux_there_is_a_plain_shell_and_a_line_that_says_so(begin):
    one = begin("xterm-256color", without=("tmux",))
    one.sees("tmux is not there: what runs in this shell ends with the connection.")
    one.sees("ready: ")
    one.types("exit 5")
    assert one.end() == 5


@needs_tmux
def test_with_a_tmux_that_does_not_start_there_is_a_plain_shell(begin):
    broken = "#!/bin/sh\necho 'open terminal failed' >&2\nexit 1\n"
    one = begin("xterm-256color", instead={"tmux": broken})
    one.sees("open terminal failed")
    one.sees("tmux ended with status 1: what runs in this shell ends with the connection.")
    one.sees("ready: ")
    one.types("exit 6")
    assert one.end() == 6
