"""Examines hosts, all side by side: one connection each, one script, one set of facts. Changes nothing.

Whatever carries the connections comes from outside (see transport), so that
the same code asks a host by SSH, this machine, or a test's own session.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sdops.errors import SdopsError
from sdops.facts import script
from sdops.facts.controller import Controller
from sdops.facts.host import NOT_ASKED, HostFacts
from sdops.facts.probe import Probe
from sdops.facts.reach import Reach
from sdops.facts.registry import PROBES
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted
from sdops.transport import Session

#: Seconds for all answers of a host: torch alone may take a minute to be imported from a cold disk.
PATIENCE = 150.0
QUICK_PATIENCE = 45.0

#: What a host may have said before the first answer that is worth keeping, in bytes.
NOISE = 2000


@dataclass(frozen=True)
class Target:
    """A host to examine. open: makes the connection; raises SdopsError. probes: what is asked there."""

    host: str
    wanted: Wanted
    open: Callable[[], Session]
    probes: tuple[Probe, ...] = PROBES
    controller: Controller | Unknown = NOT_ASKED


def chosen(probes: Sequence[Probe], quick: bool) -> tuple[Probe, ...]:
    """All probes, or those that answer at once."""
    return tuple(probe for probe in probes if probe.quick or not quick)


def examine_all(
    targets: Sequence[Target], quick: bool = False, tell: Callable[[HostFacts], None] = lambda facts: None
) -> tuple[HostFacts, ...]:
    """The facts of all hosts, in their order, asked at the same time; ``tell`` gets each as it comes.

    A KeyboardInterrupt ends the waiting at once; the connections end with the program.
    """
    found: dict[int, HostFacts] = {}
    news = threading.Condition()

    def work(number: int, target: Target) -> None:
        facts: HostFacts | None = None
        try:
            facts = examine(target, quick)
        finally:
            with news:
                found[number] = facts or _fallen(target)
                news.notify()

    for number, target in enumerate(targets):
        threading.Thread(target=work, args=(number, target), daemon=True).start()
    told: set[int] = set()
    while len(told) < len(targets):
        with news:
            news.wait_for(lambda: len(found) > len(told))
            new = [number for number in found if number not in told]
        for number in new:
            told.add(number)
            tell(found[number])
    return tuple(found[number] for number in range(len(targets)))


def _fallen(target: Target) -> HostFacts:
    """For a host whose examination broke off by a fault of ours, which Python has told on stderr."""
    reach = Reach(
        "internal-error", "The examination itself failed.", "See what is printed above.", whole=False
    )
    return HostFacts(target.host, target.wanted, reach, target.controller)


@dataclass
class _Listener:
    """Takes a host's bytes as they come, and remembers when the first answer did."""

    word: str
    data: bytearray = field(default_factory=bytearray)
    answered: float = 0.0

    def take(self, piece: bytes) -> None:
        self.data += piece
        if not self.answered and self.word.encode() in self.data:
            self.answered = time.time()


def examine(target: Target, quick: bool = False) -> HostFacts:
    """The facts of one host. What went wrong with the connection is one of them: ``reach``."""
    probes = chosen(target.probes, quick)
    word = script.nonce()
    text = script.compose(probes, target.wanted, word).encode()
    listener = _Listener(word)
    reach = Reach()
    status = 0
    started = 0.0
    try:
        session = target.open()
        try:
            started = time.time()
            status = session.stream(
                script.COMMAND, listener.take, stdin=text, timeout=QUICK_PATIENCE if quick else PATIENCE
            )
        finally:
            with suppress(SdopsError):
                session.close()
    except SdopsError as error:
        reach = Reach(error.code, error.message, error.hint, whole=False)
    outputs, whole = script.take_apart(bytes(listener.data), word)
    reach = replace(
        reach,
        whole=whole,
        noise=_noise(bytes(listener.data), word),
        started=started,
        answered=listener.answered,
    )
    if not reach.error and not outputs:
        reach = replace(
            reach,
            error="shell-unusable",
            message=f"{target.host} answers to no shell commands (exit status {status}).",
        )
    facts = HostFacts(target.host, target.wanted, reach, target.controller)
    return replace(facts, **_parts(probes, outputs, target.wanted, reach))


def _parts(probes: Iterable[Probe], outputs: dict[str, Any], wanted: Wanted, reach: Reach) -> dict[str, Any]:
    if not outputs:
        return {probe.name: Unknown("the host was not reached") for probe in probes}
    return {probe.name: probe.read(outputs.get(probe.name), wanted) for probe in probes}


def _noise(data: bytes, word: str) -> str:
    """What came before the first answer."""
    return data.partition(word.encode())[0][:NOISE].decode("utf-8", "replace").strip()
