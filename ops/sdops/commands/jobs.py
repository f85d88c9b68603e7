"""``sdops jobs``: what the hosts have done, do and will do."""

from typing import Annotated

import typer

from sdops.commands.options import Hosts, Inventory, Json


def jobs(
    host: Hosts = None,
    inventory: Inventory = None,
    most: Annotated[
        int,
        typer.Option("--most", metavar="N", min=1, max=10_000, help="So many of each host's newest."),
    ] = 20,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", metavar="", help="Show it anew until Ctrl-C is pressed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the jobs of all hosts, the oldest first.

    Example: sdops jobs --watch
    """
    from sdops.jobs.overview import look, lookout
    from sdops.jobs.place import places
    from sdops.report import jobs as report
    from sdops.report import screen

    screen.refuse_both(watch, as_json, "jobs")
    found = places(host or (), inventory or ())
    if watch and found:
        report.watch(lookout(found, most))
        return
    listed = look(found, most)
    report.render(listed, as_json)
    raise typer.Exit(report.exit_code(listed))
