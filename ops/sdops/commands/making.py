"""What ``run`` and ``sweep`` are told alike: their options, and how a job comes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from sdops_runtime.protocol import DTYPES, MAX_STEPS, Settings

from sdops import complete

if TYPE_CHECKING:
    from sdops.jobs.local import Outcome
    from sdops.jobs.request import Asked

DEFAULT = Settings()

Words = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE… [PROMPT]", help="Input images, then the prompt unless -p is used."),
]
Prompt = Annotated[
    list[str] | None, typer.Option("--prompt", "-p", help="A prompt; repeat for several.", metavar="TEXT")
]
Prompts = Annotated[
    Path | None, typer.Option("--prompts", help="A text file with one prompt a line.", metavar="FILE")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.", metavar="DIR")]
Negative = Annotated[
    str | None, typer.Option("--negative", help="What the picture should not be.", metavar="TEXT")
]
Steps = Annotated[
    int,
    typer.Option("--steps", metavar="N", help=f"Denoising steps: 2 to {MAX_STEPS}; strength shortens them."),
]
Images = Annotated[
    int, typer.Option("--images", "-n", metavar="N", help="Pictures for each image and prompt.")
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of the first picture; the next ones count up. Drawn if left out.",
    ),
]
Width = Annotated[int, typer.Option("--width", metavar="N", help="Width in pixels, a multiple of 8.")]
Height = Annotated[
    int | None,
    typer.Option("--height", metavar="N", help="Height in pixels; from the image's shape if left out."),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model: hub id, folder, or demo (tiny, no download, noise-like pictures).",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="NAME",
        help="The model's branch, tag or commit at the hub; fp16 for the default model, else main.",
    ),
]
Dtype = Annotated[str, typer.Option("--dtype", metavar="NAME", help=f"Number format: {', '.join(DTYPES)}.")]
Background = Annotated[
    str, typer.Option("--background", help="Colour put behind transparent parts.", metavar="COLOUR")
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="NAME",
        help="Host, group or pattern of the inventory, of which the least busy is taken; local is this "
        "machine. All of the inventory if left out; this machine without one.",
        show_default=False,
        autocompletion=complete.hosts,
    ),
]
Detach = Annotated[
    bool, typer.Option("--detach", "-d", metavar="", help="Print the job's name and do not wait for it.")
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="On the local host: auto, cuda or cpu.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", metavar="", help="Replace other files that have a picture's name.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        "-f",
        metavar="",
        help="Make all pictures, not only the missing ones; without --seed, new ones.",
    ),
]


@dataclass(frozen=True)
class Where:
    """Where a job is made, and what becomes of its pictures."""

    host: str | None
    inventory: Sequence[Path]
    out: Path
    device: str
    overwrite: bool
    detach: bool
    force: bool


def make(asked: "Asked", where: Where, as_json: bool) -> "Outcome":
    """Makes a job's pictures, and shows how far it is. Raises SdopsError."""
    from sdops.jobs import local
    from sdops.report import progress

    with progress.watch(quiet=as_json) as watch:
        if where.host == local.NAME:
            return local.run(asked, where.out, where.device, where.overwrite, watch, where.force)
        from sdops.jobs import choice

        return choice.run(
            asked,
            where.host,
            where.inventory,
            where.out,
            where.device,
            where.overwrite,
            watch,
            where.detach,
            where.force,
        )


def tell(result: "Outcome", as_json: bool) -> NoReturn:
    """Shows what came of a job, with contact sheets of a sweep's pictures, and ends with its exit code."""
    from sdops.gallery import sheet
    from sdops.report import outcome

    with outcome.drawing(quiet=as_json or not result.asked.request.sweep):
        sheets = sheet.write(result)
    outcome.render(result, as_json, sheets.paths, sheets.troubles)
    raise typer.Exit(outcome.exit_code(result))
