"""Shares a job out over a fleet: hands pieces to its members and takes their pictures, until none is left.

Who does what, who is there and what has to be done again is the engine's business. What is decided here is
how large the pieces are: as many batches as take some seconds on a member as fast as it was so far, and at
the end the smallest there are. What takes one much longer than the others is given to another one, too.
"""

import dataclasses
import hashlib
import logging
import statistics
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from sdops_runtime import command, png
from sdops_runtime.chunks import Slots
from sdops_runtime.course import PausedError, Place, Tally, item_failed
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import piece
from sdops_runtime.fleet.engine import Crew, Done, LostError
from sdops_runtime.inputs import Inputs
from sdops_runtime.protocol import Event, Item, JobRequest

#: Seconds that a piece should take: long against what handing it over takes, short for who watches.
TARGET = 5.0
#: Seconds between two looks at everything.
PAUSE = 0.5
#: Seconds for the others to load the model after the first one has, before the size of the batch is chosen.
GRACE = 5.0
#: Seconds after which somebody is told that there is nobody to make the pictures.
SILENCE = 10.0
#: Seconds for pieces in hand when the job has to stop for now.
FAREWELL = 60.0
#: A piece that takes this much longer than it should is given to another member, too.
SLOW = 2.0
#: So often in a row a member may fail before it gets no more of this job.
STRIKES = 3

_LOG = logging.getLogger(__name__)


@dataclass
class Hand:
    """A piece that is out. members: among whom the engine chooses; tried: those that failed at it."""

    items: tuple[Item, ...]
    members: frozenset[str]
    tried: frozenset[str]
    since: float = field(default_factory=time.monotonic)
    doubled: bool = False


