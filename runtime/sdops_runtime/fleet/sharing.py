"""Shares a job out over a fleet: hands pieces to its members and takes their pictures, until none is left.

Who does what, who is there and what has to be done again is the engine's business. What is decided here is
how large the pieces are: as many batches as take some seconds on a member as fast as it was so far, and at
the end the smallest there are. What takes one much longer than the others is given to another one, too.
"""

import dataclasses
import hashlib
import itertools
import logging
import random
import statistics
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from sdops_runtime import command, png
from sdops_runtime.chunks import Slots
from sdops_runtime.course import PausedError, Place, Tally, item_failed
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import piece
from sdops_runtime.fleet.engine import ENDED, Crew, Done, LostError, There, deadly
from sdops_runtime.fleet.stock import Batch, Past, Stock
from sdops_runtime.inputs import Inputs
from sdops_runtime.outputs import name_of
from sdops_runtime.protocol import Event, JobRequest

#: Seconds that a piece should take: long against what handing it over takes, short for who watches.
TARGET = 5.0
#: Seconds between two looks at everything.
PAUSE = 0.5
#: Seconds for the others to load the model after the first one has, before the size of the batch is chosen;
#: and for somebody else to come where those that are there cannot, before the job fails.
GRACE = 5.0
#: Seconds after which somebody is told that there is nobody to make the pictures.
SILENCE = 10.0
#: Seconds for pieces in hand when the job has to stop for now.
FAREWELL = 60.0
#: A piece that takes this much longer than it should is given to another member, too.
SLOW = 2.0
#: So often in a row a member may fail before it gets no more of this job.
STRIKES = 3
#: So often a batch is tried by the members that are there, and by so many different ones at most.
TRIES, MOST = 2, 8
#: Among so many members the engine chooses at most.
CHOICE = 16

_LOG = logging.getLogger(__name__)


@dataclass
class Hand:
    """A piece that is out. members: among whom the engine chooses; alone: whether it is one batch."""

    items: Batch
    members: frozenset[str]
    alone: bool
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
            except (LostError, SdopsError) as error:
                if isinstance(error, SdopsError) and not share.begun:
                    raise
                if self.pause():
                    raise PausedError from None
                away = "The head of the fleet is not there."
                why = f"{error.message} {error.hint}" if isinstance(error, SdopsError) else away
                share.wait(f"{why} The job waits for it.")
                continue
            try:
                share.make(crew)
            except LostError as error:
                why = f" ({error})" if str(error) else ""
                _LOG.warning("the fleet's head was lost%s; beginning anew with what is left", why)
            finally:
                crew.close()

    def members(self, crew: Crew) -> dict[str, There]:
        """The members that are there and may be used, by name."""
        return {name: there for name, there in crew.members().items() if self._mine(name)}

    def pause(self) -> bool:
        """Looks, and says whether to stop for now."""
        self._look()
        return self._paused()

    @property
    def topic(self) -> str:
        """What members tell under."""
        return self._topic


