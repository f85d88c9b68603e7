"""``sdops replay``: the same picture again, from its metadata."""

from pathlib import Path
from typing import Annotated

import typer

from sdops import complete
from sdops.commands.options import Inventory, Json


def replay(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE…", help="Pictures made by sdops.")],
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="The image it was made from; repeat for several. Looked for beside the picture and in the "
            "working folder if left out.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="The model, where it was a folder that is elsewhere now."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Keep the new picture in this folder."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="NAME",
            help="Host, group or pattern of the inventory.",
            autocompletion=complete.hosts,
        ),
    ] = "local",
    inventory: Inventory = None,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="On the local host: auto, cuda or cpu.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Make pictures again from what they carry, and say whether they are the same.

    Exit code 0 if all are identical, 1 if one is not.

    Example: sdops replay photo-7.png
    """
    from sdops.errors import SdopsError
    from sdops.jobs import replay as jobs
    from sdops.report import progress
    from sdops.report import replay as report

    make = jobs.maker(host, inventory or (), device)
    answers: list[report.Answer] = []
    for picture in pictures:
        with progress.watch(quiet=as_json) as watch:
            try:
                answers.append((picture, jobs.replay(picture, source or (), model, make, out, watch)))
            except SdopsError as error:
                answers.append((picture, error))
    report.render(answers, as_json)
    raise typer.Exit(report.exit_code(answers))
