"""Where hosts cannot be made, the reason is said."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from . import machine


def test_without_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(machine.UnavailableError, match="need Linux"):
        machine.require()


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(machine.UnavailableError, match="need root"):
        machine.require()


def test_without_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        shutil, "which", lambda tool: None if tool in ("tc", "ip", "mmdebstrap") else f"/bin/{tool}"
    )
    with pytest.raises(machine.UnavailableError, match=r"need iproute2, mmdebstrap: run .*prepare\.sh"):
        machine.require()
