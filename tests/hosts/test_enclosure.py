"""Nothing outlives a lab, however it ended; labs side by side do not know of each other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import base
from .command import run
from .enclosure import CELLS, RUN, Enclosure
from .lab import Lab
from .machine import cgroup_mount

pytestmark = pytest.mark.hosts

#: A lab with one of everything; then it says where it is, and waits to be killed.
BUSY = """
import sys, time
from hosts.lab import Lab
lab = Lab()
host = lab.host()
host.link.shape(delay=0.01)
lab.serve(lambda at: ["python3", "-m", "http.server", "--bind", at, "8000"], 8000)
lab.controller.popen(lab.controller.ssh_argv(host.name, ["sleep", "600"]))
print(lab.folder, flush=True)
time.sleep(600)
"""


def namespaces(pid: int) -> set[str]:
    """The namespaces of a process that make a lab."""
    return {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("net", "mnt", "pid", "cgroup")}


def members(spaces: set[str]) -> list[str]:
    """Processes of the machine that are in one of the namespaces, or in one made inside of them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if spaces & namespaces(int(process.name)):
                found.append(f"{process.name} {(process / 'cmdline').read_text()!r}")
        except (OSError, ProcessLookupError):
            continue
    return found


def visible() -> list[str]:
    """What of labs can be seen from outside: mounts, interfaces, names of network namespaces."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "sdops" in line]
    said = [run(["ip", "-oneline", *words]).stdout.splitlines() for words in (["link"], ["netns"])]
    ours = re.compile(r"(\d+: )?(br0|veth\d+|tap\d+|host\d+)\b")
    return mounts + [line for lines in said for line in lines if ours.match(line)]


def lab_cell(folder: Path) -> Path:
    """The cgroup of the lab with this folder."""
    return cgroup_mount() / f"{CELLS}{folder.name}"


def pids_in(folder: Path) -> list[int]:
    """All processes of the lab with this folder, guests' included."""
    lists = lab_cell(folder).rglob("cgroup.procs")
    return [int(pid) for path in lists for pid in path.read_text().split()]


def wait_gone(pids: list[int]) -> None:
    """Waits until these processes are gone."""
    end = time.monotonic() + 15
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_nothing_is_left_after_close(lab: Lab) -> None:
    with Lab() as other:
        host = other.host()
        host.link.shape(delay=0.01)
        other.serve(lambda at: ["python3", "-m", "http.server", "--bind", at, "8000"], 8000)
        session = other.controller.popen(other.controller.ssh_argv(host.name, ["sleep", "600"]))
        spaces = namespaces(other._enclosure.keeper)
        pids = pids_in(other.folder)
        assert len(pids) > 10
        assert members(spaces)
        assert visible() == []
    session.wait(5)
    wait_gone(pids)
    assert members(spaces) == []
    assert not lab_cell(other.folder).exists()
    assert not other.folder.exists()
    assert visible() == []


def test_a_killed_run_leaves_no_process_and_the_next_removes_the_rest(lab: Lab) -> None:
    base.ready("bookworm")
    own = {"PYTHONPATH": str(Path(__file__).parents[1]), "XDG_CACHE_HOME": str(base.CACHE.parent)}
    busy = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **own},
    )
    assert busy.stdout
    folder = Path(busy.stdout.readline().strip())
    assert folder.parent == RUN
    pids = pids_in(folder)
    assert len(pids) > 10
    busy.send_signal(signal.SIGKILL)
    busy.wait()
    busy.stdout.close()
    wait_gone(pids)
    assert visible() == []
    Enclosure().close()
    assert not lab_cell(folder).exists()
    assert not folder.exists()
    assert lab.folder.exists(), "a lab that lives is not swept away"


def test_a_disk_that_is_thrown_away_gives_its_memory_back(lab: Lab) -> None:
    first = lab.host()
    later = lab.host()  # its nspawn saw the first one's disk
    layer = first.root.parent.joinpath("layer").stat().st_dev
    device = f" {os.major(layer)}:{os.minor(layer)} "
    try:
        assert device in Path(f"/proc/{lab._enclosure.keeper}/mountinfo").read_text()
        lab.remove(first)
        for pid in pids_in(lab.folder):
            assert device not in Path(f"/proc/{pid}/mountinfo").read_text()
    finally:
        lab.remove(later)


def test_labs_side_by_side_do_not_meet(lab: Lab) -> None:
    with Lab() as other:
        mine, its = lab.host("mine"), other.host("its")
        try:
            look = ["python3", "-c", "import socket; print(socket.gethostname())"]
            assert (mine.run(look).stdout, its.run(look).stdout) == ("mine\n", "its\n")
            assert (
                lab.controller.run(["ssh-keyscan", its.address], check=False).stdout.count("ssh-ed25519") <= 1
            )
            assert mine.public_key != its.public_key
        finally:
            lab.remove(mine)
    assert lab.controller.run(["true"]).rc == 0
