"""``sdops prune``: frees the hosts' disks of jobs that are over."""

from typing import Annotated

import typer

from sdops.commands.options import Hosts, Inventory, Json


def prune(
    days: Annotated[
        float,
        typer.Option("--days", metavar="N", min=0, help="Keep jobs that ended less than so many days ago."),
    ] = 7.0,
    everything: Annotated[
        bool,
        typer.Option("--unfetched", metavar="", help="Remove jobs, too, whose pictures nobody has fetched."),
    ] = False,
    host: Hosts = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Remove jobs from the hosts that ended and whose pictures were fetched.

    Example: sdops prune --days 1
    """
    from sdops.jobs.place import Place, each, places
    from sdops.report import jobs as report

    found = places(host or (), inventory or ())

    def ask(place: Place) -> dict[str, object]:
        with place.conversation() as one:
            one.hello()
            return dict(one.ask("prune", "pruned", days=days, all=everything).data)

    answers = list(zip(found, each(found, ask), strict=True))
    report.render_pruned(answers, as_json)
    raise typer.Exit(report.exit_code([answer for _, answer in answers]))
