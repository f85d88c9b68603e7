"""Hosts that jobs run on: which are meant, and connections to their desks."""

import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sdops.desk import Conversation
from sdops.desk_words import nonsense
from sdops.errors import SdopsError
from sdops.facts.wanted import Wanted
from sdops.inventory import Host
from sdops.transport import Session, hint, open_session
from sdops.transport_settings import Way, find_way

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A host, with the account that makes the pictures. inventory: where it is named; absolute paths."""

    host: Host
    wanted: Wanted
    inventory: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.host.name

    @contextmanager
    def conversation(self) -> Iterator[Conversation]:
        """A conversation with its desk, over a connection of its own."""
        session = self._session()
        conversation = Conversation(session, self.name, self.wanted)
        try:
            yield conversation
        finally:
            conversation.close()
            session.close()

    def way(self) -> Way:
        """How ssh gets there."""
        host = self.host
        return find_way(host.address, user=host.user, port=host.port, key=host.key, args=host.ssh_args)

    def test(self) -> None:
        """Logs in, to have said in our words what ssh would say in its own."""
        self._session().close()

    def _session(self) -> Session:
        try:
            return open_session(self.host)
        except SdopsError as error:
            if error.code != "login-refused" or self.host.user == self.wanted.login:
                raise
            # Most often the host is fresh. Whoever may log in as somebody else can have it mended.
            raise SdopsError(
                error.code,
                error.message,
                hint(
                    f"The playbook makes the account {self.host.user}, which makes the pictures, and lets in "
                    f"whoever may log in as {self.wanted.login}.",
                    shlex.join(self.wanted.playbook),
                ),
            ) from error


def places(words: Sequence[str], inventory: Sequence[Path | str]) -> tuple[Place, ...]:
    """The hosts that names, groups and patterns mean, all of the inventory for none, but for this machine."""
    from sdops import inventory as source
    from sdops.inventory_source import is_list
    from sdops.inventory_wanted import wanted_of

    found = source.read(inventory)
    hosts = [host for host in found.select(words) if host is not source.THIS_MACHINE]
    named = tuple(one if is_list(one) else str(Path(one).expanduser().absolute()) for one in found.sources)
    made = []
    for host in hosts:
        wanted = wanted_of(host, found)
        made.append(Place(host if host.local else replace(host, user=wanted.user), wanted, named))
    return tuple(made)


def only(word: str, inventory: Sequence[Path | str]) -> Place:
    """The one host that a name means; never this machine. Raises SdopsError("usage") for several."""
    found = [one for one in places([word], inventory) if not one.host.local]
    if len(found) != 1:
        named = ", ".join(one.name for one in found)
        raise SdopsError(
            "usage",
            f"{word} is {'several hosts' if found else 'this machine'}, and one host is needed.",
            f"Name one of {named}." if found else "Name a host of the inventory.",
        )
    return found[0]


def each(found: Sequence[Place], call: Callable[[Place], T]) -> list[T | SdopsError]:
    """Calls something for all hosts at the same time; in their order, what came of it."""
    results: list[T | SdopsError | None] = [None] * len(found)
    done = [threading.Event() for _ in found]

    def work(number: int) -> None:
        try:
            results[number] = call(found[number])
        except SdopsError as error:
            results[number] = error
        finally:
            done[number].set()

    for number in range(len(found)):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    for one in done:
        # In pieces, so that Ctrl-C is heard.
        while not one.wait(0.5):
            pass
    return [_or_fault(result, one) for result, one in zip(results, found, strict=True)]


def choose(found: Sequence[Place], skipped: Callable[[SdopsError], None]) -> Place:
    """The head of a fleet, if one is among several hosts; else the one with the fewest jobs that run or wait.

    skipped: told of each that cannot be asked. Raises the first one's SdopsError if none can, and
    SdopsError("fleet-head-away") where others of a fleet can and its head, which has its jobs, cannot.
    """
    if len(found) == 1:
        return found[0]

    def ask(place: Place) -> tuple[int, Mapping[str, Any]]:
        with place.conversation() as conversation:
            conversation.demand_same_runtime()
            told = conversation.hello().data
            waiting, fleet = told.get("waiting"), told.get("fleet")
            if not isinstance(waiting, int):
                raise nonsense("no word of how busy it is")
            return waiting, fleet if isinstance(fleet, Mapping) else {}

    answers = each(found, ask)
    errors = [one for one in answers if isinstance(one, SdopsError)]
    if len(errors) == len(found):
        raise errors[0]
    for error in errors:  # of a fleet's own, too: who is away from it is worth knowing
        skipped(error)
    # Of a fleet without its head nobody makes pictures: hosts that work alone come first.
    not_head, of_fleet, _, number = min(
        (not fleet.get("head"), bool(fleet), waiting, number)
        for number, (waiting, fleet) in (
            (number, one) for number, one in enumerate(answers) if not isinstance(one, SdopsError)
        )
    )
    if not_head and of_fleet and errors:
        name = found[number].name
        leave = shlex.join([*found[number].wanted.playbook, "--tags", "fleet"])
        raise SdopsError(
            "fleet-head-away",
            f"{name} belongs to a fleet whose head cannot be asked: {errors[0].message}",
            f"{errors[0].hint} Until then {name} makes pictures once it is out of the fleet: fleet_group= on "
            f"its line of the inventory, and {leave}".strip(),
        )
    return found[number]


def _or_fault(result: T | SdopsError | None, place: Place) -> T | SdopsError:
    if result is None:
        return SdopsError("internal-error", f"Something unexpected happened with {place.name}.")
    return result
