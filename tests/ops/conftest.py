"""Runs the console script in this process: the libraries are imported once for all tests."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from sdops import desk


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


@pytest.fixture
def desk_host(tmp_path, monkeypatch, demo_folder):
    """A host that is this machine, with a real desk and a real worker."""
    home = tmp_path / "home"
    launcher = home / desk.LAUNCHER
    launcher.parent.mkdir(parents=True)
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sdops_runtime "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    worker = subprocess.Popen(
        [launcher, "serve", "--device", "cpu"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    worker.stdout.readline()  # it serves
    inventory = tmp_path / "inventory.ini"
    inventory.write_text("gpu1 ansible_connection=local\n")
    yield ("--host", "gpu1", "--inventory", inventory)
    worker.kill()
    worker.communicate()
