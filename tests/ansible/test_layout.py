"""The roles' own module for small files: what is there afterwards, whatever was there before."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from . import modules


@pytest.fixture(scope="module")
def layout() -> ModuleType:
    return modules.load("sdops", "layout")


def mode(path: Path) -> str:
    return f"{path.lstat().st_mode & 0o7777:o}"


def nothing(path: Path) -> None:
    pass


def other_file(path: Path) -> None:
    path.write_text("other")


def folder(path: Path) -> None:
    (path / "below").mkdir(parents=True)
    (path / "below" / "file").write_text("")


def link(path: Path) -> None:
    (path.parent / "target").write_text("own")
    path.symlink_to("target")


def dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


BEFORE = pytest.mark.parametrize("before", [nothing, other_file, folder, link, dead_link])


@BEFORE
@pytest.mark.parametrize("kind", ["file", "folder", "link", "absent"])
def test_it_is_as_asked_for_and_stays_so(layout: ModuleType, tmp_path: Path, before, kind: str) -> None:
    path = tmp_path / "it"
    before(path)
    entry = {kind: str(path), "content": "text\n", "mode": "0750", "to": "/elsewhere"}
    there = list(tmp_path.rglob("*"))
    told, _ = layout.bring([entry], True)
    assert list(tmp_path.rglob("*")) == there
    assert layout.bring([entry], False)[0] == told
    assert told == ([] if (before, kind) == (nothing, "absent") else [str(path)])
    if kind == "file":
        assert (path.is_symlink(), path.read_text(), mode(path)) == (False, "text\n", "750")
    elif kind == "folder":
        assert (path.is_symlink(), path.is_dir(), mode(path)) == (False, True, "750")
    elif kind == "link":
        assert str(path.readlink()) == "/elsewhere"
    else:
        assert not path.is_symlink() and not path.exists()
    assert layout.bring([entry], False) == ([], [])
    assert not list(tmp_path.glob(".sdops-*"))
    if before is link:
        assert (tmp_path / "target").read_text() == "own"


def test_a_loosened_mode_is_a_difference(layout: ModuleType, tmp_path: Path) -> None:
    entry = {"file": str(tmp_path / "it"), "content": "", "mode": "0600"}
    layout.bring([entry], False)
    (tmp_path / "it").chmod(0o644)
    assert layout.bring([entry], False)[0] == [str(tmp_path / "it")]
    assert mode(tmp_path / "it") == "600"


def test_a_folder_behind_a_link_is_one(layout: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir(mode=0o700)
    (tmp_path / "it").symlink_to("large")
    assert layout.bring([{"folder": str(tmp_path / "it"), "mode": "0700"}], False) == ([], [])


def test_missing_folders_above_get_the_same_mode(layout: ModuleType, tmp_path: Path) -> None:
    layout.bring([{"folder": str(tmp_path / "a" / "b"), "mode": "0700"}], False)
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == ("700", "700")


def test_what_a_check_refuses_is_not_put_in_place(layout: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_text("good\n")
    entry = {"file": str(path), "content": "if\n", "mode": "0644", "check": ["bash", "-n"]}
    with pytest.raises(layout.RefusedError, match=f"{path} is refused by bash: .*syntax error"):
        layout.bring([entry], False)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("good\n", [path])
