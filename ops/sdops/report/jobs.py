"""How jobs of hosts are shown: a table, what pruning and cancelling did. Trusts nothing that a host says."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from sdops.desk import Message
from sdops.errors import Exit, SdopsError
from sdops.jobs.find import Found
from sdops.jobs.lookout import Lookout
from sdops.jobs.overview import Listed, listings
from sdops.jobs.place import Place
from sdops.report import failure, screen
from sdops.report.terminal import document, messages, plain, results

#: The end of a job's name that is random, which is name enough.
SHORT = 8

_STYLES = {"queued": "", "running": "cyan", "done": "green", "failed": "red", "cancelled": "yellow"}


def exit_code(answers: Sequence[object]) -> Exit:
    """1 if a host could not be asked."""
    bad = [one for one in answers if isinstance(one, SdopsError) or getattr(one, "error", None)]
    return Exit.FAILED if bad else Exit.OK


def render(listed: Sequence[Listed], as_json: bool) -> None:
    """Prints the jobs of all hosts, and why some are not known."""
    if as_json:
        hosts = [
            {
                "host": one.host,
                "serving": one.serving,
                "jobs": [dict(job) for job in one.jobs],
                "older": one.left,
                "error": None if one.error is None else failure.as_data(one.error),
            }
            for one in listed
        ]
        document({"ok": exit_code(listed) is Exit.OK, "hosts": hosts})
        return
    if not listed:
        messages().print("There are no hosts but this machine.")
        return
    if any(one.jobs for one in listed):
        results().print(_table(listed))
    elif any(one.error is None for one in listed):
        messages().print("There are no jobs.")
    for note in _notes(listed):
        messages().print(note, soft_wrap=True)


def watch(lookout: Lookout[Listed]) -> None:
    """Shows the jobs until Ctrl-C is pressed."""

    def draw(width: int) -> screen.View:
        listed = listings(lookout)
        return screen.View([_table(listed)], _notes(listed))

    screen.keep(lookout, draw)


def render_cancelled(told: Sequence[tuple[Found, Message]], as_json: bool) -> None:
    """Says what became of jobs that were cancelled."""
    if as_json:
        jobs = [
            {"job": found.name, "host": found.place.name, "state": one.data.get("state")}
            for found, one in told
        ]
        document({"ok": True, "jobs": jobs})
        return
    for found, one in told:
        state = str(one.data.get("state"))
        what = {
            "cancelled": "is cancelled",
            "running": "ends after the step in hand",
            "queued": "ends after the step in hand",
        }.get(state, f"had ended before: {state}")
        messages().print(plain(f"{found.name} on {found.place.name} {what}."), soft_wrap=True)


def render_pruned(answers: Sequence[tuple[Place, Mapping[str, Any] | SdopsError]], as_json: bool) -> None:
    """Says what was removed, and what was kept because nobody has fetched it."""
    if as_json:
        hosts = [
            {"host": place.name, "error": failure.as_data(one)}
            if isinstance(one, SdopsError)
            else {"host": place.name, **{key: one[key] for key in ("removed", "kept", "freed")}}
            for place, one in answers
        ]
        document({"ok": exit_code([one for _, one in answers]) is Exit.OK, "hosts": hosts})
        return
    for place, one in answers:
        if isinstance(one, SdopsError):
            failure.render(one, as_json=False)
            continue
        removed, kept = one["removed"], one["kept"]
        jobs = "1 job" if len(removed) == 1 else f"{len(removed)} jobs"
        results().print(plain(f"{place.name}: {jobs} removed, {one['freed'] / 1e6:.0f} MB freed."))
        if kept:
            names = ", ".join(map(str, kept[:10]))
            text = f"{place.name}: kept, because nobody has fetched their pictures: {names}"
            messages().print(plain(f"{text}. Fetch them (sdops fetch JOB), or remove them: --unfetched"))


def _table(listed: Sequence[Listed]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len(listed) > 1
    for name in ("job", *(["host"] if several else []), "state", "pictures"):
        table.add_column(name, no_wrap=True, justify="right" if name == "pictures" else "left")
    table.add_column("begun", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("what")
    for one in listed:
        for job in one.jobs:
            table.add_row(*_row(one.host, job, several))
    return table


def _row(host: str, job: Mapping[str, Any], several: bool) -> list[Text]:
    state = str(job.get("state"))
    failed = job.get("failed") or 0
    pictures = f"{job.get('made')}/{job.get('wanted')}" + (f", {failed} failed" if failed else "")
    what = " ".join(str(one) for key in ("inputs", "prompts") for one in _list(job.get(key)))
    if state == "failed" and job.get("reason"):
        what = str(job["reason"])
    said = plain(what.replace("\n", " "))
    # A line for each job: only this column gives way.
    said.no_wrap, said.overflow = True, "ellipsis"
    return [
        plain(str(job.get("job"))[-SHORT:]),
        *([plain(host)] if several else []),
        Text(
            "cancelling" if job.get("cancel") and state == "running" else plain(state).plain,
            style=_STYLES.get(state, ""),
        ),
        plain(pictures),
        Text(_ago(job.get("begun"))),
        Text(_took(job.get("begun"), job.get("ended"))),
        said,
    ]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _notes(listed: Sequence[Listed]) -> list[Text]:
    notes = []
    for one in listed:
        if one.error is not None:
            notes.append(
                Text("Error: ", style="bold red").append(plain(f"{one.error.message} {one.error.hint}"))
            )
        elif (late := screen.aged(one.host, one.answered, one.age)) is not None:
            notes.append(late)
        elif not one.serving and any(job.get("state") in ("queued", "running") for job in one.jobs):
            notes.append(
                plain(
                    f"{one.host}: no worker runs. sdops attach wakes it; sdops doctor {one.host} says more."
                )
            )
        if one.left:
            notes.append(plain(f"{one.host}: {one.left} older ones: --most {one.left + len(one.jobs)}"))
    return notes


def _ago(begun: object) -> str:
    return "" if not isinstance(begun, (int, float)) else f"{duration(time.time() - begun)} ago"


def _took(begun: object, ended: object) -> str:
    if not isinstance(begun, (int, float)) or not isinstance(ended, (int, float)):
        return ""
    return duration(ended - begun)


def duration(seconds: float) -> str:
    """A time in its largest unit: 12 s, 3 min, 5 h, 2 d."""
    seconds = max(0.0, seconds)
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
