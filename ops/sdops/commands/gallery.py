"""``sdops gallery``: a folder's pictures as one page."""

from pathlib import Path
from typing import Annotated

import typer

from sdops.commands.options import Json


def gallery(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder with the pictures.", show_default=False)
    ] = Path(),
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The page; DIR/index.html if left out."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", metavar="", help="Take the folders below it, too.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace a file that is no gallery.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a page of a folder's pictures: inputs beside outputs, settings, commands, sweeps.

    One file that needs no network; only the large pictures are read from beside it.

    Example: sdops gallery pictures
    """
    from sdops.gallery import page
    from sdops.gallery.collect import collect
    from sdops.report import gallery as report

    found = collect(folder, recursive)
    path = out or folder / "index.html"
    with report.progress(len(found.pictures) + len(found.sources), quiet=as_json) as done:
        written = page.write(found, path, overwrite, done)
    report.render(found, written, as_json)