class Sharing:
    """Makes a job's pictures by a fleet; a ``course.Make``.

    mine: which of the members, by name, may be used. look: called again and again; may raise. paused: asked
    before something is handed out; when it says so, PausedError is raised once nothing is out any more.
    """

    def __init__(
        self,
        gather: Callable[[str], Crew],
        topic: str,
        mine: Callable[[str], bool] = lambda name: True,
        look: Callable[[], None] = lambda: None,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._gather, self._topic, self._mine, self._look, self._paused = gather, topic, mine, look, paused

    def __call__(self, request: JobRequest, inputs: Inputs, place: Place, tally: Tally) -> None:
        """Makes what is left. Raises SdopsError where no member can."""
        share = _Share(self, request, inputs, place, tally)
        while tally.left:
            try:
                crew = self._gather(self._topic)
            except LostError:
                if self.pause():
                    raise PausedError from None
                share.wait()
                continue
            try:
                share.make(crew)
            except LostError:
                _LOG.warning("the fleet's head was lost; beginning anew with what is left")
            finally:
                crew.close()

    def members(self, crew: Crew) -> dict[str, str]:
        """Names of the members that are there and may be used, by address."""
        return {address: name for address, name in crew.members().items() if self._mine(name)}

    def pause(self) -> bool:
        """Looks, and says whether to stop for now."""
        self._look()
        return self._paused()

    @property
    def topic(self) -> str:
        """What members tell under."""
        return self._topic


class _Share:
    """One job's share of one fleet, until it is done."""

    _crew: Crew

    def __init__(
        self, sharing: Sharing, request: JobRequest, inputs: Inputs, place: Place, tally: Tally
    ) -> None:
        self._sharing, self._request = sharing, request
        self._inputs, self._place, self._tally = inputs, place, tally
        self._items = {item.index: item for item in request.items()}
        self._sizes = inputs.sizes()
        self._slots: Optional[Slots] = None
        self._noticed: set[str] = set()
        self._names: dict[str, str] = {}
        self._strikes: dict[str, int] = {}
        #: Seconds for a picture, of each member.
        self._rates: dict[str, float] = {}
        #: Members that failed at a batch, by the number of its first picture.
        self._tried: dict[int, frozenset[str]] = {}
        self._forget()

    def _forget(self) -> None:
        """What is so with one crew alone."""
        #: Tickets of members that begin, with their addresses.
        self._beginning: dict[int, str] = {}
        #: What those that have begun have told.
        self._begun: dict[str, list[Event]] = {}
        #: Why others could not, or may no more.
        self._unfit: dict[str, SdopsError] = {}
        self._left: deque[tuple[Item, ...]] = deque()
        self._out: dict[int, Hand] = {}
        #: Members that have nothing to do, since they gave their last piece.
        self._idle: deque[str] = deque()
        self._alone_since: Optional[float] = None

    def make(self, crew: Crew) -> None:
        """Makes everything that is left."""
        self._crew = crew
        self._forget()
        self._begin()
        while self._tally.left:
            if self._sharing.pause():
                self._stop()
            self._recruit()
            self._hand_out()
            self._hear()
            done = self._crew.next(PAUSE)
            while done is not None:
                self._take(done)
                done = self._crew.next(0) if self._tally.left else None

    def wait(self) -> None:
        """Waits a moment, for a head that is not there."""
        self._say("The head of the fleet is not there. The job waits for it.")
        time.sleep(PAUSE)

    # -- beginning

    def _begin(self) -> None:
        """Has the members load the model, and chooses the size of the batch: that of the smallest."""
        first: Optional[float] = None
        began = time.monotonic()
        while True:
            if self._sharing.pause():
                raise PausedError
            self._recruit()
            self._hear()
            done = self._crew.next(PAUSE)
            if done is not None:
                self._take(done)
            if self._begun and first is None:
                first = time.monotonic()
            # One that loads as quickly as the first did is waited for.
            patience = GRACE if first is None else max(GRACE, first - began)
            if first is not None and (not self._beginning or time.monotonic() - first > patience):
                break
        if self._slots is None:
            self._slots = self._announce()
            self._request = dataclasses.replace(
                self._request, batch=self._slots.batch, first=self._slots.first
            )
        self._left.extend(piece.windows(self._request.items(), self._slots, self._tally.left))

    def _announce(self) -> Slots:
        told = list(self._begun.values())
        loaded = [_of("loaded", events) for events in told]
        batch = min(one["batch"] for one in loaded)
        slots = Slots(batch, self._request.first % batch)
        devices = sorted({one["device"] for one in loaded})
        what = dict(loaded[0], batch=batch, first=slots.first, members=len(loaded))
        self._tally.emit(Event("loaded", dict(what, device=", ".join(devices))))
        for events in told:
            for event in events:
                if event.kind == "notice":
                    self._notice(event)
        self._tally.emit(Event("planned", _of("planned", told[0])))
        return slots

    def _recruit(self) -> None:
        """Has new members begin; says so if there is nobody, and fails if nobody can."""
        there = self._sharing.members(self._crew)
        self._names.update(there)
        known = {*self._beginning.values(), *self._begun, *self._unfit}
        for address in there:
            if address not in known:
                words = (self._sharing.topic, command.digest(), self._request.to_json(), self._sizes)
                self._beginning[self._crew.hand("begin", words, [address])] = address
        for ticket in [one for one, address in self._beginning.items() if address not in there]:
            self._crew.withdraw(ticket)  # it has gone; should it come back, it begins anew
            del self._beginning[ticket]
        if self._unfit and not self._beginning and self._unfit.keys() >= self._begun.keys():
            raise next(iter(self._unfit.values()))
        if self._beginning or self._able(there):
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > SILENCE:
            self._say("None of the fleet's workers is there. The job waits for one.")

    def _able(self, there: Collection[str]) -> frozenset[str]:
        """Members that have begun, are there and have not failed too often."""
        return frozenset(
            address for address in self._begun if address in there and address not in self._unfit
        )

    # -- handing out

    def _hand_out(self) -> None:
        there = self._sharing.members(self._crew)
        able = self._able(there)
        for ticket, hand in list(self._out.items()):
            if not hand.members.intersection(there):
                # Nobody is there any more who might do it.
                self._crew.withdraw(ticket)
                self._again(self._out.pop(ticket))
        while self._left and len(self._out) < len(able):
            self._drop_bad()
            if not self._left:
                break
            tried = self._tried.get(self._left[0][0].index, frozenset())
            # The engine will most likely choose the one that has been idle the longest.
            idle = self._idle.popleft() if self._idle else ""
            self._hand(self._next(tried, idle), able - tried or able, tried)
        if not self._left and len(self._out) < len(able):
            self._double(able)

    def _drop_bad(self) -> None:
        """Tells of the pictures of the next batch whose input is none; nobody has to be asked for that."""
        while self._left:
            items = self._left[0]
            failures = {item.input: self._inputs.failure(item.input) for item in items}
            self._inputs.tell(self._tally.emit)
            good = tuple(item for item in items if failures[item.input] is None)
            for item in items:
                failure = failures[item.input]
                if failure is not None:
                    self._tally.emit(item_failed(item, failure))
            if good:
                self._left[0] = good
                return
            self._left.popleft()

    def _next(self, tried: frozenset[str], idle: str) -> tuple[Item, ...]:
        """The next piece: batches for ``TARGET`` seconds, at most half of an even share of what is left.

        idle: who will make it, as far as that can be said. What somebody failed at is handed out alone.
        """
        assert self._slots is not None
        items = self._left.popleft()
        if tried or not self._rates:
            return items
        rate = self._rates.get(idle) or statistics.median(self._rates.values())
        seconds = rate * self._slots.batch
        fair = (len(self._left) + 1) // (2 * max(1, len(self._rates)))
        for _ in range(min(int(TARGET / max(seconds, 1e-3)), fair) - 1):
            if not self._left or self._left[0][0].index in self._tried:
                break
            self._drop_bad()
            items += self._left.popleft() if self._left else ()
        return items

    def _hand(self, items: tuple[Item, ...], among: frozenset[str], tried: frozenset[str]) -> Hand:
        assert self._slots is not None
        cut = piece.cut(self._request, items, self._slots)
        data = [self._inputs.data(number) for number in cut.sources]
        words = (self._sharing.topic, items[0].index, cut.text, data)
        hand = Hand(items, among, tried)
        self._out[self._crew.hand("make", words, among)] = hand
        return hand

    def _double(self, able: frozenset[str]) -> None:
        """Gives the piece that is out the longest to one who has nothing to do, if it takes too long."""
        if not self._rates:
            return
        rate = statistics.median(self._rates.values())
        for hand in sorted(self._out.values(), key=lambda hand: hand.since):
            late = time.monotonic() - hand.since > SLOW * rate * len(hand.items) + PAUSE
            if late and not hand.doubled and self._wanted(hand.items):
                hand.doubled = True
                self._hand(self._wanted(hand.items), able, hand.tried).doubled = True
                return

    def _wanted(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(item for item in items if item.index in self._tally.left)

    def _again(self, hand: Hand) -> None:
        """Puts what has not been made of a piece back, as the next to be handed out."""
        items = self._wanted(hand.items)
        if items:
            others = {item.index for other in self._out.values() for item in other.items}
            items = tuple(item for item in items if item.index not in others)
            assert self._slots is not None
            again = piece.windows(items, self._slots, self._tally.left)
            self._tried.update({window[0].index: hand.tried for window in again if hand.tried})
            self._left.extendleft(reversed(again))

    def _stop(self) -> None:
        """Waits for what is out, for a while, and leaves the rest for later."""
        end = time.monotonic() + FAREWELL
        while self._out and time.monotonic() < end:
            done = self._crew.next(PAUSE)
            if done is not None:
                self._take(done)
        if self._tally.left:
            raise PausedError

    # -- taking

    def _take(self, done: Done) -> None:
        if done.ticket in self._beginning:
            self._take_beginning(done, self._beginning.pop(done.ticket))
        elif done.ticket in self._out:
            self._take_piece(done, self._out.pop(done.ticket))

    def _take_beginning(self, done: Done, address: str) -> None:
        error = done.error
        if error is None and "error" in done.result:
            error = SdopsError(*done.result["error"])
        if error is None:
            self._begun[address] = [Event(kind, data) for kind, data in done.result["events"]]
            return
        self._exclude(address, error)

    def _take_piece(self, done: Done, hand: Hand) -> None:
        if done.error is not None:
            self._failed(hand, None, done.error)
            return
        result = done.result
        address = next((one for one, name in self._names.items() if name == result["name"]), "")
        events = [Event(kind, data) for kind, data in result["events"]]
        self._idle.append(address)
        made = 0
        for event in events:
            if event.kind == "image":
                made += 1
                self._keep(event, result["files"].get(event.data["name"], b""), result["name"])
            elif event.kind == "item_failed" and event.data["index"] in self._tally.left:
                self._tally.emit(self._as_the_jobs(event, result["name"]))
            elif event.kind == "notice":
                self._notice(event)
        if made:
            self._strikes[address] = 0
            rate = result["seconds"] / made
            self._rates[address] = (self._rates.get(address, rate) + rate) / 2
        if events[-1].kind == "failed":
            told = events[-1].data
            self._failed(hand, address, SdopsError(told["code"], told["message"], told["hint"]))
        else:
            self._again(hand)

    def _keep(self, event: Event, data: bytes, by: str) -> None:
        """Saves a picture and tells of it, unless another one made it before or it was damaged on the way."""
        good = hashlib.sha256(data).hexdigest() == event.data["sha256"]
        if good and event.data["index"] in self._tally.left:
            png.keep(data, self._place.out / event.data["name"], self._place.overwrite)
            self._tally.emit(self._as_the_jobs(event, by))

    def _as_the_jobs(self, event: Event, by: str) -> Event:
        """An event of a piece with the job's own numbers of input and prompt, and who it came from."""
        item = self._items[event.data["index"]]
        return Event(event.kind, dict(event.data, input=item.input, prompt=item.prompt, worker=by))

    def _failed(self, hand: Hand, address: Optional[str], error: SdopsError) -> None:
        """A member, or (without an address) several, could not make a piece: another one is to try it."""
        _LOG.warning("%s failed at a piece: %s", self._names.get(address or "", "the fleet"), error)
        able = self._able(self._sharing.members(self._crew))
        tried = hand.tried | ({address} if address else able)
        if address:
            self._strikes[address] = self._strikes.get(address, 0) + 1
            if self._strikes[address] >= STRIKES and len(able) > 1:
                self._exclude(address, error)
        if able - tried:
            self._again(dataclasses.replace(hand, tried=tried))
            return
        if not self._rates:
            raise error
        # Others could be made; it is about these.
        for item in self._wanted(hand.items):
            self._tally.emit(item_failed(item, error))

    def _exclude(self, address: str, error: SdopsError) -> None:
        self._unfit[address] = error
        name = self._names.get(address, address)
        self._say(f"{name} takes no part in this job: {error.message} {error.hint}".strip())

    # -- telling

    def _say(self, message: str) -> None:
        self._notice(Event("notice", {"code": "fleet", "message": message}))

    def _notice(self, event: Event) -> None:
        """Tells a thing that several members may have noticed, once."""
        if event.data["message"] not in self._noticed:
            self._noticed.add(event.data["message"])
            self._tally.emit(event)

    def _hear(self) -> None:
        """Passes on what members told: of steps, those of the piece that is out the longest."""
        eldest = next(iter(self._out.values()), None)
        for told in self._crew.heard():
            data: dict[str, Any] = dict(told)
            kind = data.pop("kind")
            if (kind == "download" and not self._begun) or (
                kind == "step" and eldest is not None and data.pop("piece") == eldest.items[0].index
            ):
                self._tally.emit(Event(kind, data))


def _of(kind: str, events: list[Event]) -> dict[str, Any]:
    return dict(next(event.data for event in events if event.kind == kind))
