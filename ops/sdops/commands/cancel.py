"""``sdops cancel``: ends jobs early."""

from typing import Annotated

import typer

from sdops import complete
from sdops.commands.options import Hosts, Inventory, Json


def cancel(
    job: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB…", help="The jobs' names, or the ends of them.", autocompletion=complete.jobs
        ),
    ],
    host: Hosts = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Cancel jobs that wait or run. Pictures that were made are kept.

    Example: sdops cancel 3fa9c2d1
    """
    from sdops.jobs.find import find
    from sdops.report import jobs as report

    told = []
    for word in job:
        found = find(word, host or (), inventory or ())
        with found.place.conversation() as one:
            one.hello()
            told.append((found, one.ask("cancel", "job", job=found.name)))
    report.render_cancelled(told, as_json)
