"""Finds a job by its name, or a part of it: on this machine's tickets, else on the hosts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdops_runtime.protocol import JobRequest
from sdops_runtime.queue import NAME

from sdops.desk import Message
from sdops.errors import SdopsError
from sdops.inventory_source import is_list
from sdops.jobs import ticket
from sdops.jobs.local import Outcome
from sdops.jobs.place import Place, each, places
from sdops.jobs.request import Asked


@dataclass(frozen=True)
class Found:
    """A job and the host that has it. told: what the host said about it, with its request."""

    name: str
    place: Place
    told: Message
    ticket: ticket.Ticket | None

    def outcome(self, out: Path | None) -> Outcome:
        """Nothing yet of what came of it. out: folder of its pictures; if None its ticket's, or this one."""
        import json

        try:
            request = JobRequest.from_json(json.dumps(self.told.data.get("request")))
            request.check()
        except SdopsError as error:
            raise SdopsError(
                "host-nonsense", f"{self.place.name} has a job that makes no sense: {error.message}"
            ) from error
        sources = self.ticket.sources if self.ticket else request.inputs
        if len(sources) != len(request.inputs):
            sources = request.inputs
        folder = out or _from_here(Path(self.ticket.out if self.ticket else "."))
        return Outcome(Asked(request, tuple(map(Path, sources))), folder, job=self.name, host=self.place.name)


def find(word: str | None, hosts: Sequence[str], inventory: Sequence[Path | str]) -> Found:
    """A job. word: its name, or the end of it that is random; the last one from here if None.

    hosts: where to look; where this machine knows that it is, if none are named. Raises SdopsError.
    """
    name = word or ticket.last()
    if name is None:
        raise SdopsError("job-unknown", "No job was given to a host from here.", "sdops jobs lists them all.")
    known = ticket.match(name)
    if known and not hosts:
        # By the inventory that it was given to the host by, wherever this is typed.
        there = [one for one in known.inventory if Path(one).exists() or is_list(one)]
        name, looked = known.job, places([known.host], inventory or there)
    else:
        looked = places(hosts, inventory)
    if not looked:
        raise SdopsError("host-unknown", "There is no host to look on.", "Name an inventory with -i FILE.")
    full = name if NAME.fullmatch(name) else ""

    def ask(place: Place) -> Message:
        with place.conversation() as one:
            one.hello()
            wanted = full or _complete(one.ask("names", "names").data["jobs"], name)
            told = one.ask("job", "job", job=wanted)
            if told.data.get("job") != wanted:
                raise SdopsError("host-nonsense", f"{place.name} was asked for a job and told of another.")
            return told

    answers = each(looked, ask)
    for place, told in zip(looked, answers, strict=True):
        if not isinstance(told, SdopsError):
            found = str(told.data["job"])
            return Found(found, place, told, ticket.find(found))
    # A host that cannot be asked may be the one that has it.
    errors = [one for one in answers if isinstance(one, SdopsError)]
    others = [error for error in errors if error.code != "job-unknown"]
    if others:
        raise others[0]
    raise SdopsError(
        "job-unknown",
        f"There is no job {name} on {' or '.join(place.name for place in looked[:3])}"
        + (" or the others." if len(looked) > 3 else "."),
        "sdops jobs lists them.",
    )


def _from_here(folder: Path) -> Path:
    """A folder as short as it can be named from the working folder."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _complete(names: Any, end: str) -> str:
    matching = [
        name for name in names if isinstance(name, str) and NAME.fullmatch(name) and name.endswith(end)
    ]
    if len(matching) > 1:
        raise SdopsError("usage", f"{end} may be any of {len(matching)} jobs.", "Give more of the name.")
    if not matching:
        raise SdopsError("job-unknown", f"There is no job {end}.", "sdops jobs lists them.")
    return matching[0]
