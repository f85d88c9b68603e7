"""The README tells the truth: its generated parts are up to date, and every command is in it."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "ops" / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date():
    assert generator().render(README) == README, "run make docs"


def test_the_page_of_checks_is_up_to_date():
    made = generator()
    assert made.checks_page() == made.CHECKS_PAGE.read_text(), "run make docs"


def test_the_page_of_commands_is_up_to_date():
    made = generator()
    assert made.commands_page() == made.COMMANDS_PAGE.read_text(), "run make docs"


@pytest.mark.parametrize("command", generator().commands())
def test_every_command_is_in_the_readme_with_an_example_in_its_help(command):
    assert f"sdops {command}" in README
    page = generator().COMMANDS_PAGE.read_text()
    assert f"Example: sdops {command}" in page.partition(f"Usage: sdops {command} ")[2]


def test_every_make_target_named_in_the_readme_exists():
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", README, re.MULTILINE))
    listed = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert named <= {line.split()[0] for line in listed.splitlines()}


def test_every_file_linked_in_the_readme_exists():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
