"""The page that maps the guide, and the one about mirrors: what they name is there."""

import re
from pathlib import Path

import pytest
import typer
import yaml
from sdops.cli import app
from sdops.errors import ALL_CODES

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "ops/docs/guide.md").read_text()
OFFLINE = (ROOT / "ops/docs/offline.md").read_text()
#: Of the guide; its introduction and conclusion say nothing to do.
SECTIONS = [
    *("2.1", "2.2", "2.3", "3.1", "3.2", "3.3", "3.3.1", "3.3.2", "3.3.3", "3.4.1", "3.4.2", "3.4.3"),
    *("3.5", "3.5.1", "3.5.2", "3.5.3", "4.1", "4.2", "4.3", "4.4.1", "4.4.2", "4.5", "4.6"),
    *("4.7.1", "4.7.2", "4.7.3", "4.7.4", "5"),
]
#: Those that are headings alone, and those that say nothing to do.
HEADINGS = {"1", "2", "3", "3.4", "4", "4.4", "4.7", "6"}
ITSELF = ROOT.parent / "shared" / "guide.md"


def test_every_section_of_the_guide_is_there_once():
    assert re.findall(r"^\| (\d[\d.]*) ", GUIDE, re.MULTILINE) == SECTIONS


@pytest.mark.skipif(not ITSELF.is_file(), reason="the guide is not beside the project")
def test_the_sections_are_the_guides_own():
    there = [number.rstrip(".") for number in re.findall(r"^#+ (\d[\d.]*)", ITSELF.read_text(), re.MULTILINE)]
    assert [number for number in there if number not in HEADINGS] == SECTIONS


def test_the_commands_and_options_that_are_named_exist():
    commands = typer.main.get_command(app).commands
    for name in re.findall(r"`sdops ([a-z]+)", GUIDE + OFFLINE):
        assert name in commands
    options = {word for name in ("run", "doctor") for one in commands[name].params for word in one.opts}
    for option in re.findall(r"`(--[a-z-]+|-[a-z])[` ]", GUIDE):
        assert option in options


def test_the_tags_and_files_that_are_named_exist():
    (play, *_) = yaml.safe_load((ROOT / "ansible/site.yml").read_text())
    roles = {role["role"] for role in play["roles"]}
    for tag in re.findall(r"tags? `([a-z_]+)`", GUIDE):
        assert tag in roles
    for path in re.findall(r"`(ansible/[\w./]+)`", GUIDE + OFFLINE):
        assert (ROOT / path).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z]+_[a-z_]+)(?::|`)", OFFLINE))))
def test_the_settings_that_are_named_exist(name):
    assert name not in ALL_CODES
    defaults = "".join(path.read_text() for path in (ROOT / "ansible/roles").glob("*/defaults/main.yml"))
    assert re.search(rf"^{name}:", defaults, re.MULTILINE)
