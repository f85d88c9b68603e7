"""What the shell offers when Tab is pressed, asked as bash, zsh and fish ask, without those shells."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = "gpu1 ansible_host=192.0.2.1\ngpu2 ansible_host=192.0.2.2\n[night]\ngpu2\n"


#: How each shell says what was typed, the last word of which is being typed; see typer._completion_classes.
SHELLS = {
    "bash": lambda words: {"COMP_WORDS": shlex.join(words), "COMP_CWORD": str(len(words) - 1)},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": shlex.join(words)},
    "fish": lambda words: {
        "_TYPER_COMPLETE_ARGS": shlex.join(words),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


@pytest.fixture
def offered(tmp_path):
    """The words that a shell is offered for a line, the last of which is being typed."""
    jobs = tmp_path / ".local/state/sdops/jobs"
    jobs.mkdir(parents=True)
    for name in ("20260101-000000-0123abcd", "20260102-000000-0456abcd"):
        (jobs / f"{name}.json").write_text(json.dumps({"job": name}))

    def ask(*words, inventory=INVENTORY, shell="bash", before="pass"):
        (tmp_path / "inventory.ini").write_text(inventory)
        ran = subprocess.run(
            [sys.executable, "-c", f"{before}; from sdops.start import main; main()"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": os.pathsep.join(sys.path),
                "_SDOPS_COMPLETE": f"complete_{shell}",
                **SHELLS[shell](["sdops", *words]),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.stderr == ""
        if shell == "zsh":
            return re.findall(r'"([^"]+)"(?::"[^"]*")?$', ran.stdout.replace("))'", ""), re.MULTILINE)
        return [line.partition("\t")[0] for line in ran.stdout.splitlines() if line]

    return ask


def test_commands_are_offered(offered):
    assert offered("ga") == ["gallery"]
    assert "doctor" in offered("d")


@pytest.mark.parametrize(
    "words", [("doctor",), ("run", "--host"), ("jobs", "--host"), ("bench",), ("hosts",), ("ssh",)]
)
def test_hosts_and_groups_are_offered(offered, words):
    assert offered(*words, "g") == ["gpu1", "gpu2"]
    assert offered(*words, "n") == ["night"]
    assert offered(*words, "l") == ["local"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_offered_commands_hosts_and_jobs(offered, shell):
    assert offered("ga", shell=shell) == ["gallery"]
    assert offered("doctor", "g", shell=shell) == ["gpu1", "gpu2"]
    assert offered("attach", "04", shell=shell) == ["0456abcd"]


@pytest.mark.parametrize("shell", SHELLS)
def test_hosts_are_those_of_the_inventory_that_is_named_earlier_on_the_line(offered, tmp_path, shell):
    (tmp_path / "her own.ini").write_text("golf ansible_host=192.0.2.9\n")
    (tmp_path / "another.ini").write_text("gpu9 ansible_host=192.0.2.10\n")
    for words in (["status", "-i", "her own.ini", "--host"], ["ssh", "--inventory", "~/her own.ini"]):
        assert offered(*words, "g", shell=shell) == ["golf"]
    several = ("hosts", "-i", "her own.ini", "-i", "another.ini")
    assert offered(*several, "g", shell=shell) == ["golf", "gpu9"]
    assert offered("doctor", "-i", "missing.ini", "g", shell=shell) == []


def test_what_is_mounted_is_offered_to_be_unmounted(offered, tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(
        "36 35 0:40 / /home/her/gpu1 rw - fuse.sshfs sdops+:gpu1 rw\n"
        "37 35 0:41 / /home/her/other rw - fuse.sshfs sdops:gpu2 rw\n"
        "38 35 0:42 / /home/her/hers rw - fuse.sshfs her@gpu3:/ rw\n"
    )
    before = f"import pathlib, sdops.mounts as m; m._TABLE = pathlib.Path({str(table)!r})"
    assert offered("unmount", "", before=before) == ["gpu1", "gpu2"]
    assert offered("unmount", "/home", before=before) == ["/home/her/gpu1", "/home/her/other"]
    assert offered("unmount", "gpu3", before=before) == []


@pytest.mark.parametrize("command", ["attach", "fetch", "logs", "cancel"])
def test_jobs_are_offered_the_newest_first_and_by_their_ends(offered, command):
    assert offered(command, "2026") == ["20260102-000000-0456abcd", "20260101-000000-0123abcd"]
    assert offered(command, "04") == ["0456abcd"]


def test_an_inventory_that_cannot_be_read_offers_nothing(offered):
    assert offered("doctor", "g", inventory="[gpu\n") == []


def test_all_versions_are_said(sdops):
    ran = sdops("--version")
    first, *rest = ran.out.splitlines()
    assert (ran.code, first.split()[0]) == (0, "sdops")
    said = "\n".join(rest)
    for word in ("Python", "ansible-core", "fabric", "Pillow", "torch", "protocol", "guide"):
        assert word in said
    assert str(Path.home()) not in said
