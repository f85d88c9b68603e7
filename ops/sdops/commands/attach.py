"""``sdops attach`` and ``sdops fetch``: a job that a host has, and its pictures."""

from pathlib import Path

from sdops.commands import making
from sdops.commands.options import Hosts, Inventory, Job, Json, Out, Overwrite


def attach(
    job: Job = None,
    out: Out = None,
    overwrite: Overwrite = False,
    host: Hosts = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Follow a job to its end, and fetch its pictures.

    Example: sdops attach
    """
    _attend(job, out, overwrite, host, inventory, as_json, wait=True)


def fetch(
    job: Job = None,
    out: Out = None,
    overwrite: Overwrite = False,
    host: Hosts = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Fetch the pictures that a job has made so far.

    Example: sdops fetch 3fa9c2d1 --out pictures
    """
    _attend(job, out, overwrite, host, inventory, as_json, wait=False)


def _attend(
    job: str | None,
    out: Path | None,
    overwrite: bool,
    host: list[str] | None,
    inventory: list[Path] | None,
    as_json: bool,
    wait: bool,
) -> None:
    from sdops.jobs import remote
    from sdops.jobs.find import find
    from sdops.report import progress

    found = find(job, host or (), inventory or ())
    overwrites = overwrite or (out is None and found.ticket is not None and found.ticket.overwrite)
    with progress.watch(quiet=as_json) as watch:
        result = remote.attach(found.place, found.outcome(out), overwrites, watch, wait)
    making.tell(result, as_json)
