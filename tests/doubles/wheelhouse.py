"""A package index with the real wheels of a stack's lock, downloaded once and kept beside the test hosts.

Stands for PyPI in speed only: a host installs the guide's whole stack, torch included (776 MB), from the
controller and not from the Internet, each time it is made anew. pip checks every wheel against the
lock's hashes, here and there.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from hosts import base
from sdops_runtime import stack

from . import package_index
from .conda import wheel

LOCKS = Path(stack.__file__).with_name("locks")


def ready(lock: str, python: Path | None = None) -> Path:
    """The folder with the wheels of a lock, such as guide.txt, and their index in ``simple``.

    python: for a lock that has other wheels for each Python, the one whose wheels are meant.
    """
    file = LOCKS / lock
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    base.CACHE.mkdir(parents=True, exist_ok=True)
    named = f"{file.stem}-{_version(python)}" if python else file.stem
    place = base.CACHE / f"wheels-{named}-{digest}"
    with base._locked(base.CACHE / "wheels.lock"):
        if not place.exists():
            work = Path(tempfile.mkdtemp(prefix=".wheels-", dir=base.CACHE))
            try:
                if python is None:
                    wheel.fetch(str(file), work, hashes=True)
                else:
                    _fetch(file, work, python)
                package_index.write(work)
                work.chmod(0o755)
                work.rename(place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return place


def _version(python: Path) -> str:
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _fetch(lock: Path, folder: Path, python: Path) -> None:
    """By that Python's own pip, which alone knows what a lock's conditions come to there."""
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    options = ["--only-binary=:all:", "--require-hashes", "--requirement", lock]
    subprocess.run([*pip, *options, "--dest", folder], check=True, timeout=900)
