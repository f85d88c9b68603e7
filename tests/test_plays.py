"""The helper that plays roles tells what happened, and fails a test whose run was not what it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plays import SHOWN, Play

#: Two names of this machine, which nothing is done to.
HERE = ("-i", "one,two,", "-e", "ansible_connection=local", "-e", "ansible_python_interpreter=auto_silent")

TASKS = [
    {
        "name": "Change one",
        "ansible.builtin.debug": {"msg": "changed"},
        "changed_when": "inventory_hostname == 'one'",
    },
    {
        "name": "Fail on two",
        "ansible.builtin.fail": {"msg": "no {{ item }} here"},
        "loop": ["egg", "ham"],
        "when": "inventory_hostname == 'two' and spoiled | bool",
    },
]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    playbook = tmp_path / "mine.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": TASKS}]))
    return Play(None, tmp_path, playbook=str(playbook), variables={"spoiled": False})


def test_an_outcome_tells_of_each_host_what_its_tasks_did(play: Play) -> None:
    outcome = play.run(words=HERE, ok=False, spoiled=True)
    assert outcome.changed == ("Change one",)
    assert outcome.failed == ("Fail on two",)
    assert outcome.message == "no egg here\nno ham here"
    assert [(task.host, task.name) for task in outcome.tasks if task.changed or task.failed] == [
        ("one", "Change one"),
        ("two", "Fail on two"),
    ]


def test_a_run_that_ends_otherwise_than_it_should_fails_the_test(play: Play) -> None:
    with pytest.raises(AssertionError, match="two: Fail on two: no egg here"):
        play.run(words=HERE, spoiled=True)
    with pytest.raises(AssertionError):
        play.run(words=HERE, ok=False)


def test_a_run_that_did_nothing_fails_the_test(play: Play) -> None:
    with pytest.raises(AssertionError, match="no task ran"):
        play.run(words=(*HERE, "--tags", "none-of-these"))


def test_what_a_person_sees_can_be_had_instead(play: Play) -> None:
    assert "PLAY RECAP" in play.run(words=HERE, env=SHOWN).text


def test_variables_stand_in_a_file_of_the_owners_and_not_in_the_command(play: Play, tmp_path: Path) -> None:
    argv = play.argv(words=["--diff"], token="hf_secret")
    assert "hf_secret" not in " ".join(map(str, argv))
    (path,) = tmp_path.glob("*.variables.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {"spoiled": False, "token": "hf_secret"}
