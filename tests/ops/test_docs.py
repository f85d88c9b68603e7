"""The README tells the truth: its generated parts are up to date, and every command is in it."""

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from sdops.checks.registry import CHECKS
from sdops.cli import app
from typer.main import get_command

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "ops" / "docs").glob("*.md"))


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


def links(page):
    """The links of a page to files, with what comes after #."""
    found = re.findall(r"\]\(([^)]+)\)", page.read_text())
    return [link.partition("#") for link in found if "://" not in link]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_file_and_place_that_is_linked_exists(page):
    for file, _, place in links(page):
        target = page.parent / file if file else page
        assert target.exists(), file
        titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if place else []
        assert not place or place in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles}


def test_troubles_lead_to_checks_of_every_topic():
    named = {place for file, _, place in links(ROOT / "README.md") if file.endswith("checks.md") and place}
    topics = {check.topic for check in CHECKS if check.id in named}
    assert {check.topic for check in CHECKS} - topics == set()
    assert named <= {check.id for check in CHECKS}


WORDS = re.compile(r"^ {4}(?:.venv/bin/)?(sdops [a-z].*?)(?:\s{2,}#.*)?$|`(sdops [a-z][^`…]*)`", re.MULTILINE)


def assert_is_command(line):
    """That names and options are there; what is in capitals stands for something."""
    words = shlex.split(line)[1:]
    group = get_command(app)
    context = group.make_context("sdops", ["--help"], resilient_parsing=True)
    command = group.get_command(context, words[0])
    assert command is not None, line
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    options |= {"--help", "-h"}
    asked = {word for word in words[1:] if word.startswith("-") and word not in ("-", "--")}
    assert asked <= options, line


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_command_that_is_written_down_is_one(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for found in WORDS.finditer(text):
        assert_is_command((found[1] or found[2]).partition("|")[0].replace("\n", " "))


def test_every_example_in_a_help_is_a_command():
    page = generator().COMMANDS_PAGE.read_text()
    examples = re.findall(r"^ Example: (sdops .+(?:\n \S.+)*)", page, re.MULTILINE)
    assert len(examples) == len(generator().commands())
    for example in examples:
        assert_is_command(" ".join(example.split()))


def test_the_readme_tells_the_tolerance_that_tests_allow():
    from sdops_runtime.pipeline import HALF

    words = " ".join(README.split())
    assert f"in float16 on a GPU up to {HALF.most} of 255, half of one on average" in words
    assert HALF.mean == 0.5
