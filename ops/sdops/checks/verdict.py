"""What the results of all hosts come to: what is shown, and the exit code. No I/O here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sdops.checks.finding import Check, Result, Status
from sdops.checks.judge import judge
from sdops.checks.registry import CHECKS
from sdops.checks.sure import is_local
from sdops.errors import Exit, SdopsError
from sdops.facts.host import HostFacts
from sdops.facts.stored import PASTED

#: The topic whose errors mean that a host could not be examined.
REACH = "reach"

#: The topics that an output of nvidia-smi is judged by.
OF_PASTED = ("driver", "gpu")

#: The topics about what the playbook makes on a host.
OF_HOSTS = ("conda", "env", "runtime")


@dataclass(frozen=True)
class Judged:
    """A host's facts and what was judged by them; results: those that are to be shown."""

    facts: HostFacts
    results: tuple[Result, ...]

    @property
    def examined(self) -> bool:
        """Whether the host could be examined."""
        return not any(one.status is Status.ERROR and _topic(one.check) == REACH for one in self.results)

    def having(self, *statuses: Status) -> tuple[Result, ...]:
        """The results with one of these statuses."""
        return tuple(one for one in self.results if one.status in statuses)


def judge_all(
    hosts: Sequence[HostFacts], ignore: Collection[str], only: Collection[str]
) -> tuple[Judged, ...]:
    """Every host by every check. only: the ids whose results are kept; empty for all.

    Those left out are judged all the same, since others may need them; that a
    host was not reached is always kept.
    """
    return tuple(
        Judged(
            facts,
            tuple(one for one in judge(facts, ignore=ignore) if _shown(one, facts, only)),
        )
        for facts in hosts
    )


def _shown(result: Result, facts: HostFacts, only: Collection[str]) -> bool:
    topic = _topic(result.check)
    if topic == REACH and result.finding:
        return True
    if facts.host == PASTED and facts.reach.error:
        return False
    # A pasted output tells of nothing else, and was reached by nobody.
    told = facts.host != PASTED or (topic in OF_PASTED and result.status is not Status.SKIPPED)
    # On this machine there is nothing that a playbook has made.
    told = told and not (is_local(facts) and topic in OF_HOSTS)
    return told and (not only or result.check in only)


def exit_code(hosts: Sequence[Judged], strict: bool) -> Exit:
    """1 for an error on any host (strict: a warning, too), else 3 if one could not be examined, else 0."""
    grave = (Status.ERROR, Status.WARNING) if strict else (Status.ERROR,)
    if any(
        _topic(one.check) != REACH or one.status is Status.WARNING
        for host in hosts
        for one in host.having(*grave)
    ):
        return Exit.FAILED
    if not all(host.examined for host in hosts):
        return Exit.UNEXAMINED
    return Exit.OK


def select(names: Collection[str]) -> frozenset[str]:
    """The ids that words name: ids themselves, and topics for all of theirs.

    Raises SdopsError("check-unknown").
    """
    known = {check.id for check in CHECKS}
    topics = {check.topic for check in CHECKS}
    for name in names:
        if name not in known | topics:
            raise SdopsError(
                "check-unknown",
                f"There is no check and no topic {name!r}.",
                "sdops doctor --list names them all.",
            )
    return frozenset(check.id for check in CHECKS if check.id in names or check.topic in names)


def by_id(name: str) -> Check:
    """The check of that id."""
    return next(check for check in CHECKS if check.id == name)


def _topic(name: str) -> str:
    return by_id(name).topic
