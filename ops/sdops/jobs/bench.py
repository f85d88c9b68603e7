"""Has a host, or this machine, measure its runtime against the guide's script: ``sdops-runtime bench``."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sdops.desk import LAUNCHER
from sdops.errors import SdopsError
from sdops.jobs.local import NAME
from sdops.jobs.place import places

#: Seconds: in full size on a slow GPU, with every switch.
PATIENCE = 7200.0


def measure(
    word: str, inventory: Sequence[Path | str], options: Sequence[str], tell: Callable[[str], None]
) -> dict[str, Any]:
    """What was measured, with ``text``, its table. word: a host's name. tell: told how far it is.

    Raises SdopsError, the host's own too.
    """
    from sdops import inventory as source
    from sdops.transport import open_session

    if word == NAME:
        host, argv = source.THIS_MACHINE, [sys.executable, "-m", "sdops_runtime"]
    else:
        found = places([word], inventory)
        if len(found) != 1:
            raise SdopsError(
                "usage", f"{word} means {len(found)} hosts.", "Name one: sdops hosts lists them."
            )
        host, argv = found[0].host, [LAUNCHER]
    reader = _Reader(tell)
    session = open_session(host)
    try:
        status = session.stream([*argv, "bench", *options], reader.take, timeout=PATIENCE)
    finally:
        session.close()
    return reader.result(status)


class _Reader:
    """Reads the lines of ``sdops-runtime bench``."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = b""
        self._last: dict[str, Any] = {}

    def take(self, data: bytes) -> None:
        """Takes what has come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict):
                self._last = told
                if told.get("kind") == "bench":
                    self._tell(str(told.get("message", "")))

    def result(self, status: int) -> dict[str, Any]:
        """The figures. Raises SdopsError for anything else."""
        told = self._last
        if told.get("kind") == "measured" and isinstance(told.get("text"), str):
            return told
        if isinstance(told.get("code"), str) and isinstance(told.get("message"), str):
            raise SdopsError(told["code"], told["message"], str(told.get("hint", "")))
        raise SdopsError(
            "host-nonsense",
            f"The runtime did not measure anything; it ended with {status}.",
            "Deploy the matching runtime: ansible-playbook ansible/site.yml --tags runtime",
        )
