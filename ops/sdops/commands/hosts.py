"""``sdops hosts``: which hosts there are."""

from pathlib import Path
from typing import Annotated

import typer


def hosts(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST|GROUP]…",
            help="Hosts, groups or patterns of the inventory (gpu, gpu*, gpu:!gpu2). All of it if left out.",
            show_default=False,
        ),
    ] = None,
    inventory: Annotated[
        list[Path] | None,
        typer.Option("--inventory", "-i", metavar="FILE", help="Ansible inventory; repeat for several."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print one JSON document on stdout.")
    ] = False,
) -> None:
    """List the hosts of the inventory, and how they are reached. Connects to none.

    Example: sdops hosts gpu
    """
    from sdops import inventory as source
    from sdops.report import hosts as report

    found = source.read(inventory or (), fresh=True)
    report.render(found, found.find(words or ()), as_json)
