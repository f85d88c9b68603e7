"""How long a fresh host takes to provision, against the guide's commands typed as a plain list.

    make bench-provision                       (or: make bench-provision ROUNDS=5 TORCH=real)

Both ways lead to the same packages, from the same mirrors in the test network, on hosts of the same kind,
turn by turn in one run, so that other load on the machine falls on both alike. Then site.yml once more,
which changes nothing, on one of the hosts and on three at once. It reports and judges nothing;
it fails only where something did not work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from hosts import base
from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError
from rich.console import Console
from rich.table import Table

from .fleet import Fleet, Taken

ROLES = ("preflight", "service_user", "miniconda", "stack_env", "hub_token", "runtime")
#: Hosts at once.
MANY = 3

SHELL = (
    "Stand-ins, in the test network and the same for both ways: Miniconda and conda's channels (with a real "
    "solver; torch, CUDA and MKL are shells: their gigabytes would add the same minutes to both)"
)
REAL = (
    "Stand-ins, in the test network and the same for both ways: Miniconda and conda's channels (with a real "
    "solver, for Python alone: torch is PyPI's real one, without CUDA)"
)
REST = (
    ", PyPI (the real wheels of the stack's lock), the model hub, the GPU. apt has Debian's own packages. "
    "Left out of the plain list: the guide's upgrades of conda and pip. site.yml leaves it to Python to "
    "compile what is imported; pip, as the guide calls it, compiles everything."
)


def say(text: str) -> None:
    """Tells how far it is."""
    print(text, file=sys.stderr, flush=True)


def first_converges(fleet: Fleet, rounds: int) -> tuple[list[Taken], list[Taken], list[Host]]:
    """What site.yml and the plain list took in each round, and the hosts that site.yml made.

    The order changes from round to round. Before them come hosts that are not counted, which are needed for
    the runs against several, and fill the caches of disks and proxies.
    """
    made = []
    for _ in range(max(1, MANY - rounds)):
        made.append(fleet.fresh())
        say(f"not counted: site.yml {fleet.by_site(made[-1])[0].seconds:.1f} s")
    by_site, by_list = [], []
    for number in range(rounds):
        new, plain = fleet.fresh(), fleet.fresh()
        if number % 2:
            by_list.append(fleet.by_list(plain))
        by_site.append(fleet.by_site(new)[0])
        if not number % 2:
            by_list.append(fleet.by_list(plain))
        if fleet.packages(new) != fleet.packages(plain):
            raise SystemExit(
                f"The two ways led to different packages:\n{fleet.packages(new)}\n{fleet.packages(plain)}"
            )
        fleet.lab.remove(plain)
        made.append(new)
        say(f"round {number + 1}: site.yml {by_site[-1].seconds:.1f} s, list {by_list[-1].seconds:.1f} s")
        for host in made[:-MANY]:
            fleet.lab.remove(host)
        del made[:-MANY]
    return by_site, by_list, made


def second_runs(fleet: Fleet, hosts: Sequence[Host], repeats: int) -> tuple[list[Taken], list[Taken]]:
    """What a run that changes nothing took, on one of the hosts and on all of them, in turns."""
    one, many = [], []
    for number in range(repeats):
        for some, taken in ((hosts[:1], one), (hosts, many)):
            time, done = fleet.by_site(*some)
            if done.changed:
                raise SystemExit(f"The second run changed something: {', '.join(done.changed)}")
            taken.append(time)
        took = f"one host {one[-1].seconds:.1f} s, {len(hosts)} hosts {many[-1].seconds:.1f} s"
        say(f"second run {number + 1}: {took}")
    return one, many


def median(taken: Sequence[Taken], role: str = "") -> float:
    """Median seconds, of a role or in all."""
    return statistics.median(one.of(role) if role else one.seconds for one in taken)


def table(
    by_site: Sequence[Taken], by_list: Sequence[Taken], one: Sequence[Taken], many: Sequence[Taken]
) -> Table:
    """Median seconds by role."""
    columns = (by_site, by_list, one, many)
    shown = Table(title="Seconds (medians)", title_justify="left", show_footer=True)
    shown.add_column("role", footer="in all")
    heads = (
        "first run\nsite.yml",
        "first run\nplain list",
        "second run\n1 host",
        f"second run\n{MANY} hosts",
    )
    for head, taken in zip(heads, columns, strict=True):
        shown.add_column(head, justify="right", footer=f"{median(taken):.1f}")
    for role in ROLES:
        shown.add_row(
            role, *(f"{median(taken, role):.1f}" if median(taken, role) else "-" for taken in columns)
        )
    rest = [median(taken) - sum(median(taken, role) for role in ROLES) for taken in columns]
    shown.add_row("start, connecting, end", *(f"{seconds:.1f}" for seconds in rest))
    return shown


def longest(taken: Taken, number: int) -> Table:
    """The longest tasks of a run."""
    shown = Table("task", "s", title="Longest tasks of one", title_justify="left")
    for step in sorted(taken.steps, key=lambda step: -step.seconds)[:number]:
        shown.add_row(f"{step.role} : {step.name}", f"{step.seconds:.2f}")
    return shown


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="make bench-provision", description="Time the provisioning of hosts."
    )
    parser.add_argument("--rounds", type=int, default=2, help="of first runs (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of second runs (%(default)s)")
    parser.add_argument("--release", choices=sorted(base.RELEASES), default="bookworm")
    parser.add_argument("--torch", choices=("shell", "real"), default="shell", help="see the note it prints")
    parser.add_argument("--tasks", type=int, default=0, help="also show so many of the longest tasks")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        with Lab() as lab, tempfile.TemporaryDirectory(prefix="sdops-bench-") as folder:
            fleet = Fleet(lab, Path(folder), given.release, given.torch == "real")
            by_site, by_list, hosts = first_converges(fleet, given.rounds)
            one, many = second_runs(fleet, hosts, given.repeats)
    except UnavailableError as reason:
        raise SystemExit(f"No test hosts here: {reason}") from None
    console = Console(highlight=False)
    console.print(table(by_site, by_list, one, many))
    first, list_, second = median(by_site), median(by_list), median(one)
    ratios = ", ".join(f"{a.seconds / b.seconds:.2f}" for a, b in zip(by_site, by_list, strict=True))
    console.print(
        f"First run: {first / list_:.2f} times the plain list (goal: at most 1.2; rounds: {ratios})"
    )
    console.print(
        f"Second run: {second:.1f} s (goal: under 10); {MANY} hosts: {median(many) / second:.2f} times one"
    )
    for taken in (by_site[-1], one[-1]) if given.tasks else ():
        console.print(longest(taken, given.tasks))
    version = metadata.version("ansible-core")
    console.print(
        f"\nMeasured on fresh {given.release} hosts with the guide's stack: {given.rounds} rounds of first "
        f"runs, then {given.repeats} of second runs, in turns. ansible-core {version}; {os.cpu_count()} CPUs "
        f"that hosts, mirrors and Ansible share; load {load:.1f} before, {os.getloadavg()[0]:.1f} after."
    )
    console.print((REAL if given.torch == "real" else SHELL) + REST)


if __name__ == "__main__":
    main()
