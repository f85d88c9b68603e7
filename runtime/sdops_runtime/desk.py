"""The desk of a host: answers one client over one connection, on stdin and stdout.

The client sends JSON objects, one a line, each with ``do``; ``put`` is followed by the bytes of a file. The
desk sends JSON objects, one a line, each with ``kind``; one that has ``bytes`` is followed by so many. The
first, ``hello``, comes unasked, behind a word of the client's, which tells it from what the account's start
files print. An ``error`` is the last. Whatever was asked for may be asked again: a client whose connection
broke says all of it once more.

    have(sha256)              missing(sha256)           which of the inputs have to be sent
    put(sha256, size)         stored(sha256)            an input
    submit(job, request)      job(…)                    a job, accepted once
    follow(job, offset, have, wait)  event…, ended(state)
                                                        what happens, or has; with pictures not in ``have``
    cancel(job)               job(…)
    fetched(job)              job(…)                    its pictures are with the client, and safe
    job(job)                  job(…, request)
    names()                   names(jobs)
    jobs(most)                job(…)…, listed(left)     the newest, the oldest of them first
    prune(days, all)          pruned(…)
    log(lines)                log(text)
    status()                  status(…)                 how the host is right now

Starts without the libraries that make the pictures. Standard library only, Python 3.9.
"""

import json
import os
import select
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Callable, Optional

from sdops_runtime import __version__, housekeeping, room, status, waking
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import membership
from sdops_runtime.jobfolder import ENDED, Job
from sdops_runtime.protocol import PROTOCOL, Event, JobRequest
from sdops_runtime.queue import Queue, check_name, no_room

#: Seconds without a word from the client, while it has the floor, after which it is taken for gone.
SILENCE = 120.0
#: Seconds between two signs of life while nothing happens.
ALIVE = 5.0
#: Seconds between two looks at the events of a job, and at whether anybody makes its pictures.
LOOK, CHECK = 0.05, 2.0
#: Seconds in which systemd starts a worker again that has died (RestartSec, and the imports).
RESTART = 15.0
#: Free space that a job must leave, in bytes.
SPARE = 64 * 2**20

_PIECE = 1 << 18
#: A request names each of its inputs and prompts, and what a client has of a job's pictures.
_MAX_LINE = 64 * 2**20
DEPLOY = "Deploy the matching runtime: ansible-playbook ansible/site.yml --tags runtime"


class Inlet:
    """What comes from a client, with a look at whether something has come."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._buffer = descriptor, b""

    def ready(self, seconds: float) -> bool:
        """Whether something, or the end, is there within so many seconds."""
        return bool(self._buffer) or bool(select.select([self._descriptor], [], [], seconds)[0])

    def line(self) -> bytes:
        """The next line; b"" at the end. Raises SdopsError("request-invalid") for one without an end."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > _MAX_LINE:
                raise SdopsError("request-invalid", "What the host was asked has no end.", DEPLOY)
            piece = os.read(self._descriptor, _PIECE)
            if not piece:
                return b""
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def read(self, size: int) -> bytes:
        """Up to so many bytes; b"" at the end."""
        if not self._buffer:
            return os.read(self._descriptor, min(size, _PIECE))
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        return piece


