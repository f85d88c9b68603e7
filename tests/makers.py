"""Test hosts that make real pictures: the real runtime under the guide's real Python and libraries.

    def test_something(maker):
        maker.run([makers.LAUNCHER, "jobs"], user="sdops")

The libraries are those of .venv-guide. They are lent to the host, not copied: its disk is memory, and they
are gigabytes. Only conda is a stand-in, see doubles.env. On such a host one thread computes, as in all tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from doubles import env
from groundwork import account
from hosts.fixtures import do_without, need_release
from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError
from plays import Play

ROOT = Path(__file__).parents[1]
#: Where make test installs the guide's libraries, if it finds a Python of the guide's version.
VENV = ROOT / ".venv-guide"

#: Where a host has what it is lent, and the program that the role installs.
PYTHON, LIBRARIES = "/opt/guide-python", "/opt/guide-libraries"
LAUNCHER = "/home/sdops/.local/bin/sdops-runtime"

#: What holds for the runtime on hosts and here: it computes alike, and looks for no hub.
SETTINGS = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

LOOK = """import json, os, sys, sysconfig
from sdops_runtime import demo
model, base = demo.ensure(), os.path.realpath(sys.base_prefix)
program = os.path.relpath(os.path.realpath(sys.executable), base)
print(json.dumps([base, program, sysconfig.get_path("purelib"), str(model)]))
"""


@dataclass(frozen=True)
class Guide:
    """The guide's Python on this machine.

    base: the folder that it is installed in. program: its place in there. libraries: the folder with them.
    cache: for XDG_CACHE_HOME. model: the demo model, which lies in the cache.
    """

    base: Path
    program: Path
    libraries: Path
    cache: Path
    model: Path

    @property
    def lend(self) -> dict[str, Path]:
        """What a host that ``equip`` is given has to be lent; see Lab.host."""
        return {PYTHON: self.base, LIBRARIES: self.libraries}


def find(cache: Path) -> Guide:
    """The guide's Python, and the demo model built by it. Raises UnavailableError where it is not there."""
    here = f"hosts that make pictures need the guide's libraries in {VENV}"
    try:
        ran = subprocess.run(
            [VENV / "bin/python", "-c", LOOK],
            env=environment(cache),
            capture_output=True,
            text=True,
            timeout=120,
        )
    except OSError:
        raise UnavailableError(f"{here}: run make test-guide") from None
    if ran.returncode:
        raise UnavailableError(f"{here}, and those do not work:\n{ran.stdout}{ran.stderr}")
    base, program, libraries, model = json.loads(ran.stdout.splitlines()[-1])
    return Guide(Path(base), Path(program), Path(libraries), cache, Path(model))


def environment(cache: Path) -> dict[str, str]:
    """What the runtime's source runs under here, by the Python of VENV."""
    own = {"XDG_CACHE_HOME": str(cache), "HOME": str(cache), "PYTHONPATH": str(ROOT / "runtime")}
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **own, **SETTINGS}


def equip(lab: Lab, guide: Guide, folder: Path, *hosts: Host) -> None:
    """Makes fresh hosts, which are lent ``guide.lend``, fit to make pictures: account, environment, service.

    folder: for Ansible's files, see Play. Raises UnavailableError if the guide's Python does not run on one.
    """
    for host in hosts:
        _lay_ground(host, guide)
    Play(lab, folder, "runtime").run(*hosts)


@contextlib.contextmanager
def several(lab: Lab, guide: Guide, folder: Path, number: int = 1, **options: object) -> Iterator[list[Host]]:
    """So many hosts of Debian 12 that make pictures; options are those of Lab.host."""
    hosts = lab.hosts(*["bookworm"] * number, **{"packages": False, "lend": guide.lend, **options})
    try:
        equip(lab, guide, folder, *hosts)
        yield hosts
    finally:
        for host in hosts:
            lab.remove(host)


@pytest.fixture(scope="session")
def guide(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Guide:
    """The guide's Python; skips where there is none, or fails where hosts are required."""
    try:
        return find(tmp_path_factory.mktemp("guide"))
    except UnavailableError as reason:
        do_without(reason)


@pytest.fixture(scope="module")
def maker(lab: Lab, guide: Guide, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that makes pictures, for all tests of a module."""
    need_release("bookworm")
    try:
        with several(lab, guide, tmp_path_factory.mktemp("maker")) as (host,):
            yield host
    except UnavailableError as reason:
        do_without(reason)


def _lay_ground(host: Host, guide: Guide) -> None:
    """What the roles before runtime leave, with the stand-in for conda, and the demo model in the cache."""
    # Debian gives it to what logs in over SSH and to the accounts' own systemds.
    host.put("/etc/environment", "".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    # A Python with a shared library looks for it where it was built.
    host.put("/etc/ld.so.conf.d/guide-python.conf", f"{PYTHON}/lib\n")
    python = f"{PYTHON}/{guide.program}"
    host.inside(["ldconfig"])
    started = host.inside([python, "-c", "import ctypes, sqlite3, ssl"], check=False)
    if started.rc:
        raise UnavailableError(f"{guide.base} does not run on {host.release}: {started.stderr.strip()}")
    account(host)
    site = env.conda(host, python=python)
    (site / "lent.pth").write_text(f"{LIBRARIES}\n")
    model = host.root / "home/sdops/.cache" / guide.model.relative_to(guide.cache)
    shutil.copytree(guide.model, model)
    host.inside(["chown", "-R", "sdops:sdops", "/home/sdops"])
