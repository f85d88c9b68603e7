"""``sdops sweep``: the same pictures with every strength and guidance of a grid."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from sdops_runtime.protocol import Settings

from sdops.commands import making
from sdops.commands.options import Inventory, Json


def sweep(
    words: making.Words,
    prompt: making.Prompt = None,
    prompts: making.Prompts = None,
    out: making.Out = Path(),
    negative: making.Negative = None,
    strength: Annotated[
        str,
        typer.Option(
            "--strength", metavar="X,…", help="Values, or first..last:step, of how far the input is changed."
        ),
    ] = "0.3..0.9:0.2",
    steps: making.Steps = making.DEFAULT.steps,
    guidance: Annotated[
        str,
        typer.Option(
            "--guidance", metavar="X,…", help="Values, or first..last:step, of the prompt's weight."
        ),
    ] = "5,7.5,10",
    images: making.Images = making.DEFAULT.images,
    seed: making.Seed = None,
    width: making.Width = making.DEFAULT.width,
    height: making.Height = None,
    model: making.Model = making.DEFAULT.model,
    revision: making.Revision = None,
    dtype: making.Dtype = making.DEFAULT.dtype,
    background: making.Background = making.DEFAULT.background,
    host: making.Host = None,
    inventory: Inventory = None,
    detach: making.Detach = False,
    device: making.Device = "auto",
    overwrite: making.Overwrite = False,
    force: making.Force = False,
    as_json: Json = False,
) -> None:
    """Try strengths and guidances: one job, one seed, and a contact sheet of each picture.

    Example: sdops sweep photo.jpg "a hat" --strength 0.3..0.9:0.2 --guidance 5,9
    """
    from sdops.jobs.request import ask, draw_seed
    from sdops.jobs.values import values

    strengths, guidances = values(strength, "strength"), values(guidance, "guidance")
    settings = Settings(
        model=model,
        revision=revision or None,
        dtype=dtype,
        width=width,
        height=height,
        strength=strengths[0],
        steps=steps,
        guidance=guidances[0],
        negative_prompt=negative or None,
        images=images,
        seed=draw_seed() if seed is None else seed,
        background=background,
    )
    cells = [(one, other) for one in strengths for other in guidances]
    asked = replace(ask(words, prompt or (), prompts, settings, cells), drawn=seed is None)
    where = making.Where(host, inventory or (), out, device, overwrite, detach, force)
    making.tell(making.make(asked, where, as_json), as_json)
