"""A package index with the real wheels of a stack's lock, downloaded once and kept beside the test hosts.

Stands for PyPI in speed only: a host installs the guide's whole stack, torch included (776 MB), from the
controller and not from the Internet, each time it is made anew. pip checks every wheel against the
lock's hashes, here and there.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from hosts import base
from sdops_runtime import stack

from . import package_index
from .conda import wheel

LOCKS = Path(stack.__file__).with_name("locks")


def ready(lock: str) -> Path:
    """The folder with the wheels of a lock, such as guide.txt, and their index in ``simple``."""
    file = LOCKS / lock
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    base.CACHE.mkdir(parents=True, exist_ok=True)
    place = base.CACHE / f"wheels-{file.stem}-{digest}"
    with base._locked(base.CACHE / "wheels.lock"):
        if not place.exists():
            work = Path(tempfile.mkdtemp(prefix=".wheels-", dir=base.CACHE))
            try:
                wheel.fetch(str(file), work, hashes=True)
                package_index.write(work)
                work.chmod(0o755)
                work.rename(place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return place
