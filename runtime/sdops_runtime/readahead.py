"""Has the disk bring a model's weights while the libraries are imported. Standard library only, Python 3.9.

Importing takes a core for 4 to 10 seconds and leaves the disk alone; reading takes the disk and no core.
"""

import contextlib
import os
import threading
from pathlib import Path
from typing import Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import cache as hub_cache
from sdops_runtime.hub import name as hub_name
from sdops_runtime.hub.cache import Cache

#: Folders of a model that hold weights.
PARTS = ("unet", "vae", "text_encoder", "safety_checker")
SUFFIXES = (".safetensors", ".bin")

_PIECE = 16 * 2**20


def begin(model: str, revision: Optional[str]) -> threading.Thread:
    """Starts to read a model's weights into the page cache, if they are on this disk. Raises nothing."""
    thread = threading.Thread(target=_read, args=(model, revision), name="sdops-readahead", daemon=True)
    thread.start()
    return thread


def folder(model: str, revision: Optional[str]) -> Optional[Path]:
    """Where a model's weights lie as far as this disk knows, without asking anybody; None if it does not."""
    try:
        found = hub_name.folder(model)
        if found is not None:
            return found
        cache = Cache(hub_cache.root(), model.strip())
        commit = cache.commit(hub_name.revision(revision))
        return None if commit is None else cache.snapshot(commit)
    except (SdopsError, OSError, ValueError):
        return None


def _read(model: str, revision: Optional[str]) -> None:
    place = folder(model, revision)
    if place is None:
        return
    for part in PARTS:
        with contextlib.suppress(OSError):
            files = sorted((place / part).iterdir(), key=lambda path: path.name)
            for suffix in SUFFIXES:  # of each network the best alone is read
                chosen = [path for path in files if path.suffix == suffix]
                for path in chosen:
                    _bring(path)
                if chosen:
                    break


def _bring(path: Path) -> None:
    """Reads a file and keeps nothing of it but what the page cache does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        buffer = bytearray(_PIECE)
        while os.readv(descriptor, [buffer]):
            pass
    finally:
        os.close(descriptor)
