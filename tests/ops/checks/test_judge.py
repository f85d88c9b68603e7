"""One cause, one error: what needs a check that did not pass is skipped because of it."""

from sdops.checks.finding import Check, Finding, Result, Severity, Status
from sdops.checks.judge import judge
from sdops.facts.host import NOT_ASKED, HostFacts
from sdops.facts.unknown import Unknown

FACTS = HostFacts("gpu1")
WRONG = Finding("It is so.", "It fails.", ("line",), "Mend it.")


def check(name, found=None, needs=(), severity=Severity.ERROR, topic="topic"):
    return Check(name, topic, name, severity, lambda facts: found, "Cause.", "Remedy.", needs)


def outcome(*checks, ignore=()):
    return {one.check: (one.status.value, one.because) for one in judge(FACTS, checks, ignore)}


def test_what_needs_an_error_is_skipped_because_of_it_all_the_way_down():
    assert outcome(
        check("a", WRONG), check("b", WRONG, ("a",)), check("c", WRONG, ("b",)), check("d", None)
    ) == {"a": ("error", ""), "b": ("skipped", "a"), "c": ("skipped", "a"), "d": ("ok", "")}


def test_a_topic_stands_for_all_of_its_checks():
    first, second = check("a", None, topic="driver"), check("b", WRONG, topic="driver")
    assert outcome(first, second, check("c", WRONG, ("driver",))) == {
        "a": ("ok", ""),
        "b": ("error", ""),
        "c": ("skipped", "b"),
    }


def test_a_topic_of_which_nothing_could_be_judged_stands_in_the_way_like_its_cause():
    cause = check("a", WRONG, topic="reach")
    assert outcome(cause, check("b", None, ("a",), topic="driver"), check("c", None, ("driver",))) == {
        "a": ("error", ""),
        "b": ("skipped", "a"),
        "c": ("skipped", "a"),
    }


def test_a_warning_and_an_unknown_stand_in_nobodys_way():
    assert outcome(
        check("a", WRONG, severity=Severity.WARNING),
        check("b", Unknown("it does not say")),
        check("c", None, ("a", "b")),
    ) == {"a": ("warning", ""), "b": ("unknown", "it does not say"), "c": ("ok", "")}


def test_ignoring_lowers_an_error_to_a_warning_that_still_stands_in_the_way():
    found = judge(FACTS, (check("a", WRONG), check("b", None, ("a",))), ignore=("a",))
    assert found == (
        Result("a", Status.WARNING, WRONG, ignored=True),
        Result("b", Status.SKIPPED, because="a"),
    )


def test_what_nobody_asked_for_is_not_judged():
    assert outcome(check("a", NOT_ASKED), check("b", None)) == {"b": ("ok", "")}


def test_a_check_that_crashes_is_unknown_and_takes_nothing_with_it():
    def crash(facts):
        raise ZeroDivisionError("by zero")

    broken = Check("a", "topic", "a", Severity.ERROR, crash, "Cause.", "Remedy.")
    assert outcome(broken, check("b", None)) == {
        "a": ("unknown", "the check failed: ZeroDivisionError: by zero"),
        "b": ("ok", ""),
    }
