"""Ctrl-C while a job runs: it raises KeyboardInterrupt as ever, and is remembered.

For it may be raised in the midst of a library that catches everything with a bare ``except``, as the guide's
transformers does where it makes tensors, and would be lost. Standard library only, Python 3.9.
"""

import signal
import threading
from types import FrameType
from typing import Any, Optional


class Interrupt:
    """Within this, ``pressed`` says whether there was a Ctrl-C. Other handlers than Python's own stay."""

    def __init__(self) -> None:
        self.pressed = False
        self._before: Any = None

    def __enter__(self) -> "Interrupt":
        # Python lets no other thread do so.
        mine = threading.current_thread() is threading.main_thread()
        if mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def again(self) -> None:
        """Raises KeyboardInterrupt if there was one."""
        if self.pressed:
            raise KeyboardInterrupt

    def _press(self, number: int, frame: Optional[FrameType]) -> None:
        self.pressed = True
        signal.default_int_handler(number, frame)
