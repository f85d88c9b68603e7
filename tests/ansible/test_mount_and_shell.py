"""``sdops mount``, ``unmount`` and ``ssh`` on a real host, with real sshfs, FUSE, tmux and terminals."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import makers
import pytest
from people import Person, Terminal, wait_for

pytestmark = pytest.mark.hosts

if shutil.which("sshfs") is None or not os.access("/dev/fuse", os.R_OK | os.W_OK):
    if os.environ.get("SDOPS_REQUIRE_HOSTS"):
        raise RuntimeError("sshfs is missing: tests/hosts/prepare.sh installs it")
    pytest.skip("sshfs, or FUSE, is not to be had here", allow_module_level=True)


@pytest.fixture
def person(lab, maker, tmp_path):
    # A blank and a comma, which options of sshfs do not like.
    one = Person.of(lab, tmp_path / "her, own", maker)
    yield one
    one.sdops("unmount", maker.name, "--lazy")


@pytest.fixture(scope="module")
def tmux(lab, guide, tmp_path_factory):
    """A host with tmux, which the role service_user installs."""
    with makers.several(lab, guide, tmp_path_factory.mktemp("tmux"), packages=True) as (host,):
        host.inside(["sh", "-c", "apt-get -q update && apt-get -q -y --no-install-recommends install tmux"])
        yield host


def test_a_hosts_home_is_among_the_persons_own_folders_and_gone_again(person, maker):
    maker.run(
        ["sh", "-c", "mkdir -p pictures && echo yes >pictures/one && ln -s /etc/hostname link"], user="sdops"
    )
    ran = person.sdops("mount", maker.name)
    assert ran.rc == 0, ran.stderr
    folder = person.folder / maker.name
    assert f"is at {folder}" in ran.stderr
    inside = person.lab.controller.run
    assert inside(["cat", folder / "pictures/one"]).stdout == "yes\n"
    assert inside(["cat", folder / "link"]).stdout == f"{maker.name}\n"
    inside(["sh", "-c", 'echo from here >"$0"', folder / "new"])
    assert maker.run(["cat", "new"], user="sdops").stdout == "from here\n"
    again = person.sdops("mount", maker.name)
    assert (again.rc, "is mounted already" in again.stderr) == (2, True)
    assert person.json("unmount") == {"ok": True, "host": maker.name, "folder": str(folder)}
    assert not folder.exists()
    nothing = person.sdops("unmount")
    assert (nothing.rc, nothing.stderr.splitlines()[0]) == (2, "Error: Nothing is mounted.")


def test_a_folder_that_was_there_stays_and_one_that_is_full_is_refused(person, maker):
    (person.folder / "empty").mkdir()
    assert person.json("mount", maker.name, "empty", "--path", "/etc")["ok"]
    assert person.sdops("unmount", "empty").rc == 0
    assert (person.folder / "empty").is_dir()
    (person.folder / "empty/mine").write_text("mine")
    refused = person.sdops("mount", maker.name, "empty")
    assert (refused.rc, "is no empty folder" in refused.stderr) == (2, True)
    missing = person.sdops("mount", maker.name, "new", "--path", "nowhere")
    assert missing.rc == 1
    assert "nowhere" in missing.stderr and "--path" in missing.stderr
    assert not (person.folder / "new").exists()


def test_a_mount_that_is_in_use_says_by_whom(person, maker):
    assert person.sdops("mount", maker.name).rc == 0
    folder = person.folder / maker.name
    cell = person.lab.controller.new_cell()
    sitting = person.lab.controller.popen(["sleep", "60"], cell=cell, cwd=folder)
    try:
        wait_for(lambda: person.sdops("unmount").rc == 1, "it is refused")
        busy = person.sdops("unmount")
        assert f"{folder} is in use by sleep" in busy.stderr.replace("\n", " ")
        person.types(busy.stderr.splitlines()[-1].strip())
    finally:
        sitting.kill()
        sitting.wait()
        cell.kill()
    assert person.sdops("unmount").rc == 2


def test_a_mount_outlives_a_broken_connection(person, maker):
    maker.run(["sh", "-c", "echo yes >one"], user="sdops")
    assert person.sdops("mount", maker.name).rc == 0
    maker.inside(["pkill", "-f", "sftp-server"])
    inside = person.lab.controller.run
    wait_for(
        lambda: inside(["cat", person.folder / maker.name / "one"], check=False).stdout == "yes\n",
        "it is there again",
    )


def test_a_host_that_is_down_and_a_key_that_is_not_known_are_said_in_our_words(person, maker):
    maker.cut()
    try:
        ran = person.sdops("mount", maker.name)
    finally:
        maker.restore()
    assert (ran.rc, "Error: " in ran.stderr, "Traceback" in ran.stderr) == (1, True, False)
    assert not (person.folder / maker.name).exists()
    assert person.sdops("mount", "local").rc == 2
    assert "no host and no group" in person.sdops("mount", "nobody").stderr


def test_a_command_runs_in_the_environment_and_its_end_is_ours(person, maker):
    ran = person.sdops("ssh", maker.name, "echo $CONDA_DEFAULT_ENV in $PWD; which python; exit 7")
    assert ran.rc == 7
    assert ran.stdout.splitlines()[0].endswith(" in /home/sdops")
    assert ran.stdout.splitlines()[1] == "/home/sdops/miniconda3/envs/env1/bin/python"
    several = person.sdops("ssh", maker.name, "--", "ls", "-d", "/home/sdops")
    assert (several.rc, several.stdout) == (0, "/home/sdops\n")
    options = person.sdops("ssh", maker.name, "ls", "-d", "-i", "/home/sdops")
    assert (options.rc, options.stdout.split()[1:]) == (0, ["/home/sdops"])
    none = person.sdops("ssh", maker.name)
    assert (none.rc, "A shell needs a terminal" in none.stderr) == (2, True)


def test_a_shell_outlives_its_connection(lab, tmux, tmp_path):
    person = Person.of(lab, tmp_path / "her", tmux)
    # Of a terminal that the host does not know.
    first = Terminal(person, "ssh", tmux.name, TERM="xterm-ghostty")
    first.sees("$")
    first.press(b"python -c 'import sys; print(sys.prefix)'; left=here\r")
    first.sees("/home/sdops/miniconda3/envs/env1")
    first.hang_up()
    second = Terminal(person, "ssh", tmux.name)
    second.sees("left=here")
    second.press(b"echo was $left; which python\r")
    second.sees("was here", "envs/env1/bin/python")
    # Another window has the environment, too.
    second.press(b"\x02c")
    second.press(b"clear; which python; echo $((1 + 1)) windows\r")
    second.sees("envs/env1/bin/python", "2 windows")
    # Ctrl-B D leaves it.
    second.press(b"\x02d")
    assert second.end() == 0
    assert "sdops: 2 windows" in tmux.run(["tmux", "-L", "sdops", "ls"], user="sdops").stdout


def test_without_tmux_the_shell_is_plain(person, maker):
    terminal = Terminal(person, "ssh", "--no-tmux", maker.name)
    terminal.sees("$")
    terminal.press(b"echo $TMUX-$CONDA_DEFAULT_ENV; which python\r")
    terminal.sees("envs/env1/bin/python")
    terminal.press(b"exit 3\r")
    assert terminal.end() == 3


def test_files_of_the_mount_are_the_persons_to_read(person, maker):
    assert person.sdops("mount", maker.name).rc == 0
    owner = person.lab.controller.run(["stat", "-c", "%u", person.folder / maker.name / ".bashrc"]).stdout
    assert int(owner) == Path(person.folder).stat().st_uid
