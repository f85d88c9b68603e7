"""What a host tells of its GPU's memory, without the libraries that make pictures. Python 3.9."""

import json

import pytest
from sdops_runtime import device, memory, room

SMI = """#!/bin/sh
echo "$@" > "$0.asked"
{}
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A stand-in for nvidia-smi, first on the path, that does what it is told."""

    def stand_in(does):
        file = tmp_path / "bin" / "nvidia-smi"
        file.parent.mkdir(exist_ok=True)
        file.write_text(SMI.format(does))
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{file.parent}:/usr/bin:/bin")

    return stand_in


class Loaded:
    device = device.Device("cuda", "GRID A100D-10C")


def test_what_the_worker_found_is_told(tmp_path, monkeypatch, smi):
    smi("exit 9")
    monkeypatch.setattr(device, "total_bytes", lambda chosen: 10_737_418_240)
    monkeypatch.setattr(device, "room_bytes", lambda chosen: 9_000_000_000)
    room.write(tmp_path, Loaded(), "demo")
    assert room.read(tmp_path) == {"name": "GRID A100D-10C", "total": 10_737_418_240, "room": 9_000_000_000}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", room.NAME]


def test_of_a_cpu_there_is_nothing_to_tell(tmp_path):
    Loaded.device, before = device.Device("cpu", "CPU"), Loaded.device
    try:
        room.write(tmp_path, Loaded(), "demo")
    finally:
        Loaded.device = before
    assert room.read(tmp_path) == {"name": "CPU", "total": None, "room": None}


def test_a_queue_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "total_bytes", lambda chosen: 1)
    monkeypatch.setattr(device, "room_bytes", lambda chosen: 1)
    room.write(tmp_path / "none", Loaded(), "demo")


def test_what_was_found_before_the_machine_started_anew_counts_no_more(tmp_path, monkeypatch, smi):
    smi("echo 'NVIDIA A100, 40960, 40000'")
    monkeypatch.setattr(device, "total_bytes", lambda chosen: 1)
    monkeypatch.setattr(device, "room_bytes", lambda chosen: 1)
    room.write(tmp_path, Loaded(), "demo")
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(room, "_BOOT", boot)
    assert room.read(tmp_path)["total"] == 40960 * memory.MIB


@pytest.mark.parametrize("damage", ["", "[]", "{}", "null"], ids=repr)
def test_without_the_workers_word_nvidia_smi_is_asked(tmp_path, smi, damage):
    smi("echo 'NVIDIA A100, PCIe, 10240, 10000'")
    (tmp_path / room.NAME).write_text(damage)
    free = 10000 * memory.MIB - memory.CONTEXT
    assert room.read(tmp_path) == {"name": "NVIDIA A100, PCIe", "total": 10240 * memory.MIB, "room": free}


@pytest.mark.parametrize(
    "does",
    ["exit 9", "echo No devices were found", "echo 'A100, [N/A], [N/A]'", "true", "exec sleep 5"],
    ids=["fails", "no devices", "not told", "silent", "hangs"],
)
def test_where_nothing_is_known_nothing_is_told(tmp_path, smi, monkeypatch, does):
    monkeypatch.setattr(room, "PATIENCE", 0.3)
    smi(does)
    assert room.read(tmp_path) is None


def test_where_there_is_no_nvidia_smi_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert room.read(tmp_path) is None


def test_what_is_told_is_json(tmp_path, smi):
    smi("echo 'NVIDIA A100, 10240, 10000'")
    json.dumps(room.read(tmp_path))
