"""What a member of the fleet does for a job: it begins, and makes pieces. One thing at a time.

Everything comes as text and bytes, and goes so, since the members' Pythons may differ.
"""

import errno
import logging
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime import command, dialect, job, room
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import piece
from sdops_runtime.protocol import Event, JobRequest
from sdops_runtime.queue import default_root
from sdops_runtime.warm import Warm

DEPLOY = "Have both brought up to date: ansible-playbook ansible/site.yml --tags runtime,fleet"

#: Seconds between two steps that are told of: they are for people's eyes.
PAUSE = 0.25

_LOG = logging.getLogger(__name__)


class Member:
    """One GPU's own: the model that is loaded, and whom it tells.

    name: the host's and the number there, as gpu2/0. wanted: auto, cuda or cpu. Nothing that happens here is
    raised: the one who has the job has to learn who it was that failed.
    """

    def __init__(self, name: str, wanted: str, tell: Callable[[str, Mapping[str, Any]], None]) -> None:
        self.name, self._wanted, self._tell = name, wanted, tell
        root = default_root()
        # On the disk: /tmp is memory in some releases. Its own alone, so that what a killed one left can go.
        self._folder = root / f"piece-{name.rpartition('/')[2]}"
        shutil.rmtree(self._folder, ignore_errors=True)
        # What runs here; the file may be a newer one's when it is asked.
        self._digest = command.digest()
        self._warm = Warm(lambda engine, model: room.write(root, engine, model), lambda: room.forget(root))
        # Held while something is done; what gives the memory back waits for it.
        self._busy = threading.Lock()
        self._last = time.monotonic()

    def begin(
        self, topic: str, digest: Optional[str], text: str, sizes: list[Optional[tuple[int, int]]]
    ) -> dict[str, Any]:
        """Loads a job's model and says how its pictures would be made here: ``events``, or an ``error``.

        topic: of what is told meanwhile. digest: of the head's runtime. sizes: of each input's pictures.
        """
        with self._busy:
            told: list[Event] = []

            def emit(event: Event) -> None:
                if event.kind == "download":
                    self._tell(topic, {"kind": event.kind, **event.data})
                else:
                    told.append(event)

            try:
                if digest != self._digest:
                    raise SdopsError("fleet-unusable", "It runs another sdops than the head.", DEPLOY)
                request = JobRequest.from_json(text)
                place = Place(Path(), self._wanted)
                engine, about = self._warm.load(request.settings, place, emit)
                slots, _ = job.plan(request, [one and (one[0], one[1]) for one in sizes], engine)
                job.announce(request, engine, about, slots, emit, engine.seconds)
            except Exception as error:  # the worker's top
                return {"name": self.name, "error": self._reason(error)}
            finally:
                self._last = time.monotonic()
        return {"name": self.name, "events": [[event.kind, dict(event.data)] for event in told]}

    def make(self, topic: str, number: int, text: str, inputs: list[bytes]) -> dict[str, Any]:
        """Makes a piece: ``events``, and ``files``, the pictures' bytes by name, and ``seconds``.

        number: of the piece, which goes along with the steps that are told. inputs: the files' bytes. Where
        it could not, for whatever reason, the last event is failed; what was made before is there, too.
        """
        with self._busy:
            began = told = time.monotonic()
            events: list[Event] = []
            files: dict[str, bytes] = {}

            def emit(event: Event) -> None:
                nonlocal told
                if event.kind == "image":
                    files[event.data["name"]] = (self._folder / "out" / event.data["name"]).read_bytes()
                if event.kind != "step":
                    events.append(event)
                elif time.monotonic() - told >= PAUSE:
                    told = time.monotonic()
                    self._tell(topic, {"kind": "step", "piece": number, **event.data})

            def load(*words: Any) -> tuple[Any, Mapping[str, Any]]:
                nonlocal began
                before = time.monotonic()
                loaded = self._warm.load(*words)
                began += time.monotonic() - before
                return loaded

            try:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir(parents=True, mode=0o700)
                sources = []
                for source, data in enumerate(inputs):
                    sources.append(self._folder / f"in-{source}")
                    sources[-1].write_bytes(data)
                place = Place(self._folder / "out", self._wanted)
                job.run(piece.read(text), sources, place, emit, loader=load)
            except Exception as error:  # the worker's top
                code, message, hint = self._reason(error)
                events.append(Event("failed", {"code": code, "message": message, "hint": hint}))
            shutil.rmtree(self._folder, ignore_errors=True)
            self._last = time.monotonic()
            if events[-1].kind == "failed":
                self._warm.drop()  # whatever it was, it does not meet the next piece
        return {
            "name": self.name,
            "events": [[event.kind, dict(event.data)] for event in events],
            "files": files,
            "seconds": time.monotonic() - began,
        }

    def _reason(self, error: Exception) -> list[str]:
        if isinstance(error, SdopsError):
            return [error.code, error.message, error.hint]
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = self._folder.parent
            return ["disk-full", f"The disk of {where} is full.", f"Free some space there (df -h {where})."]
        _LOG.warning("something unexpected happened", exc_info=True)
        what = f"Something unexpected happened: {type(error).__name__}: {dialect.last_line(error)}"
        return ["internal-error", what, ""]

    def rest(self, idle: float) -> None:
        """Gives the model's memory back if nothing was done for so many seconds."""
        if time.monotonic() - self._last > idle and self._busy.acquire(blocking=False):
            try:
                self._warm.drop()
            finally:
                self._busy.release()


_member: Optional[Member] = None


def enlist(one: Member) -> None:
    """Makes this process that member."""
    global _member
    _member = one


def begin(*words: Any) -> dict[str, Any]:
    """As ``Member.begin``, of this process's."""
    assert _member is not None
    return _member.begin(*words)


def make(*words: Any) -> dict[str, Any]:
    """As ``Member.make``, of this process's."""
    assert _member is not None
    return _member.make(*words)


def rest(idle: float) -> None:
    """As ``Member.rest``, of this process's."""
    assert _member is not None
    _member.rest(idle)
