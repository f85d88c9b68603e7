"""Follows one job on a host: sends it, hears of it, saves each picture as soon as it is made.

Everything that is said to a host may be said again. So a connection that breaks is made anew, the
conversation begins anew, and the job, which does not depend on either, goes on meanwhile.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sdops_runtime.protocol import Event, JobRequest

from sdops.desk import Conversation, Message
from sdops.errors import SdopsError
from sdops.jobs.begun import Begun
from sdops.jobs.fitting import foretell
from sdops.jobs.local import Outcome
from sdops.jobs.prepare import Parcel
from sdops.jobs.recorder import Recorder
from sdops.jobs.saver import Saver
from sdops.jobs.sound import sound

Watch = Callable[[Event], None]

#: What passes by itself: a network that is away, a host that boots.
PASSING = (
    "connection-lost",
    "host-slow",
    "host-unreachable",
    "host-name-unknown",
    "ssh-refused",
    "ssh-closed",
    "transfer-failed",
)
#: Seconds between attempts to reach a host again, and for how long they go on.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
PATIENCE = 900.0
#: Seconds for a host to wake its worker, whose Python may come from a cold disk.
WAKING = 90.0


@dataclass
class Follower:
    """Follows one job to its end. watch: sees every event, and those that only this side knows.

    ``connecting(host)`` · ``upload(bytes, total)`` · ``queued(job, host)`` · ``waiting(ahead)`` ·
    ``lost(message)`` · ``back`` · ``detached(job, host)`` ·
    ``cancelling(job, host)`` · ``uncancelled(job, host)`` · ``left(job, host)``, after an error.

    begun: where its conversations come from.
    submitted: whether the host may have the job; accepted: whether it has it.
    """

    begun: Begun
    outcome: Outcome
    overwrite: bool
    watch: Watch
    recorder: Recorder
    submitted: bool = False
    accepted: bool = False
    #: Notices that the host is going to repeat.
    _foretold: set[str] = field(default_factory=set)
    _offset: int = 0
    _met: bool = False
    #: When something came that had not come before.
    _news: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        request = self.outcome.asked.request
        self.job = str(self.outcome.job)
        self._items = request.items()
        self._saver = Saver(request, self.outcome.out, self.overwrite)

    def run(self, parcel: Parcel, detach: bool) -> None:
        """Sends the job and, unless told otherwise, follows it. Raises SdopsError."""
        self._persist(lambda one: self._deliver(one, parcel, detach))

    def attach(self, wait: bool) -> None:
        """Follows a job that is there; without ``wait``, to where it is now. Raises SdopsError."""
        self.accepted = True
        self._persist(lambda one: self._follow(one, wait))

    def cancel(self) -> None:
        """Cancels the job and follows it to its end. Raises SdopsError."""

        def talk(one: Conversation) -> None:
            one.ask("cancel", "job", job=self.job)
            self._follow(one, wait=True)

        self._persist(talk)

    def _persist(self, talk: Callable[[Conversation], None]) -> None:
        """Has a conversation; another one when the connection broke, for as long as there is hope."""
        since = 0.0
        attempt = 0
        lost = False
        while True:
            try:
                if not lost:
                    self.watch(Event("connecting", {"host": self.begun.place.name}))
                with self.begun.conversation() as one:
                    one.hello()
                    if lost:
                        self.watch(Event("back"))
                    self._met, lost = True, False
                    return talk(one)
            except SdopsError as error:
                if error.code not in PASSING or not self._met:
                    raise
                now = time.monotonic()
                if self._news >= since:
                    # It came further than the last time.
                    since, attempt = now, 0
                if now - since > PATIENCE:
                    raise
                if not lost:
                    lost = True
                    self.watch(Event("lost", {"message": error.message}))
            time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1

    def _deliver(self, one: Conversation, parcel: Parcel, detach: bool) -> None:
        if not self.accepted:
            one.demand_same_runtime()
            self._foretell(one, parcel.request)
            missing = one.ask("have", "missing", sha256=sorted(parcel.files)).data["sha256"]
            self._send(one, [sha256 for sha256 in parcel.files if sha256 in missing], parcel)
            self.submitted = True
            one.say("submit", job=self.job, request=_plain(parcel.request))
            if not detach:
                # At once: the answer to this is the first event.
                self._ask_to_follow(one, wait=True)
            one.hear("job", patience=WAKING)
            self.accepted = True
            self._news = time.monotonic()
            self.recorder.begin()
            self.watch(Event("queued", {"job": self.job, "host": self.begun.place.name}))
            if not detach:
                self._listen(one)
        elif not detach:
            self._follow(one, wait=True)

    def _foretell(self, one: Conversation, request: JobRequest) -> None:
        """Says what the host will lower to fit the job into its GPU. Raises SdopsError if it cannot fit."""
        for message in foretell(request, one.hello().data.get("memory"), self.begun.place.wanted.stack):
            if message not in self._foretold:
                self._foretold.add(message)
                self.watch(Event("notice", {"code": "memory", "message": message}))

    def _send(self, one: Conversation, missing: list[str], parcel: Parcel) -> None:
        sizes = {sha256: parcel.files[sha256].stat().st_size for sha256 in missing}
        done, total = 0, sum(sizes.values())
        for sha256 in missing:
            one.say("put", parcel.files[sha256], sha256=sha256, size=sizes[sha256])
        for _ in missing:
            done += sizes.get(str(one.hear("stored").data.get("sha256")), 0)
            self._news = time.monotonic()
            self.watch(Event("upload", {"bytes": done, "total": total}))

    def _follow(self, one: Conversation, wait: bool) -> None:
        self._ask_to_follow(one, wait)
        self._listen(one)

    def _ask_to_follow(self, one: Conversation, wait: bool) -> None:
        one.say("follow", job=self.job, offset=self._offset, have=self._saver.have(), wait=wait)

    def _listen(self, one: Conversation) -> None:
        patience = WAKING
        while True:
            message = one.hear("event", "waiting", "alive", "ended", patience=patience)
            if message.kind == "ended":
                break
            if message.kind == "waiting":
                self.watch(Event("waiting", {"ahead": int(message.data["ahead"])}))
            elif message.kind == "event":
                self._event(message)
            else:
                self._news = time.monotonic()  # quiet, and well
        if self.outcome.last.terminal and not self.outcome.unsaved:
            # For ``prune``, and nothing that a person waits for.
            with suppress(SdopsError):
                one.ask("fetched", "job", job=self.job)

    def _event(self, message: Message) -> None:
        event, offset = sound(message), int(message.data["offset"])
        if event is None or offset <= self._offset:
            return
        if "index" in event.data:
            event = self._placed(event)
        if event.kind == "image":
            try:
                self._saver.take(event.data, message.payload)
            except SdopsError as error:
                if error.code not in ("output-exists", "picture-lost"):
                    raise
                self.outcome.unsaved.append(error)
            else:
                self.recorder.take(event)
        elif event.kind in ("loaded", "item_failed"):
            self.recorder.take(event)
        # Only now: after a break it is told again from here.
        self._offset, self._news = offset, time.monotonic()
        self.outcome.take(event)
        if event.kind == "notice" and event.data["message"] in self._foretold:
            return
        self.watch(event)

    def _placed(self, event: Event) -> Event:
        """An event about one picture, with what this side knows of that."""
        index = event.data["index"]
        if not 0 <= index < len(self._items):
            raise SdopsError("host-nonsense", "The host sent news of a picture that nobody asked for.")
        item = self._items[index]
        return Event(
            event.kind, {**event.data, "input": item.input, "prompt": item.prompt, "seed": item.seed}
        )


def _plain(request: JobRequest) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(request.to_json())
    return found
