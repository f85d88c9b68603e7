"""Judging by what may be unknown: a check that meets an Unknown says so, and nothing else. No I/O here."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from sdops.checks.finding import Finding
from sdops.facts.host import HostFacts
from sdops.facts.unknown import Unknown

Known = TypeVar("Known")
Judge = Callable[[HostFacts], Finding | Unknown | None]


class _UnsaidError(Exception):
    """Something that is needed is unknown."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.reason)
        self.unknown = unknown


def sure(value: Known | Unknown) -> Known:
    """The value. An Unknown ends the judging."""
    if isinstance(value, Unknown):
        raise _UnsaidError(value)
    return value


def unless_unknown(judge: Judge) -> Judge:
    """Makes the Unknown that ``sure`` met the answer of a judge."""

    @wraps(judge)
    def judged(facts: HostFacts) -> Finding | Unknown | None:
        try:
            return judge(facts)
        except _UnsaidError as error:
            return error.unknown

    return judged


def is_local(facts: HostFacts) -> bool:
    """Whether this is the machine that sdops is typed on, which no playbook has provisioned."""
    return facts.host == "local"
