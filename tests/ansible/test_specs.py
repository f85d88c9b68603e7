"""Roles as they describe themselves: specification, defaults, comments, tags and names of tasks agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from plays import ANSIBLE, Play

ROLES = sorted(path for path in (ANSIBLE / "roles").iterdir() if path.is_dir())

#: Words that begin the names of tasks and are no verbs in the imperative.
NO_VERBS = {"Ansible", "Conda", "Directory", "File", "Packages", "Sshd", "The", "A", "An"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def specification(role: Path) -> dict[str, Any]:
    spec: dict[str, Any] = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    return spec


def tasks(role: Path) -> Iterator[dict[str, Any]]:
    """Every task and handler of a role, those in blocks, too."""
    waiting = [
        task
        for folder in ("tasks", "handlers")
        for path in sorted((role / folder).glob("*.yml"))
        for task in load(path) or []
    ]
    while waiting:
        task = waiting.pop(0)
        yield task
        for part in ("block", "rescue", "always"):
            waiting.extend(task.get(part, []))


def commented(path: Path) -> dict[str, str]:
    """The top level keys of a YAML file, each with the comment above it or its group."""
    found, comment = {}, ""
    for line in path.read_text().splitlines():
        key = re.match(r"([A-Za-z_][A-Za-z0-9_]*):", line)
        if line.startswith("#"):
            comment += line.lstrip("# ") + " "
        elif key:
            found[key[1]] = comment.strip()
        elif not line.strip():
            comment = ""
    return found


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_the_specification_has_the_defaults_names_and_values(role: Path) -> None:
    options = specification(role).get("options", {})
    assert {name: option.get("default") for name, option in options.items()} == (
        load(role / "defaults" / "main.yml") or {}
    )


def test_every_option_is_described_and_typed(role: Path) -> None:
    for name, option in specification(role).get("options", {}).items():
        description = option.get("description", "")
        assert "".join(description).endswith("."), name
        assert option.get("type"), name
        assert option["type"] != "list" or option.get("elements"), name


def test_a_role_tells_what_it_does_and_how_it_behaves_in_check_mode(role: Path) -> None:
    spec = specification(role)
    assert spec["short_description"]
    assert spec["description"]
    assert set(spec["attributes"]) >= {"check_mode", "diff_mode", "idempotent"}
    for attribute in spec["attributes"].values():
        assert attribute["support"] in ("full", "partial", "none")
        assert attribute["support"] == "full" or attribute.get("details", attribute["description"])


def test_public_variables_begin_with_the_roles_name_and_have_a_comment(role: Path) -> None:
    # How Ansible reaches the hosts is a setting, too, whose name is Ansible's.
    prefixes = ("sdops_", "ansible_") if role.name == "sdops" else f"{role.name}_"
    comments = commented(role / "defaults" / "main.yml")
    assert [name for name in comments if not name.startswith(prefixes)] == []
    assert [name for name, comment in comments.items() if not comment] == []


def test_private_variables_begin_with_the_roles_name(role: Path) -> None:
    names = set(load(role / "vars" / "main.yml") or {})
    names |= {task["register"] for task in tasks(role) if "register" in task}
    names |= {name for task in tasks(role) for name in task.get("vars", {})}
    names -= {"ansible_connection", "ansible_python_interpreter"}  # how a task reaches its host
    assert sorted(name for name in names if not name.startswith(f"__{role.name}_")) == []


def noun(word: str) -> bool:
    """Whether a name's first word is none of the verbs that tell what is done."""
    return word in NO_VERBS or (word.endswith("ing") and word != "Bring")


def test_every_task_has_a_name_that_begins_with_a_verb(role: Path) -> None:
    names = [str(task.get("name", task)) for task in tasks(role)]
    assert [name for name in names if not re.match(r"[A-Z][a-z]+(-[a-z]+)* ", name)] == []
    assert [name for name in names if noun(name.split()[0])] == []


def test_names_of_tasks_are_told_apart(role: Path) -> None:
    names = [task["name"] for task in tasks(role)]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_role_has_a_tag_of_its_own_name_and_the_settings_have_all() -> None:
    (play,) = load(ANSIBLE / "site.yml")
    first, *others = play["roles"]
    assert first == {"role": "sdops", "tags": ["always"]}
    assert [entry for entry in others if entry["tags"] != [entry["role"]]] == []
    assert {path.name for path in ROLES} == {entry["role"] for entry in play["roles"]}


@pytest.mark.parametrize("name", ["lock.yml", "teardown.yml"])
def test_the_other_playbooks_begin_with_the_settings(name: str) -> None:
    (play,) = load(ANSIBLE / name)
    assert play["roles"] == [{"role": "sdops"}]


def test_settings_of_an_inventory_win(tmp_path: Path) -> None:
    inventory, playbook = tmp_path / "inventory.ini", tmp_path / "show.yml"
    inventory.write_text(
        "[gpu]\ngpu1 ansible_connection=local\n\n[gpu:vars]\nsdops_stack=cu130\nansible_user=debian\n"
    )
    shown = {"msg": "{{ sdops_stack }} {{ ansible_user }} {{ sdops_user }}"}
    roles = [{"role": "sdops"}]
    playbook.write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "roles": roles, "tasks": [{"debug": shown}]}])
    )
    outcome = Play(None, tmp_path, playbook=str(playbook)).run(words=("-i", inventory))
    assert outcome.tasks[-1].message == "cu130 debian sdops"
