"""Ctrl-C, counted: only a press that is waited for interrupts, so that none breaks what the one before began.

A key that is held down, or pressed twice at once, is as good as one that is pressed again after a while.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

#: Seconds between two looks at whether it was pressed.
_LOOK = 0.05


class Presses:
    """Within this the first press raises KeyboardInterrupt, later ones only where they are heard.

    Behind it, once there was a press, none does anything: the program is to end.
    """

    def __init__(self) -> None:
        self._count, self._heard, self._from = 0, True, 0.0
        self._before: Any = None

    def __enter__(self) -> "Presses":
        # Python lets no other thread do so; and whoever has it ignored means that.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            # It has been heard: one more, while what came of it is told, would only garble that.
            signal.signal(signal.SIGINT, signal.SIG_IGN if self._count else self._before)

    def again(self, seconds: float) -> bool:
        """Whether it is pressed again within so many seconds, or was before."""
        end = time.monotonic() + seconds
        while self._count < 2 and time.monotonic() < end:
            time.sleep(_LOOK)
        return self._count >= 2

    @contextmanager
    def heard(self, after: float) -> Iterator[None]:
        """One more press raises KeyboardInterrupt within this, but for so many seconds at first."""
        self._heard, self._from = True, time.monotonic() + after
        try:
            yield
        finally:
            self._heard = False

    def _press(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._heard and time.monotonic() >= self._from:
            self._heard = False
            raise KeyboardInterrupt
