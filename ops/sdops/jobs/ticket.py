"""What this machine remembers of a job it gave to a host: where it is, and where its pictures belong."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sdops_runtime.queue import NAME


@dataclass(frozen=True)
class Ticket:
    """A job of ours. host: its name in the inventory. out: folder of its pictures; sources: its inputs.

    inventory: where the host is named. All of them absolute paths, or, in an inventory's place, hosts.
    """

    job: str
    host: str
    out: str
    overwrite: bool
    sources: tuple[str, ...]
    inventory: tuple[str, ...] = ()


def folder() -> Path:
    """Where tickets are kept."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "sdops" / "jobs"


def keep(ticket: Ticket) -> None:
    """Remembers a job. A disk that takes nothing is no reason not to run it: it can be named all the same."""
    with suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder() / f"{ticket.job}.json"
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(asdict(ticket)))
        aside.replace(path)


def find(job: str) -> Ticket | None:
    """What is remembered of a job."""
    if not NAME.fullmatch(job):
        return None
    try:
        data = json.loads((folder() / f"{job}.json").read_text())
        return Ticket(
            str(data["job"]),
            str(data["host"]),
            str(data["out"]),
            bool(data["overwrite"]),
            tuple(map(str, data["sources"])),
            tuple(map(str, data.get("inventory", ()))),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def match(word: str) -> Ticket | None:
    """What is remembered of the job of that name, or of the only one whose name ends so."""
    if NAME.fullmatch(word):
        return find(word)
    found = [name for name in names() if name.endswith(word)]
    return find(found[0]) if len(found) == 1 else None


def last() -> str | None:
    """The job that was given to a host last."""
    return max(names(), default=None)


def forget(job: str) -> None:
    """Forgets a job."""
    with suppress(OSError):
        (folder() / f"{job}.json").unlink()


def names() -> list[str]:
    """The names of all jobs that are remembered, in no order."""
    with suppress(OSError):
        return [path.stem for path in folder().glob("*.json") if NAME.fullmatch(path.stem)]
    return []
