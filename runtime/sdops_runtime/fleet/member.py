"""What a member of the fleet does for a job: it begins, and makes pieces. One thing at a time.

Everything comes as text and bytes, and goes so, since the members' Pythons may differ.
"""

import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime import command, job, room
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import piece
from sdops_runtime.protocol import Event, JobRequest
from sdops_runtime.queue import default_root
from sdops_runtime.warm import Warm

DEPLOY = "Have both brought up to date: ansible-playbook ansible/site.yml --tags runtime,fleet"

#: Seconds between two steps that are told of: they are for people's eyes.
PAUSE = 0.25


class Member:
    """One GPU's own: the model that is loaded, and whom it tells. wanted: auto, cuda or cpu."""

    def __init__(self, name: str, wanted: str, tell: Callable[[str, Mapping[str, Any]], None]) -> None:
        self.name, self._wanted, self._tell = name, wanted, tell
        root = default_root()
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
                if digest != command.digest():
                    raise SdopsError("fleet-unusable", "It runs another sdops than the head.", DEPLOY)
                request = JobRequest.from_json(text)
                place = Place(Path(), self._wanted)
                engine, about = self._warm.load(request.settings, place, emit)
                slots, _ = job.plan(request, [one and (one[0], one[1]) for one in sizes], engine)
                job.announce(request, engine, about, slots, emit, engine.seconds)
            except SdopsError as error:
                return {"name": self.name, "error": [error.code, error.message, error.hint]}
            finally:
                self._last = time.monotonic()
        return {"name": self.name, "events": [[event.kind, dict(event.data)] for event in told]}

    def make(self, topic: str, number: int, text: str, inputs: list[bytes]) -> dict[str, Any]:
        """Makes a piece: ``events``, and ``files``, the pictures' bytes by name, and ``seconds``.

        number: of the piece, which goes along with the steps that are told. inputs: the files' bytes.
        """
        with self._busy, tempfile.TemporaryDirectory(prefix="sdops-piece-", dir=_room()) as folder:
            began = told = time.monotonic()
            events: list[Event] = []

            def emit(event: Event) -> None:
                nonlocal told
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

            sources = []
            for source, data in enumerate(inputs):
                sources.append(Path(folder, f"in-{source}"))
                sources[-1].write_bytes(data)
            out = Path(folder, "out")
            job.run(piece.read(text), sources, Place(out, self._wanted), emit, loader=load)
            files = {
                event.data["name"]: (out / event.data["name"]).read_bytes()
                for event in events
                if event.kind == "image"
            }
            self._last = time.monotonic()
            if events[-1].kind == "failed":
                self._warm.drop()  # whatever it was, it does not meet the next piece
        return {
            "name": self.name,
            "events": [[event.kind, dict(event.data)] for event in events],
            "files": files,
            "seconds": time.monotonic() - began,
        }

    def rest(self, idle: float) -> None:
        """Gives the model's memory back if nothing was done for so many seconds."""
        if time.monotonic() - self._last > idle and self._busy.acquire(blocking=False):
            try:
                self._warm.drop()
            finally:
                self._busy.release()


def _room() -> Optional[str]:
    """A folder on the disk: /tmp is memory in some releases."""
    root = default_root()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(root)


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
