"""Puts a job's pictures where they belong on this side, each whole and once. Trusts no name of a host's."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sdops_runtime.outputs import name_of
from sdops_runtime.protocol import JobRequest

from sdops.errors import SdopsError


class Saver:
    """Saves the pictures of one job in a folder, which is there. overwrite: whatever has their names."""

    def __init__(self, request: JobRequest, out: Path, overwrite: bool) -> None:
        self._out, self._overwrite = out, overwrite
        skipped = set(request.skip)
        #: The picture's name for each number of a picture that is made.
        self.names = {
            item.index: name_of(request, item) for item in request.items() if item.index not in skipped
        }
        self._saved: set[str] = set()

    def have(self) -> list[str]:
        """The pictures that need not be sent: those saved before, and what nobody wants to lose."""
        if self._overwrite:
            return sorted(self._saved)
        return sorted(name for name in self.names.values() if (self._out / name).exists())

    def take(self, data: Mapping[str, Any], payload: bytes | None) -> None:
        """Saves a picture, or sees that it is there. data: of its event.

        Raises SdopsError: ``output-exists`` for another file of its name, ``picture-lost`` if the host has
        it no more, ``transfer-failed`` for other bytes than it made, ``host-nonsense``, as ``png.keep`` does.
        """
        from sdops_runtime import png  # which brings Pillow along

        name = self.names.get(data["index"])
        if name is None or data["name"] != name:
            raise SdopsError(
                "host-nonsense", f"The host sent a picture {data['name']!r:.100} that nobody asked for."
            )
        path = self._out / name
        if payload is None:
            with suppress(OSError):
                if hashlib.sha256(path.read_bytes()).hexdigest() == data["sha256"]:
                    self._saved.add(name)
                    return
                raise SdopsError(
                    "output-exists",
                    f"{path} is there already, and is another picture.",
                    "Use another --out, or --overwrite to replace it.",
                )
            raise SdopsError("picture-lost", f"The host has no {name} any more.", "Run the job again.")
        if hashlib.sha256(payload).hexdigest() != data["sha256"]:
            raise SdopsError("transfer-failed", f"{name} did not arrive as it was made.", "Fetch it again.")
        png.keep(payload, path, self._overwrite or name in self._saved)
        self._saved.add(name)
