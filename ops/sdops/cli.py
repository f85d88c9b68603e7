"""The command line: parse, call, render, exit. No logic here.

Nothing heavy is imported at the top, so that ``sdops --help`` answers at once.
"""

import logging
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import DTYPES, MAX_STEPS, Settings
from typer.core import TyperGroup

from sdops import __version__
from sdops.commands.attach import attach, fetch
from sdops.commands.bench import bench
from sdops.commands.cancel import cancel
from sdops.commands.doctor import doctor
from sdops.commands.gallery import gallery
from sdops.commands.hosts import hosts
from sdops.commands.jobs import jobs
from sdops.commands.logs import logs
from sdops.commands.options import Inventory
from sdops.commands.prune import prune
from sdops.commands.replay import replay
from sdops.errors import Exit, exit_code


class _Commands(TyperGroup):
    """typer ends Ctrl-C without a word, and without the document of ``--json``; this hands it on."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise typer.Abort from stop


app = typer.Typer(
    name="sdops",
    cls=_Commands,
    help="Turns fresh GPU VMs into Stable Diffusion image-to-image hosts and runs work on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

_DEFAULT = Settings()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sdops {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Say the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", help="Show where in the code an error came from.")
    ] = False,
) -> None:
    """Turns fresh GPU VMs into Stable Diffusion image-to-image hosts and runs work on them."""
    if debug:
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger("sdops_runtime").setLevel(logging.DEBUG)


@app.command()
def run(
    words: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE… [PROMPT]", help="Input images, then the prompt unless -p is used."),
    ],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="A prompt; repeat for several.", metavar="TEXT")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="A text file with one prompt a line.", metavar="FILE")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the pictures.", metavar="DIR")
    ] = Path(),
    negative: Annotated[
        str | None, typer.Option("--negative", help="What the picture should not be.", metavar="TEXT")
    ] = None,
    strength: Annotated[
        float, typer.Option("--strength", metavar="X", help="How far the input is changed: above 0, up to 1.")
    ] = _DEFAULT.strength,
    steps: Annotated[
        int,
        typer.Option(
            "--steps", metavar="N", help=f"Denoising steps: 2 to {MAX_STEPS}; strength shortens them."
        ),
    ] = _DEFAULT.steps,
    guidance: Annotated[
        float,
        typer.Option(
            "--guidance", metavar="X", help="Weight of the prompt: 0 to 100; 1 or less turns it off."
        ),
    ] = _DEFAULT.guidance,
    images: Annotated[
        int, typer.Option("--images", "-n", metavar="N", help="Pictures for each image and prompt.")
    ] = _DEFAULT.images,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            help="Seed of the first picture; the next ones count up. Drawn if left out.",
        ),
    ] = None,
    width: Annotated[
        int, typer.Option("--width", metavar="N", help="Width in pixels, a multiple of 8.")
    ] = _DEFAULT.width,
    height: Annotated[
        int | None,
        typer.Option("--height", metavar="N", help="Height in pixels; from the image's shape if left out."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Model: hub id, folder, or demo (tiny, no download, noise-like pictures).",
        ),
    ] = _DEFAULT.model,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="NAME",
            help="The model's branch, tag or commit at the hub; fp16 for the default model, else main.",
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help=f"Number format: {', '.join(DTYPES)}.")
    ] = _DEFAULT.dtype,
    background: Annotated[
        str, typer.Option("--background", help="Colour put behind transparent parts.", metavar="COLOUR")
    ] = _DEFAULT.background,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="NAME",
            help="Host, group or pattern of the inventory, of which the least busy is taken; local is this "
            "machine. All of the inventory if left out; this machine without one.",
            show_default=False,
        ),
    ] = None,
    inventory: Inventory = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", metavar="", help="Print the job's name and do not wait for it.")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="On the local host: auto, cuda or cpu.")
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace other files that have a picture's name.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            "-f",
            metavar="",
            help="Make all pictures, not only the missing ones; without --seed, new ones.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print one JSON document on stdout.")
    ] = False,
) -> None:
    """Make new pictures from images and prompts.

    Example: sdops run photo.jpg "wearing a christmas hat" --images 3
    """
    from sdops.jobs import local
    from sdops.jobs.request import ask, draw_seed
    from sdops.report import outcome, progress

    settings = Settings(
        model=model,
        revision=revision or None,
        dtype=dtype,
        width=width,
        height=height,
        strength=strength,
        steps=steps,
        guidance=guidance,
        negative_prompt=negative or None,
        images=images,
        seed=draw_seed() if seed is None else seed,
        background=background,
    )
    asked = replace(ask(words, prompt or (), prompts, settings), drawn=seed is None)
    with progress.watch(quiet=as_json) as watch:
        if host == local.NAME:
            result = local.run(asked, out, device, overwrite, watch, force)
        else:
            from sdops.jobs import choice

            result = choice.run(asked, host, inventory or (), out, device, overwrite, watch, detach, force)
    outcome.render(result, as_json)
    raise typer.Exit(outcome.exit_code(result))


app.command()(replay)
app.command()(gallery)
app.command()(attach)
app.command()(fetch)
app.command()(jobs)
app.command()(logs)
app.command()(cancel)
app.command()(prune)
app.command()(doctor)
app.command()(hosts)
app.command()(bench)


def _commands() -> list[str]:
    return [one.name or str(getattr(one.callback, "__name__", "")) for one in app.registered_commands]


def main() -> None:
    """The console script: runs the app and turns what went wrong into words and an exit code."""
    from sdops.report import failure, terminal

    terminal.forgive()
    try:
        code = _answer(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left (``| head``): nothing is wrong, and nothing can be said.
        terminal.give_up_results()
        code = Exit.FAILED
    except OSError as error:
        if error.filename is not None:  # no trouble of stdout's, which has no name
            raise
        terminal.give_up_results()
        failure.render(failure.unprintable(error), as_json=False)
        code = Exit.FAILED
    sys.exit(int(code))


def _answer(words: list[str]) -> int:
    """Runs the app; prints what went wrong. Returns the exit code."""
    from sdops.report import failure

    as_json = "--json" in words
    try:
        return app(words, prog_name="sdops", standalone_mode=False) or Exit.OK
    except SdopsError as error:
        if "--debug" in words:
            traceback.print_exception(error)
        failure.render(error, as_json)
        return exit_code(error.code)
    except typer.TyperException as error:
        if words:  # without any, typer has shown the help; what is missing is plain to see
            failure.render(failure.usage(error, words, _commands()), as_json)
        return Exit.USAGE
    except (KeyboardInterrupt, typer.Abort):
        failure.interrupted(as_json)
        return Exit.INTERRUPTED
