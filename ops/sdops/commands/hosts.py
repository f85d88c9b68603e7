"""``sdops hosts``: which hosts there are."""

from typing import Annotated

import typer

from sdops import complete
from sdops.commands.options import Inventory, Json


def hosts(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST|GROUP]…",
            help="Hosts, groups or patterns of the inventory (gpu, gpu*, gpu:!gpu2). All of it if left out.",
            show_default=False,
            autocompletion=complete.hosts,
        ),
    ] = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """List the hosts of the inventory, and how they are reached. Connects to none.

    Example: sdops hosts gpu
    """
    from sdops import inventory as source
    from sdops.report import hosts as report

    found = source.read(inventory or (), fresh=True)
    report.render(found, found.find(words or ()), as_json)
