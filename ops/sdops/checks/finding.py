"""What a check is, what it finds, and what comes of judging it. No I/O here."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sdops.facts.host import HostFacts
from sdops.facts.unknown import Unknown


class Severity(StrEnum):
    """error: work on the host fails or goes wrong. warning: it will, or is slower or riskier than need be."""

    ERROR = "error"
    WARNING = "warning"


class Status(StrEnum):
    """What came of a check on a host."""

    OK = "ok"
    ERROR = "error"
    WARNING = "warning"
    #: A check that it needs did not pass.
    SKIPPED = "skipped"
    #: The facts do not say.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One cause.

    summary: what is so. effect: what happens because of it. evidence: what was
    read that says so, as it was read. remedy: a sentence. commands: what to
    type, each a whole command line, in this order.
    """

    summary: str
    effect: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong.

    id: its name on the command line and in the docs. title: what is so when
    all is well, in a few words. severity: of what it finds. needs: ids of
    checks, or topics, without whose passing it says nothing. judge: what is
    wrong; None for nothing; Unknown where the facts do not say. cause,
    remedy: prose for the page about it.
    """

    id: str
    topic: str
    title: str
    severity: Severity
    judge: Callable[[HostFacts], Finding | Unknown | None]
    cause: str
    remedy: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of one check. because: for skipped ones the id of the check that stands in the way, for
    unknown ones the reason. ignored: whether a person asked for an error to count as a warning.
    """

    check: str
    status: Status
    finding: Finding | None = None
    because: str = ""
    ignored: bool = False
