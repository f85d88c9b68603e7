"""Keeps Python's warnings down for a while, in one thread at a time.

The filters belong to the whole process: two threads that change and restore them would restore them in the
wrong order (https://docs.python.org/3/library/warnings.html, on catch_warnings). Standard library only.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator

_LOCK = threading.RLock()


@contextlib.contextmanager
def hush() -> Iterator[None]:
    """Ignores warnings. Another thread that wants the same waits."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
