"""How hosts' states are shown: at a glance, once or again and again. Trusts nothing that a host says."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from sdops.errors import Exit
from sdops.jobs.lookout import Lookout
from sdops.jobs.status import State, states
from sdops.report import failure, screen
from sdops.report.jobs import SHORT
from sdops.report.status_table import ago, mapping, tabulate
from sdops.report.terminal import document, messages, plain, results


def exit_code(states: Sequence[State]) -> Exit:
    """1 if a host could not be asked."""
    return Exit.FAILED if any(one.error for one in states) else Exit.OK


def render(there: Sequence[State], as_json: bool) -> None:
    """Prints how all hosts are, and why that is not known of some."""
    if as_json:
        hosts = [
            {
                "host": one.host,
                "status": None if one.told is None else dict(one.told),
                "error": None if one.error is None else failure.as_data(one.error),
            }
            for one in there
        ]
        document({"ok": exit_code(there) is Exit.OK, "hosts": hosts})
        return
    if not there:
        messages().print("There are no hosts but this machine.")
        return
    view = _view(there, results().width)
    for part in view.body:
        results().print(part)
    for note in view.notes:
        messages().print(note, soft_wrap=True)


def watch(lookout: Lookout[Mapping[str, Any]]) -> None:
    """Shows it until Ctrl-C is pressed."""
    screen.keep(lookout, lambda width: _view(states(lookout), width))


def _view(there: Sequence[State], width: int) -> screen.View:
    made = tabulate(there, width)
    return screen.View([made.table, *made.below], _notes(there, made.times))


def _notes(there: Sequence[State], times: bool) -> list[Text]:
    """times: whether the table has when the last errors were."""
    notes = []
    for one in there:
        if one.error is not None:
            notes.append(
                Text("Error: ", style="bold red").append(plain(f"{one.error.message} {one.error.hint}"))
            )
            continue
        late = screen.aged(one.host, one.told is not None, one.age)
        if late is not None:
            notes.append(late)
        told = one.told or {}
        fleet = mapping(told.get("fleet"))
        notes += filter(None, (_fleet(one.host, fleet), _certificate(one.host, fleet)))
        if told.get("serving") is not True and told.get("waiting"):
            notes.append(plain(f"{one.host}: jobs wait, and no worker runs: sdops doctor {one.host}"))
        error = mapping(told.get("error"))
        if error:
            name = f"job {str(error.get('job'))[-SHORT:]}{'' if times else f', {ago(error)}'}"
            notes.append(plain(f"{one.host}, {name}: {error.get('message')}".replace("\n", " ")))
    return notes


def _fleet(host: str, fleet: Mapping[str, Any]) -> Text | None:
    """Who is in a fleet, as its head knows."""
    if fleet.get("head") is not True:
        return None
    members = [one for one in fleet.get("members") or () if isinstance(one, Mapping)]
    there = ", ".join(f"{one.get('name')}{' busy' if one.get('busy') is True else ''}" for one in members)
    return plain(f"{host}, head of a fleet: {there or 'none of its workers is there'}".replace("\n", " "))


def _certificate(host: str, fleet: Mapping[str, Any]) -> Text | None:
    """That a host's certificate should have been renewed: less than a third of its time is left."""
    valid = mapping(fleet.get("certificate"))
    since, until, now = valid.get("since"), valid.get("until"), time.time()
    if not isinstance(since, float) or not isinstance(until, float) or now < until - (until - since) / 3:
        return None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        day = time.strftime("%Y-%m-%d", time.gmtime(until))
        return plain(
            f"{host}: its certificate for the fleet {'expires' if now < until else 'expired'} on {day}. "
            "Renew it: ansible-playbook ansible/site.yml --tags fleet"
        )
    return None
