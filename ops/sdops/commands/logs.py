"""``sdops logs``: what happened in a job, and what its host's worker says."""

from typing import Annotated

import typer

from sdops.commands.options import Hosts, Inventory, Job, Json


def logs(
    job: Job = None,
    worker: Annotated[
        int,
        typer.Option("--worker", metavar="N", min=0, help="Show the worker's own last lines, too."),
    ] = 0,
    host: Hosts = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Show what happened in a job so far, with times.

    Example: sdops logs 3fa9c2d1 --worker 20
    """
    from sdops.jobs.find import find
    from sdops.report import logs as report

    found = find(job, host or (), inventory or ())
    told, text = [], ""
    with found.place.conversation() as one:
        one.hello()
        one.say("follow", job=found.name, offset=0, have=None, wait=False)
        while (message := one.hear("event", "ended")).kind == "event":
            told.append(message)
        if worker:
            text = str(one.ask("log", "log", lines=worker).data.get("text", ""))
    report.render(found, told, text, as_json)
