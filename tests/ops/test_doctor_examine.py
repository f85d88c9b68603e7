"""Hosts are examined side by side, and whatever becomes of a connection is a fact."""

import subprocess
import threading
import time
from dataclasses import dataclass

from sdops.doctor import Target, examine, examine_all
from sdops.errors import SdopsError
from sdops.facts.host import HostFacts
from sdops.facts.probe import Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Echo(Probe):
    """A probe that needs no file."""

    words: str = "echo here"

    @property
    def script(self):
        return self.words


PROBES = (
    Echo("system", 5, lambda output, wanted: output.text),
    Echo("kernel", 5, lambda output, wanted: output.text, quick=False),
)


class Shell:
    """A session whose other end is a shell of this machine; ``cut`` ends it after so many bytes."""

    def __init__(self, cut=None, gate=None, greeting=b""):
        self.cut, self.gate, self.greeting, self.closed = cut, gate, greeting, False

    def stream(self, argv, take, *, stdin=b"", timeout):
        if self.gate:
            self.gate.wait(timeout=20)
        ran = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout)
        take(self.greeting)
        take(ran.stdout[: self.cut])
        if self.cut is not None:
            raise SdopsError("host-unknown", "The connection ended.", "Try again.")
        return ran.returncode

    def close(self):
        self.closed = True


def target(session, name="gpu1"):
    def connect():
        if isinstance(session, SdopsError):
            raise session
        return session

    return Target(name, Wanted(), connect, PROBES)


def test_what_was_asked_for_is_answered():
    before = time.time()
    session = Shell(greeting=b"Welcome to gpu1\n")
    facts = examine(target(session))
    assert (facts.host, facts.system, facts.kernel) == ("gpu1", "here", "here")
    assert (facts.reach.error, facts.reach.whole, facts.reach.noise) == ("", True, "Welcome to gpu1")
    assert before <= facts.reach.started <= facts.reach.answered <= time.time()
    assert session.closed


def test_quick_leaves_out_what_takes_long():
    facts = examine(target(Shell()), quick=True)
    assert (facts.system, facts.kernel) == ("here", HostFacts("x").kernel)


def test_a_host_that_cannot_be_reached_is_a_fact():
    facts = examine(target(SdopsError("host-unknown", "No answer.", "Is it on?")))
    assert (facts.reach.error, facts.reach.message, facts.reach.hint) == (
        "host-unknown",
        "No answer.",
        "Is it on?",
    )
    assert facts.system == Unknown("the host was not reached")


def test_what_arrived_before_the_connection_ended_is_kept():
    session = Shell(cut=50)
    facts = examine(target(session))
    assert (facts.system, facts.kernel) == ("here", Unknown("the connection ended before this was read"))
    assert (facts.reach.error, facts.reach.whole) == ("host-unknown", False)
    assert session.closed


def test_an_account_that_runs_no_commands_is_told():
    facts = examine(target(Shell(cut=None, greeting=b"This account is not available.\n")))
    assert facts.reach.error == ""

    class Refusing(Shell):
        def stream(self, argv, take, *, stdin=b"", timeout):
            take(b"This account is not available.\n")
            return 1

    facts = examine(target(Refusing()))
    assert (facts.reach.error, facts.reach.noise) == ("shell-unusable", "This account is not available.")


def test_hosts_are_asked_at_the_same_time_and_told_as_they_come():
    """The first host answers only when the second has: one after the other they would wait for ever."""
    gate = threading.Event()
    told = []

    def tell(facts):
        told.append(facts.host)
        gate.set()

    found = examine_all([target(Shell(gate=gate), "slow"), target(Shell(), "quick")], tell=tell)
    assert [facts.host for facts in found] == ["slow", "quick"]
    assert told == ["quick", "slow"]
    assert found[0].reach.whole