class Desk:
    """One client's conversation. digest: of the runtime that runs here, None from a folder."""

    def __init__(self, queue: Queue, stdin: Inlet, stdout: BinaryIO, digest: Optional[str]) -> None:
        self._queue, self._in, self._out, self._digest = queue, stdin, stdout, digest
        self._ask: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "have": self._have,
            "put": self._put,
            "submit": self._submit,
            "follow": self._follow,
            "cancel": self._cancel,
            "fetched": self._fetched,
            "job": self._job,
            "names": self._names,
            "jobs": self._jobs,
            "prune": self._prune,
            "log": self._log,
            "status": self._status,
        }

    def attend(self, word: str) -> None:
        """Answers until the client asks nothing more, or has gone. word: goes before the first answer."""
        self._out.write(f"\n{word}\n".encode())
        try:
            self._greet()
            while (asked := self._read()) is not None:
                self._answer(asked)
        except SdopsError as error:
            self._say("error", code=error.code, message=error.message, hint=error.hint)
        except (EOFError, BrokenPipeError):
            return

    def _greet(self) -> None:
        self._say(
            "hello",
            version=__version__,
            protocol=PROTOCOL,
            digest=self._digest,
            serving=self._queue.served(),
            waiting=self._queue.waiting(),
            free=self._free(),
            memory=room.read(self._queue.root),
            fleet=membership.outline(self._queue.root),
        )

    def _answer(self, asked: Mapping[str, Any]) -> None:
        action = self._ask.get(str(asked.get("do")))
        if action is None:
            raise SdopsError("request-invalid", "The host's runtime does not know what it is asked.", DEPLOY)
        try:
            action(asked)
        except (KeyError, TypeError, ValueError) as error:
            raise SdopsError(
                "request-invalid", f"What the host was asked makes no sense: {type(error).__name__}.", DEPLOY
            ) from error

    def _read(self) -> Optional[Mapping[str, Any]]:
        """The next thing that the client asks; None when it is done or gone."""
        line = self._in.line() if self._in.ready(SILENCE) else b""
        if not line:
            return None
        try:
            asked = json.loads(line)
        except ValueError:
            asked = None
        return asked if isinstance(asked, dict) else {}

    def _say(self, kind: str, payload: bytes = b"", **data: Any) -> None:
        self._out.write(json.dumps({"kind": kind, **data}, ensure_ascii=True).encode() + b"\n" + payload)
        self._out.flush()

    # -- a job on its way here

    def _have(self, asked: Mapping[str, Any]) -> None:
        self._say("missing", sha256=[one for one in asked["sha256"] if not self._queue.store.has(one)])

    def _put(self, asked: Mapping[str, Any]) -> None:
        size = int(asked["size"])
        if size + SPARE > self._free():
            raise _full(size, self._free(), self._queue.root)
        try:
            self._queue.store.take(asked["sha256"], size, self._in)
        except OSError as error:
            raise SdopsError(
                "queue-unusable", f"An input cannot be kept in {self._queue.root}: {error.strerror}."
            ) from error
        self._say("stored", sha256=asked["sha256"])

    def _submit(self, asked: Mapping[str, Any]) -> None:
        name = asked["job"]
        check_name(name)
        request = JobRequest.from_json(json.dumps(asked["request"]))
        settings = request.settings
        needed = request.wanted * settings.width * (settings.height or settings.width) * 3
        known = any(job.id == name for job in self._queue.jobs())
        if not known and needed + SPARE > self._free():
            raise _full(needed, self._free(), self._queue.root)
        waking.wake(self._queue)
        job = self._queue.submit_stored(name, request)
        # Again: a worker that had nothing to do may have ended just before.
        waking.wake(self._queue)
        self._tell(job)

    # -- a job that is here

    def _follow(self, asked: Mapping[str, Any]) -> None:
        job, offset = self._queue.job(asked["job"]), int(asked["offset"])
        have = None if asked["have"] is None else set(asked["have"])
        state, ahead, missed = job.state, -1, None
        heard = checked = time.monotonic()
        while True:
            ended = False
            for end, event in _last_steps(job.follow(offset)):
                offset = end
                self._event(job, event, offset, have)
                heard = time.monotonic()
                ended = event.terminal
            # The state was read before the events, and an end is in the events before it is a state.
            if ended or state in ENDED or not asked["wait"]:
                self._say("ended", state=self._queue.job(job.id).state)
                return
            now = time.monotonic()
            if now - checked >= CHECK or ahead < 0:
                checked = now
                if now - heard >= CHECK and no_room(self._queue.root):
                    raise SdopsError(
                        "disk-full",
                        "The host's disk is full. The job waits until there is space.",
                        f"Free some (sdops prune helps), then: sdops attach {job.id}",
                    )
                state, missed = self._queue.job(job.id).state, self._look_after(missed)
                before, ahead = ahead, self._queue.ahead(job)
                if state == "queued" and before != ahead:
                    self._say("waiting", ahead=ahead)
            if now - heard >= ALIVE:
                heard = now
                self._say("alive")
            if self._in.ready(LOOK):
                return  # it has something else to ask, or has gone

    def _look_after(self, missed: Optional[float]) -> Optional[float]:
        """Sees to it that somebody serves the queue; since when nobody does."""
        if self._queue.served():
            return None
        now = time.monotonic()
        if missed is None:
            return now
        if now - missed > RESTART:
            waking.wake(self._queue)
            return None
        return missed

    def _event(self, job: Job, event: Event, offset: int, have: Optional[set[str]]) -> None:
        payload = b""
        data = {"event": event.kind, "offset": offset, **event.data}
        if event.kind == "image" and have is not None and event.data["name"] not in have:
            try:
                payload = (job.out / event.data["name"]).read_bytes()
                data["bytes"] = len(payload)
            except OSError:
                data["bytes"] = None
        self._say("event", payload, **data)

    def _cancel(self, asked: Mapping[str, Any]) -> None:
        self._tell(self._queue.cancel(asked["job"]))

    def _fetched(self, asked: Mapping[str, Any]) -> None:
        job = self._queue.job(asked["job"])
        housekeeping.mark_fetched(job)
        self._tell(job)

    def _job(self, asked: Mapping[str, Any]) -> None:
        job = self._queue.job(asked["job"])
        self._tell(job, request=json.loads(job.request().to_json()))

    def _names(self, asked: Mapping[str, Any]) -> None:
        self._say("names", jobs=[job.id for job in self._queue.jobs()])

    def _jobs(self, asked: Mapping[str, Any]) -> None:
        jobs = self._queue.jobs()
        shown = jobs[-int(asked["most"]) :]
        for job in shown:
            self._tell(job)
        self._say("listed", left=len(jobs) - len(shown), serving=self._queue.served())

    def _prune(self, asked: Mapping[str, Any]) -> None:
        self._say("pruned", **housekeeping.prune(self._queue, float(asked["days"]), bool(asked["all"])))

    def _log(self, asked: Mapping[str, Any]) -> None:
        self._say("log", text=waking.log(self._queue, int(asked["lines"])))

    def _status(self, asked: Mapping[str, Any]) -> None:
        self._say("status", **status.status(self._queue))

    def _tell(self, job: Job, **more: Any) -> None:
        self._say("job", **housekeeping.outline(job), **more)

    def _free(self) -> int:
        return shutil.disk_usage(self._queue.root).free


def _last_steps(events: Iterator[tuple[int, Event]]) -> Iterator[tuple[int, Event]]:
    """The events, of steps in a row the last one only: whoever comes late need not see each."""
    before: Optional[tuple[int, Event]] = None
    for one in events:
        if before is not None and not (before[1].kind == one[1].kind == "step"):
            yield before
        before = one
    if before is not None:
        yield before


def _full(needed: int, free: int, root: Path) -> SdopsError:
    return SdopsError(
        "disk-full",
        f"The job may need {needed / 2**20:.0f} MiB in {root} on the host; {free / 2**20:.0f} MiB are free.",
        "Free some: sdops prune",
    )
