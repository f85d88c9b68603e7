"""What the shell offers when Tab is pressed, asked as bash and zsh ask."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = "gpu1 ansible_host=192.0.2.1\ngpu2 ansible_host=192.0.2.2\n[night]\ngpu2\n"


@pytest.fixture
def offered(tmp_path):
    """The words that bash is offered for a line, the last of which is being typed."""
    jobs = tmp_path / ".local/state/sdops/jobs"
    jobs.mkdir(parents=True)
    for name in ("20260101-000000-0123abcd", "20260102-000000-0456abcd"):
        (jobs / f"{name}.json").write_text(json.dumps({"job": name}))

    def ask(*words, inventory=INVENTORY):
        (tmp_path / "inventory.ini").write_text(inventory)
        ran = subprocess.run(
            [sys.executable, "-c", "from sdops.start import main; main()"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": os.pathsep.join(sys.path),
                "_SDOPS_COMPLETE": "complete_bash",
                "COMP_WORDS": " ".join(["sdops", *words]),
                "COMP_CWORD": str(len(words)),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.stderr == ""
        return ran.stdout.split()

    return ask


def test_commands_are_offered(offered):
    assert offered("ga") == ["gallery"]
    assert "doctor" in offered("d")


@pytest.mark.parametrize(
    "words", [("doctor",), ("run", "--host"), ("jobs", "--host"), ("bench",), ("replay", "--host")]
)
def test_hosts_and_groups_are_offered(offered, words):
    assert offered(*words, "g") == ["gpu1", "gpu2"]
    assert offered(*words, "n") == ["night"]
    assert offered(*words, "l") == ["local"]


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
