"""``sdops run``: new pictures from images and prompts."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from sdops_runtime.protocol import Settings

from sdops.commands import making
from sdops.commands.options import Inventory, Json


def run(
    words: making.Words,
    prompt: making.Prompt = None,
    prompts: making.Prompts = None,
    out: making.Out = Path(),
    negative: making.Negative = None,
    strength: Annotated[
        float, typer.Option("--strength", metavar="X", help="How far the input is changed: above 0, up to 1.")
    ] = making.DEFAULT.strength,
    steps: making.Steps = making.DEFAULT.steps,
    guidance: Annotated[
        float,
        typer.Option(
            "--guidance", metavar="X", help="Weight of the prompt: 0 to 100; 1 or less turns it off."
        ),
    ] = making.DEFAULT.guidance,
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
    """Make new pictures from images and prompts.

    Example: sdops run photo.jpg "wearing a christmas hat" --images 3
    """
    from sdops.jobs.request import ask, draw_seed

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
    where = making.Where(host, inventory or (), out, device, overwrite, detach, force)
    making.tell(making.make(asked, where, as_json), as_json)
