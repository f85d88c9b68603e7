"""Whom doctor examines: hosts of the inventory, this machine, stored facts, or a pasted output."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from sdops import doctor, inventory
from sdops.facts import controller, stored
from sdops.facts.host import NOT_ASKED, HostFacts
from sdops.facts.registry import PROBES
from sdops.inventory import THIS_MACHINE, Host, Inventory
from sdops.inventory_wanted import wanted_of
from sdops.transport import Session, open_session

#: Says that something is under way: for how many hosts, and whether silently.
Waiting = Callable[[int, bool], AbstractContextManager[None]]

#: What this machine is asked: no playbook has made anything here.
HERE = ("system", "token", "cache", "driver", "hub", "nvidia", "kernel")


def gather(
    names: Sequence[str],
    files: Sequence[Path],
    quick: bool,
    facts_file: Path | None,
    pasted: Path | None,
    waiting: Waiting,
    quiet: bool,
) -> tuple[HostFacts, ...]:
    """The facts of all that was named; of all hosts of the inventory where nothing was.

    Raises SdopsError: what ``inventory.read`` and ``select`` raise, facts-unreadable, file-unreadable.
    """
    if facts_file:
        return stored.read_facts(facts_file)
    if pasted:
        return (stored.read_output(pasted),)
    found = inventory.read(files)
    targets = _targets(found, found.find(names))
    with waiting(len(targets), quiet):
        return doctor.examine_all(targets, quick)


def _targets(found: Inventory, hosts: Sequence[Host]) -> tuple[doctor.Target, ...]:
    sides = controller.look(hosts)
    return tuple(
        doctor.Target(
            host.name,
            replace(wanted_of(host, found), expect_gpu=True)
            if host is THIS_MACHINE
            else wanted_of(host, found),
            partial(_open, host),
            tuple(probe for probe in PROBES if probe.name in HERE) if host is THIS_MACHINE else PROBES,
            sides.get(host.name, NOT_ASKED),
        )
        for host in hosts
    )


def _open(host: Host) -> Session:
    return open_session(host.usable())
