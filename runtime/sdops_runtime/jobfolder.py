"""A job's folder on its host, from which everything that is shown of the job can be rebuilt.

    request.json   in/0 in/1 …   out/   events.ndjson

Standard library only, Python 3.9.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import Event, JobRequest

#: States of a job. The last three are the kinds of its last event.
STATES = ("queued", "running", "done", "failed", "cancelled")


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
        """What has happened so far. A line that was being written when the power went is no event."""
        try:
            lines = (self.folder / "events.ndjson").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines]
        return [Event(data.pop("kind"), data) for data in found]


class Journal:
    """Writes a job's events behind those that are there."""

    def __init__(self, job: Job) -> None:
        path = job.folder / "events.ndjson"
        whole = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        self._file = path.open("ab")
        self._file.truncate(len(whole[0] + whole[1]))

    def append(self, event: Event) -> None:
        """Writes one event; those that tell of a picture or an end are on the disk when this returns."""
        line = json.dumps({"kind": event.kind, **event.data}, ensure_ascii=True)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if event.kind != "step":
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):
            self._file.close()