class _Share:
    """One job's share of one fleet, until it is done. Members are known by name."""

    _crew: Crew

    def __init__(
        self, sharing: Sharing, request: JobRequest, inputs: Inputs, place: Place, tally: Tally
    ) -> None:
        self._sharing, self._request = sharing, request
        self._inputs, self._place, self._tally = inputs, place, tally
        self._items = {item.index: item for item in request.items()}
        self._sizes = inputs.sizes()
        self._digest = command.digest()
        self._slots: Optional[Slots] = None
        self._stock = Stock()
        #: Whether there is a picture: then it is not the job that is at fault.
        self._made = bool(tally.summary()["images"])
        #: Batches that are given up as soon as there is one.
        self._parked: list[tuple[Batch, SdopsError]] = []
        self._noticed: set[str] = set()
        self._strikes: dict[str, int] = {}
        #: Seconds for a picture, of each member.
        self._rates: dict[str, float] = {}
        #: How often a member has ended while it began.
        self._ends: dict[str, int] = {}
        self._forget()

    def _forget(self) -> None:
        """What is so with one crew alone."""
        self._looked = -PAUSE
        self._there: Mapping[str, There] = {}
        #: Which process each member was that is known in one of the next two.
        self._known: dict[str, str] = {}
        #: What those that have begun have told.
        self._begun: dict[str, list[Event]] = {}
        #: Why others could not, or may no more.
        self._unfit: dict[str, SdopsError] = {}
        #: Those that have begun and are there and fit.
        self._able: frozenset[str] = frozenset()
        #: Tickets of members that begin, with their names.
        self._beginning: dict[int, str] = {}
        self._out: dict[int, Hand] = {}
        #: Members that have nothing to do, those first that have had nothing for the longest.
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._alone_since: Optional[float] = None

    @property
    def begun(self) -> bool:
        """Whether somebody could make the job's pictures: from then on it waits for what is amiss."""
        return self._slots is not None or self._made

    def make(self, crew: Crew) -> None:
        """Makes everything that is left."""
        self._crew = crew
        self._forget()
        self._begin()
        while self._tally.left:
            if self._sharing.pause():
                self._stop()
            self._look()
            self._hand_out()
            self._hear()
            done = self._crew.next(PAUSE)
            if done is not None:
                self._take(done)

    def wait(self, why: str) -> None:
        """Says what the job waits for, and waits a moment."""
        self._say(why)
        time.sleep(PAUSE)

    # -- who is there

    def _look(self) -> None:
        """Looks who is there, has new members begin, and takes back what has nobody any more."""
        now = time.monotonic()
        if now - self._looked < PAUSE:
            return
        self._looked = now
        self._there = self._sharing.members(self._crew)
        for name, process in list(self._known.items()):
            there = self._there.get(name)
            if there is None or there.process != process:
                # It has gone, or is another process by now: what was so with it is so no more.
                for of in (self._known, self._begun, self._unfit, self._strikes):
                    of.pop(name, None)
        self._recruit()
        self._reckon()
        for name in self._able:
            if self._there[name].busy:
                self._idle.pop(name, None)
            else:
                self._idle.setdefault(name)
        for ticket, hand in list(self._out.items()):
            self._miss(ticket, hand)
        self._say_if_alone(now)

    def _reckon(self) -> None:
        self._able = frozenset(
            name for name in self._begun if name in self._there and name not in self._unfit
        )

    def _recruit(self) -> None:
        for ticket, name in list(self._beginning.items()):
            ends = self._ends.get(name, 0) + self._crew.toll(ticket)
            if name not in self._there or ends >= ENDED:
                self._crew.withdraw(ticket)  # should it come back, it begins anew
                del self._beginning[ticket]
                self._ends[name] = ends
        beginning = set(self._beginning.values())
        text = ""
        for name, there in self._there.items():
            known, self._known[name] = name in self._known, there.process
            if known or name in beginning:
                continue
            if self._ends.get(name, 0) >= ENDED:
                self._exclude(name, deadly(f"It ended {ENDED} times while it loaded the model."))
                continue
            text = text or self._request.to_json()  # once for a thousand of them
            words = (self._sharing.topic, self._digest, text, self._sizes)
            self._beginning[self._crew.hand("begin", words, [name])] = name

    def _say_if_alone(self, now: float) -> None:
        """Says so if there is nobody; fails if nobody can, unless somebody could before."""
        if self._beginning or self._able:
            self._alone_since = None
            return
        if self._alone_since is None:
            self._alone_since = now
        if self._unfit and not self.begun:
            if now - self._alone_since > GRACE:
                raise next(iter(self._unfit.values()))
        elif now - self._alone_since > SILENCE:
            some = "can go on with this job" if self._unfit else "is there"
            self._say(f"None of the fleet's workers {some}. The job waits for one.")

    def _exclude(self, name: str, error: SdopsError) -> None:
        self._unfit[name] = error
        self._reckon()
        self._say(f"{name} takes no part in this job: {error.message} {error.hint}".strip())

    # -- beginning

    def _begin(self) -> None:
        """Has the members load the model, and chooses the size of the batch: that of the smallest."""
        first: Optional[float] = None
        began = time.monotonic()
        while True:
            if self._sharing.pause():
                raise PausedError
            self._look()
            self._hear()
            done = self._crew.next(PAUSE)
            if done is not None:
                self._take(done)
            if not self._begun:
                first = None
                continue
            first = first or time.monotonic()
            # One that loads as quickly as the first did is waited for.
            if not self._beginning or time.monotonic() - first > max(GRACE, first - began):
                break
        if self._slots is None:
            self._slots = self._announce()
            self._request = dataclasses.replace(
                self._request, batch=self._slots.batch, first=self._slots.first
            )
        parked = {item.index for batch, _ in self._parked for item in batch}
        self._stock.fill(self._request.items(), self._slots, self._tally.left - parked)

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

    # -- handing out

    def _hand_out(self) -> None:
        self._settle()
        while self._stock and len(self._out) < len(self._able):
            if len(self._parked) >= ENDED:
                return  # something is wrong with all of the job, most likely: what is out will show
            self._drop_bad()
            if not self._stock:
                break
            choice, likely = self._choose(self._fit(self._stock.first()[1]))
            self._hand(self._next(likely), choice)
        if not self._stock and len(self._out) < len(self._able):
            self._double()

    def _settle(self) -> None:
        """Gives up what was parked, once it is known whether the job is at fault."""
        if self._made:
            for batch, error in self._parked:
                for item in self._wanted(batch):
                    self._tally.emit(item_failed(item, error))
            self._parked.clear()
        elif self._parked and not self._out and (not self._stock or len(self._parked) >= ENDED):
            raise self._parked[0][1]

    def _fit(self, past: Optional[Past]) -> frozenset[str]:
        """Who should make a batch: who has not failed at it, best on a kind of GPU that nobody did on."""
        if past is None:
            return self._able
        fresh = self._able - past.tried
        kinds = {self._device(name) for name in past.tried}
        others = frozenset(name for name in fresh if self._device(name) not in kinds)
        return ((others or fresh) - past.avoid) or fresh or self._able

    def _device(self, name: str) -> str:
        return str(_of("loaded", self._begun[name])["device"]) if name in self._begun else ""

    def _choose(self, among: frozenset[str]) -> tuple[frozenset[str], str]:
        """Among whom the engine chooses, and who that will most likely be: the one that is idle the longest.

        In a very large fleet those are some of the idle ones: it takes the engine a millisecond to be told of
        a thousand names, for each piece.
        """
        idle = [name for name in itertools.islice(self._idle, CHOICE) if name in among]
        if len(among) > CHOICE:
            among = frozenset(idle or random.sample(sorted(among), CHOICE))
        if idle:
            del self._idle[idle[0]]
        return among, idle[0] if idle else ""

    def _drop_bad(self) -> None:
        """Tells of the pictures of the next batch whose input is none; nobody has to be asked for that."""
        while self._stock:
            items, _ = self._stock.first()
            failures = {item.input: self._inputs.failure(item.input) for item in items}
            self._inputs.tell(self._tally.emit)
            good = tuple(item for item in items if failures[item.input] is None)
            for item in items:
                failure = failures[item.input]
                if failure is not None:
                    self._tally.emit(item_failed(item, failure))
            if len(good) < len(items):
                self._stock.take()
            if good:
                if len(good) < len(items):
                    self._stock.back([good])
                return

    def _next(self, likely: str) -> Batch:
        """The next piece: batches for ``TARGET`` seconds, at most half of an even share of what is left.

        likely: who will make it, as far as that can be said. What somebody failed at is handed out alone.
        """
        assert self._slots is not None
        _, past = self._stock.first()
        items = self._stock.take()
        if past is not None or not self._rates:
            return items
        rate = self._rates.get(likely) or statistics.median(self._rates.values())
        seconds = rate * self._slots.batch
        fair = (len(self._stock) + 1) // (2 * max(1, len(self._able)))
        for _ in range(min(int(TARGET / max(seconds, 1e-3)), fair) - 1):
            self._drop_bad()
            if not self._stock or self._stock.first()[1] is not None:
                break
            items += self._stock.take()
        return items

    def _hand(self, items: Batch, among: frozenset[str]) -> Hand:
        assert self._slots is not None
        cut = piece.cut(self._request, items, self._slots)
        data = [self._inputs.data(number) for number in cut.sources]
        words = (self._sharing.topic, items[0].index, cut.text, data)
        hand = Hand(items, among, len(self._stock.batches(items, self._tally.left)) == 1)
        self._out[self._crew.hand("make", words, among)] = hand
        return hand

    def _double(self) -> None:
        """Gives the piece that is out the longest to one who has nothing to do, if it takes too long."""
        if not self._rates:
            return
        rate = statistics.median(self._rates.values())
        for hand in sorted(self._out.values(), key=lambda hand: hand.since):
            late = time.monotonic() - hand.since > SLOW * rate * len(hand.items) + PAUSE
            if late and not hand.doubled and self._wanted(hand.items):
                hand.doubled = True
                self._hand(self._wanted(hand.items), self._choose(self._able)[0]).doubled = True
                return

    def _wanted(self, items: Batch) -> Batch:
        return tuple(item for item in items if item.index in self._tally.left)

    # -- what comes back unmade

    def _miss(self, ticket: int, hand: Hand) -> None:
        """Takes a piece back that has ended too many members, or has nobody any more who might make it."""
        ended = self._crew.toll(ticket)
        gone = hand.members.isdisjoint(self._there)
        past = self._stock.past(hand.items) if hand.alone and ended else None
        if not gone and (ended < 2 if past is None else past.ended + ended < ENDED):
            return  # who ended may have done so by chance, and the engine gives it to another one
        self._crew.withdraw(ticket)
        del self._out[ticket]
        self._ended(hand, ended, deadly("Pictures of the job ended workers of the fleet that made them."))

    def _ended(self, hand: Hand, ended: int, error: SdopsError) -> None:
        """Some members have ended over a piece, or nobody knows who failed at it."""
        back = []
        for batch in self._unmade(hand):
            if ended:
                past = self._stock.past(batch)
                # Of several batches it is not known which one it was.
                past.ended += ended if hand.alone else 1
                if past.ended >= ENDED:
                    self._give_up(batch, error)
                    continue
            back.append(batch)
        self._stock.back(back)

    def _failed(self, hand: Hand, name: str, error: SdopsError) -> None:
        """A member could not make a piece: another one is to try it."""
        _LOG.warning("%s failed at a piece: %s", name, error)
        self._strikes[name] = self._strikes.get(name, 0) + 1
        if self._strikes[name] >= STRIKES and len(self._able) > 1 and name in self._able:
            self._exclude(name, error)
        back = []
        for batch in self._unmade(hand):
            past = self._stock.past(batch)
            if hand.alone:
                past.tried |= {name}
                past.failures += 1
            else:
                past.avoid |= {name}
            if hand.alone and past.failures >= TRIES and not self._others(past):
                for one in past.tried:  # it was not theirs
                    self._strikes[one] = max(0, self._strikes.get(one, 0) - 1)
                self._give_up(batch, error)
            else:
                back.append(batch)
        self._stock.back(back)

    def _others(self, past: Past) -> bool:
        """Whether there are members that a batch should be tried by yet."""
        return len(past.tried) < MOST and bool(self._able - past.tried)

    def _unmade(self, hand: Hand) -> list[Batch]:
        """What of a piece is left and not out with somebody else, too."""
        items = self._wanted(hand.items)
        if items and hand.doubled:
            others = {item.index for other in self._out.values() if other.doubled for item in other.items}
            items = tuple(item for item in items if item.index not in others)
        return self._stock.batches(items, self._tally.left)

    def _give_up(self, batch: Batch, error: SdopsError) -> None:
        # Should none ever be made, it is about the job, and ends it (``_settle``).
        self._parked.append((batch, error))

    def _stop(self) -> None:
        """Waits for what is out, for a while, and leaves the rest for later."""
        end = time.monotonic() + FAREWELL
        while self._out and time.monotonic() < end:
            self._look()
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
            hand = self._out.pop(done.ticket)
            if done.error is None:
                self._take_piece(done.result, hand)
            else:
                _LOG.warning("a piece was lost: %s", done.error)
                self._ended(hand, ENDED if done.error.code == "fleet-piece" else 1, done.error)

    def _take_beginning(self, done: Done, name: str) -> None:
        error = done.error
        if error is None and "error" in done.result:
            error = SdopsError(*done.result["error"])
        if error is not None:
            self._ends[name] = ENDED if error.code == "fleet-piece" else 0
            self._exclude(name, error)
            return
        self._begun[name] = [Event(kind, data) for kind, data in done.result["events"]]
        self._ends.pop(name, None)
        self._reckon()

    def _take_piece(self, result: Mapping[str, Any], hand: Hand) -> None:
        name = str(result["name"])
        events = [Event(kind, data) for kind, data in result["events"]]
        if name in self._able:
            self._idle.setdefault(name)
        made = 0
        for event in events:
            if event.kind == "notice":
                self._notice(event)
            elif event.data.get("index") not in self._tally.left:
                continue  # another one was quicker
            elif event.kind == "image":
                made += self._keep(event, result["files"].get(event.data["name"], b""), name)
            elif event.kind == "item_failed" and not self._elsewhere(event, name):
                self._tally.emit(self._as_the_jobs(event, name))
        if made:
            self._made = True
            self._strikes[name] = 0
            rate = result["seconds"] / made
            self._rates[name] = (self._rates.get(name, rate) + rate) / 2
        if events[-1].kind == "failed":
            told = events[-1].data
            self._failed(hand, name, SdopsError(told["code"], told["message"], told["hint"]))
        else:
            self._stock.back(self._unmade(hand))

    def _elsewhere(self, event: Event, name: str) -> bool:
        """Whether a picture that failed at one may come out at another, which may have more memory."""
        if event.data["code"] != "out-of-memory":
            return False
        past = self._stock.past((self._items[event.data["index"]],))
        past.tried |= {name}
        return self._others(past)

    def _keep(self, event: Event, data: bytes, by: str) -> bool:
        """Saves a picture and tells of it, unless it was damaged on the way; whether it did."""
        if hashlib.sha256(data).hexdigest() != event.data["sha256"]:
            return False
        ours = self._as_the_jobs(event, by)
        png.keep(data, self._place.out / ours.data["name"], self._place.overwrite)
        self._tally.emit(ours)
        return True

    def _as_the_jobs(self, event: Event, by: str) -> Event:
        """An event of a piece with the job's own names and numbers, and who it came from."""
        item = self._items[event.data["index"]]
        own: dict[str, Any] = {"input": item.input, "prompt": item.prompt, "worker": by}
        if "name" in event.data:
            own["name"] = name_of(self._request, item)  # no path that a member thought of
        return Event(event.kind, {**event.data, **own})

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
