"""``sdops status``: how all hosts are, at a glance."""

from typing import Annotated

import typer

from sdops.commands.options import Hosts, Inventory, Json


def status(
    host: Hosts = None,
    inventory: Inventory = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", metavar="", help="Show it anew until Ctrl-C is pressed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how all hosts are: GPU, memory, worker, the job in hand, what waits, the last error.

    Example: sdops status --watch
    """
    from sdops.jobs.place import places
    from sdops.jobs.status import look, lookout
    from sdops.report import screen
    from sdops.report import status as report

    screen.refuse_both(watch, as_json, "status")
    found = places(host or (), inventory or ())
    if watch and found:
        report.watch(lookout(found))
        return
    states = look(found)
    report.render(states, as_json)
    raise typer.Exit(report.exit_code(states))
