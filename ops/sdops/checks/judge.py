"""Judges a host's facts by all checks. No I/O here."""

from collections.abc import Collection, Iterable

from sdops.checks.finding import Check, Finding, Result, Severity, Status
from sdops.checks.registry import CHECKS
from sdops.facts.host import NOT_ASKED, HostFacts
from sdops.facts.unknown import Unknown


def judge(
    facts: HostFacts, checks: Iterable[Check] = CHECKS, ignore: Collection[str] = ()
) -> tuple[Result, ...]:
    """One result for each check, in their order.

    A check that needs one which did not pass is skipped because of it: one
    cause, one error. An error of a check in ``ignore`` counts as a warning, and
    still stands in the way of those that need it. A check that would have to
    judge by what nobody asked for has no result.
    """
    done: dict[str, Result] = {}
    topics: dict[str, str] = {}
    for check in checks:
        topics[check.id] = check.topic
        cause = _hindrance(check, done, topics)
        result = Result(check.id, Status.SKIPPED, because=cause) if cause else _ask(check, facts)
        if result.status is Status.UNKNOWN and result.because == NOT_ASKED.reason:
            continue
        if result.status is Status.ERROR and check.id in ignore:
            result = Result(check.id, Status.WARNING, result.finding, ignored=True)
        done[check.id] = result
    return tuple(done.values())


def _hindrance(check: Check, done: dict[str, Result], topics: dict[str, str]) -> str:
    """The id of the error that stands behind a need which did not pass; "" for none."""
    for need in check.needs:
        for name, result in done.items():
            if need not in (name, topics[name]):
                continue
            if result.status is Status.ERROR or result.ignored:
                return name
            if result.status is Status.SKIPPED:
                return result.because
    return ""


def _ask(check: Check, facts: HostFacts) -> Result:
    try:
        found = check.judge(facts)
    # A border: a check that fails is a fault of ours, and no reason to keep the other results back.
    except Exception as error:
        return Result(check.id, Status.UNKNOWN, because=f"the check failed: {type(error).__name__}: {error}")
    if found is None:
        return Result(check.id, Status.OK)
    if isinstance(found, Unknown):
        return Result(check.id, Status.UNKNOWN, because=found.reason)
    assert isinstance(found, Finding)
    status = Status.ERROR if check.severity is Severity.ERROR else Status.WARNING
    return Result(check.id, status, found)
