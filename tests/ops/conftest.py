"""Runs the console script in this process: the libraries are imported once for all tests."""

import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Ran:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def sdops(monkeypatch, capsys, tmp_path):
    """Calls ``sdops`` with the given words, in an empty folder."""
    from sdops.cli import main

    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sdops", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ran(ended.value.code, out, err)

    return call
