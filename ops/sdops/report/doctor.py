"""How doctor's results are shown: a few lines a host, or one JSON document."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from sdops.checks.finding import Check, Finding, Result, Status
from sdops.checks.registry import CHECKS
from sdops.checks.verdict import Judged, by_id, exit_code
from sdops.errors import Exit
from sdops.facts import pasted
from sdops.facts.data import to_data
from sdops.facts.host import HostFacts
from sdops.facts.nvidia import Nvidia
from sdops.facts.stored import FORMAT, PASTED
from sdops.facts.system import System
from sdops.inventory import LOCAL
from sdops.recommend import Recommendation, recommend
from sdops.report.terminal import messages, plain, results

#: Checks of this machine and not of the hosts.
ABOUT_HERE = ("sshfs-missing",)

STYLES = {Status.ERROR: "bold red", Status.WARNING: "yellow"}


@contextmanager
def waiting(hosts: int, quiet: bool) -> Iterator[None]:
    """Says on a terminal that something is under way."""
    console = messages()
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(f"Examining {hosts} hosts" if hosts > 1 else "Examining"):
        yield


def render(hosts: Sequence[Judged], strict: bool, as_json: bool) -> None:
    """Prints what is wrong, host by host, and what to type."""
    if as_json:
        print(json.dumps(as_data(hosts, strict), ensure_ascii=False))  # noqa: T201
        return
    console = results()
    for number, host in enumerate(hosts):
        if number:
            console.print()
        # What is wrong with this machine is told once, and not with every host.
        _render_host(console, host, ABOUT_HERE if number else ())
    if len(hosts) > 1:
        console.print()
        console.print(_summary(hosts))


def as_data(hosts: Sequence[Judged], strict: bool) -> dict[str, Any]:
    """The document of ``--json``; ``ok`` is true when the exit code is 0."""
    return {
        "ok": exit_code(hosts, strict) is Exit.OK,
        "hosts": [
            {
                "host": host.facts.host,
                "examined": host.examined,
                "results": [result_data(one) for one in host.results],
            }
            for host in hosts
        ],
    }


def result_data(result: Result) -> dict[str, Any]:
    """One result, as JSON has it."""
    return {
        "check": result.check,
        "topic": by_id(result.check).topic,
        "status": result.status.value,
        "because": result.because or None,
        "ignored": result.ignored,
        "finding": None if result.finding is None else to_data(result.finding),
    }


def facts_data(facts: Sequence[HostFacts]) -> dict[str, Any]:
    """The document of ``--facts``, which ``--from`` reads."""
    return {"format": FORMAT, "hosts": [to_data(one) for one in facts]}


def render_facts(facts: Sequence[HostFacts]) -> None:
    """Prints all that was found out, as one JSON document."""
    print(json.dumps(facts_data(facts), ensure_ascii=False, indent=2))  # noqa: T201


def render_pasted(host: Judged, strict: bool) -> None:
    """Prints what a pasted output says and what was judged by it, as one JSON document."""
    document = {
        "ok": exit_code([host], strict) is Exit.OK,
        **pasted.document(host.facts.nvidia),
        "results": [result_data(one) for one in host.results],
    }
    print(json.dumps(document, ensure_ascii=False))  # noqa: T201


def render_recommendations(found: Sequence[HostFacts], as_json: bool) -> None:
    """Prints which stack fits each host best, and what to put in the inventory."""
    advice = [(facts, recommend(facts)) for facts in found]
    if as_json:
        rows = [{"host": facts.host, **to_data(one), "reasons": dict(one.reasons)} for facts, one in advice]
        print(json.dumps({"hosts": rows}, ensure_ascii=False))  # noqa: T201
        return
    console = results()
    for number, (facts, one) in enumerate(advice):
        if number:
            console.print()
        console.print(_heading(facts, with_stack=False), soft_wrap=True)
        _render_advice(console, one)


def _render_advice(console: Console, one: Recommendation) -> None:
    if one.stack:
        console.print(Text("  Best stack: ").append(one.stack, style="bold"))
        console.print("  In the inventory:")
        for line in one.lines:
            console.print(Text(f"      {line}", style="cyan"), soft_wrap=True)
    elif one.unknown:
        _print(console, plain(f"None can be recommended: {one.unknown}."), 2)
    else:
        console.print("  No stack runs here.")
    for name, against in one.reasons:
        said = against or ("runs" if not one.unknown else "nothing is known against it")
        _print(console, plain(f"{name}: {said}"), 2)


def render_list(as_json: bool) -> None:
    """Prints every check."""
    if as_json:
        rows = [
            {
                "check": one.id,
                "topic": one.topic,
                "severity": one.severity.value,
                "title": one.title,
                "needs": one.needs,
            }
            for one in CHECKS
        ]
        print(json.dumps({"checks": rows}, ensure_ascii=False))  # noqa: T201
        return
    console = results()
    width = max(len(one.id) for one in CHECKS)
    for topic, checks in groupby(CHECKS, key=lambda one: one.topic):
        console.print(Text(topic, style="bold"))
        for one in checks:
            console.print(Text(f"  {one.id:<{width}}  {one.title}"), soft_wrap=True)


def _render_host(console: Console, host: Judged, told: Collection[str]) -> None:
    console.print(_heading(host.facts), soft_wrap=True)
    found = sorted(host.having(Status.ERROR, Status.WARNING), key=lambda one: one.status is Status.WARNING)
    for result in found:
        if result.check in told:
            continue
        assert result.finding is not None
        _render_finding(console, by_id(result.check), result, result.finding)
    for cause, group in groupby(
        sorted(host.having(Status.SKIPPED), key=lambda one: one.because), key=lambda one: one.because
    ):
        names = [one.check for one in group]
        console.print(
            Text(f"  {_checks(len(names))} skipped because of {cause}", style="dim"), soft_wrap=True
        )
    for result in host.having(Status.UNKNOWN):
        line = Text("  unknown  ", style="dim").append(result.check).append(": ")
        console.print(line.append(plain(result.because)), soft_wrap=True)
    passed = len(host.having(Status.OK))
    if passed:
        console.print(Text(f"  {_checks(passed)} passed", style="dim" if found else "green"))


def _render_finding(console: Console, check: Check, result: Result, finding: Finding) -> None:
    word = f"{result.status.value}{', ignored' if result.ignored else ''}"
    head = Text("  ").append(word, style=STYLES[result.status]).append("  ").append(check.id, style="bold")
    console.print(head)
    for text in (finding.summary, finding.effect):
        _print(console, plain(text), 4)
    for line in finding.evidence:
        _print(console, Text("| ", style="dim").append(plain(line)), 4)
    _print(console, plain(finding.remedy), 4)
    for command in finding.commands:
        # Whole, however wide the terminal is: it is there to be copied.
        typed = plain(f"        {command}")
        typed.stylize("cyan")
        console.print(typed, soft_wrap=True)


def _print(console: Console, text: Text, indent: int) -> None:
    """Prints a text that is wrapped and indented, without blanks at the ends of its lines."""
    for line in text.wrap(console, max(console.width - indent, 20)):
        line.rstrip()
        console.print(Text(" " * indent).append(line), soft_wrap=True)


def _heading(facts: HostFacts, with_stack: bool = True) -> Text:
    """The host's name and what it is, as far as that is known."""
    parts = []
    if isinstance(facts.system, System) and facts.system.release:
        parts.append(facts.system.release)
    if isinstance(facts.nvidia, Nvidia):
        parts += facts.nvidia.summary
    if with_stack and facts.host not in (PASTED, LOCAL):
        parts.append(f"stack {facts.wanted.stack}")
    return Text(facts.host, style="bold").append(": ", style="not bold").append(plain(", ".join(parts)))


def _checks(number: int) -> str:
    return "1 check" if number == 1 else f"{number} checks"


def _summary(hosts: Sequence[Judged]) -> Text:
    """One line over all hosts."""
    bad = [host.facts.host for host in hosts if host.examined and host.having(Status.ERROR)]
    lost = [host.facts.host for host in hosts if not host.examined]
    good = len(hosts) - len(bad) - len(lost)
    parts = [f"{good} of {len(hosts)} hosts without errors"]
    if bad:
        parts.append(f"errors on {', '.join(bad)}")
    if lost:
        parts.append(f"not examined: {', '.join(lost)}")
    return plain("; ".join(parts) + ".")
