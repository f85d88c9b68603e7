"""A job's folder on its host, from which everything that is shown of the job can be rebuilt.

    request.json   in/0 in/1 …   out/   events.ndjson

Standard library only, Python 3.9.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import Event, JobRequest

_PIECE = 1 << 16
#: How ``Journal`` begins the line of a step.
_STEP = b'{"kind": "step"'

#: States of a job. The last three are the kinds of its last event.
STATES = ("queued", "running", "done", "failed", "cancelled")
ENDED = STATES[2:]


@dataclass(frozen=True)
class Job:
    """One job. state: one of STATES. cancel: whether somebody asked to cancel it."""

    id: str
    state: str
    cancel: bool
    folder: Path

    @property
    def out(self) -> Path:
        """The folder of its pictures."""
        return self.folder / "out"

    def request(self) -> JobRequest:
        """What is asked for. Raises SdopsError("request-invalid")."""
        try:
            return JobRequest.from_json((self.folder / "request.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SdopsError("request-invalid", f"The request of job {self.id} cannot be read.") from error

    def inputs(self, request: JobRequest) -> list[Path]:
        """The files of the request's inputs, in order."""
        return [self.folder / "in" / str(number) for number in range(len(request.inputs))]

    def events(self) -> list[Event]:
        """What has happened so far, but for single steps."""
        return [event for _, event in self.follow(0, steps=False)]

    def follow(self, offset: int, steps: bool = True) -> Iterator[tuple[int, Event]]:
        """What has happened since, each with the offset that it ends at. steps: single ones, too.

        A line that was being written when the power went is no event.
        """
        try:
            file = (self.folder / "events.ndjson").open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                # There are forty for each picture, and reading them takes most of the time.
                if not steps and line.startswith(_STEP):
                    continue
                data = json.loads(line)
                yield offset, Event(data.pop("kind"), data)


class Journal:
    """Writes a job's events behind those that are there, each with the time: ``at``, seconds since 1970."""

    def __init__(self, job: Job) -> None:
        path = job.folder / "events.ndjson"
        self._file = path.open("ab+")
        self._file.truncate(_whole(self._file))

    def append(self, event: Event) -> None:
        """Writes one event; those that tell of a picture or an end are on the disk when this returns."""
        line = json.dumps({"kind": event.kind, "at": round(time.time(), 3), **event.data}, ensure_ascii=True)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if event.kind != "step":
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):
            self._file.close()


def _whole(file: BinaryIO) -> int:
    """How many bytes of a file are whole lines. Reads its end alone: it may be long."""
    size = file.seek(0, os.SEEK_END)
    while size:
        start = max(0, size - _PIECE)
        file.seek(start)
        end = file.read(size - start).rfind(b"\n")
        if end >= 0:
            return start + end + 1
        size = start
    return 0
