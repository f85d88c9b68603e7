"""Cached root file systems are reused only as they were made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import base, machine, registries


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small root folder."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("one")
    (tmp_path / "etc/link").symlink_to("hostname")
    return tmp_path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "etc/hostname").write_text("two"),
        lambda root: (root / "etc/hostname").chmod(0o600),
        lambda root: (root / "etc/link").unlink(),
        lambda root: (root / "etc/new").touch(),
    ],
    ids=["content", "mode", "missing", "extra"],
)
def test_a_changed_tree_is_noticed(tree: Path, spoil: object) -> None:
    os.utime(tree / "etc/hostname", (1, 1))
    before = base._digest(tree)
    assert base._digest(tree) == before
    assert callable(spoil)
    spoil(tree)
    assert base._digest(tree) != before


def test_an_entry_without_its_record_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    assert not base._intact(tmp_path)
    (tmp_path / "base.json").write_text("{")
    assert not base._intact(tmp_path)


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(ValueError, match="no such release: sid"):
        base.ready("sid")


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ({"trixie", "trixie-updates", "trixie-security"}, ["trixie", "trixie-updates", "trixie-security"]),
        ({"trixie"}, ["trixie"]),
    ],
    ids=["all", "support has ended"],
)
def test_suites_that_are_gone_are_left_out(
    monkeypatch: pytest.MonkeyPatch, offered: set[str], expected: list[str]
) -> None:
    monkeypatch.setattr(registries, "offers", lambda mirror, suite: suite in offered)
    lines = registries.sources("trixie", registries.Mirrors("http://main.test", "http://security.test"))
    assert [line.split()[2] for line in lines] == expected


@pytest.mark.parametrize(
    ("answer", "error"),
    [(False, machine.ReleaseGoneError), (None, machine.UnavailableError)],
    ids=["gone", "no answer"],
)
def test_a_release_that_cannot_be_had_is_said(
    monkeypatch: pytest.MonkeyPatch, answer: bool | None, error: type[Exception]
) -> None:
    monkeypatch.setattr(registries, "offers", lambda mirror, suite: answer)
    with pytest.raises(error) as raised:
        registries.sources("trixie", registries.Mirrors("http://main.test", None))
    assert raised.type is error


def test_settings_of_pip_that_are_paths_of_this_machine_are_not_handed_on() -> None:
    local = ["/opt/wheels", "file:///opt/index", "./here", "~/there"]
    assert [place for place in [*local, "https://index.test/simple"] if not registries._local(place)] == [
        "https://index.test/simple"
    ]
