"""``sdops ssh``: what it hands to ssh. Shells themselves: test_shell, and tests/ansible on real hosts."""

import os
from pathlib import Path

import pytest
from sdops.jobs.place import Place


@pytest.fixture
def handed(sdops, tmp_path, monkeypatch):
    """Calls ``sdops ssh`` with words; how it ended, and what the command for the host printed.

    In place of ssh, which replaces this program, the line is run by a shell, as the host's would.
    """
    (tmp_path / "two.ini").write_text("gpu1 ansible_host=127.0.0.1\nlocal1 ansible_connection=local\n")
    monkeypatch.setattr(Place, "test", lambda place: None)
    lines = []

    def run(program, words):
        lines.append(words[-1])
        status = os.waitstatus_to_exitcode(os.system(f"{{ {words[-1]}; }} >printed 2>/dev/null"))
        raise SystemExit(status)

    monkeypatch.setattr(os, "execvp", run)

    def call(*words):
        ran = sdops("ssh", *(str(tmp_path / word) if word == "two.ini" else word for word in words))
        return ran, (Path("printed").read_text() if lines else None)

    return call


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["printf", "%s,", "-i", "0"], "-i,0,"),
        (["printf", "%s,", "-h", "--help", "--json", "--debug"], "-h,--help,--json,--debug,"),
        (["printf", "%s,", "--no-tmux", "-i", "two.ini"], "--no-tmux,-i,"),
        (["--", "printf", "%s,", "--", "-x"], "--,-x,"),
        (["echo a | grep -i A"], "a\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_all_behind_the_host_is_the_hosts(handed, words, printed):
    ran, out = handed("-i", "two.ini", "gpu1", *words)
    assert (ran.code, ran.err) == (0, "")
    assert out is not None and out.startswith(printed)


def test_a_failure_behind_which_json_stands_is_said_to_a_person(handed):
    ran, _ = handed("-i", "two.ini", "nobody", "tool", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "no host and no group 'nobody'" in ran.err


@pytest.mark.parametrize("option", ["--no-tmux", "--help", "-i"])
def test_an_option_in_place_of_the_command_is_refused(handed, option):
    ran, out = handed("-i", "two.ini", "gpu1", option)
    assert (ran.code, out) == (2, None)
    assert f"{option} stands behind gpu1" in ran.err
    assert "sdops ssh --no-tmux gpu1" in ran.err


def test_an_option_that_there_is_not_is_refused(handed):
    ran, out = handed("--colour", "gpu1", "ls")
    assert (ran.code, out) == (2, None)
    assert "--colour" in ran.err
