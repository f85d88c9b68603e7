"""``sdops bench``: how fast a host makes pictures, against the guide's own script."""

from pathlib import Path
from typing import Annotated

import typer

from sdops import complete
from sdops.commands.options import Inventory, Json


def bench(
    host: Annotated[
        str,
        typer.Argument(
            metavar="[HOST]",
            help="Host of the inventory; local is this machine.",
            autocompletion=complete.hosts,
        ),
    ] = "local",
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Model: full, small, or auto (full on a GPU).")
    ] = "auto",
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", help="Rounds, of which medians are taken; 0 is as usual.")
    ] = 0,
    switches: Annotated[
        bool,
        typer.Option(
            "--switches",
            metavar="",
            help="Try what may make it faster; long jobs are compiled then where that pays.",
        ),
    ] = False,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cuda or cpu.")] = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the figures there, as JSON.")
    ] = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Measure how fast a host makes pictures, against the guide's script. Random weights: no download.

    Nothing else should use the GPU meanwhile.

    Example: sdops bench gpu1
    """
    from sdops.jobs import bench as jobs
    from sdops.report import bench as report

    options = ["--size", size, "--rounds", str(rounds), "--device", device]
    told = jobs.measure(host, inventory or (), options + ["--switches"] * switches, report.tell(as_json))
    report.render(told, out, as_json)
