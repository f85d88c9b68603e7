"""Inputs with structure, draws of them, and how far pictures are apart. Python 3.9."""

from types import SimpleNamespace

import numpy
from PIL import Image
from sdops_runtime.pipeline import Draw


def picture(size, turn=0):
    """Three ramps in different directions; turn: 0 to 2, which channel has which."""
    ramps = [
        Image.linear_gradient("L").rotate(90 * number).resize(size, Image.BILINEAR) for number in range(3)
    ]
    return Image.merge("RGB", ramps[turn:] + ramps[:turn])


def draws(size, number):
    """Draws of three inputs and two prompts, one for each slot."""
    return [
        Draw(picture(size, slot % 3), str(slot % 3), f"a hat {slot % 2}", 50 + slot, slot)
        for slot in range(number)
    ]


def make(engine, wanted, batch, recipe, told=None):
    """The pictures of some draws. told: gets what is to be known of them."""
    said = [] if told is None else told
    return engine.make(
        wanted, recipe, batch, lambda done, of: None, on_notice=lambda code, message: said.append(message)
    )


def values(made):
    """The values of pictures as whole numbers, of shape (pictures, height, width, 3)."""
    return numpy.stack([numpy.asarray(one.image).astype(int) for one in made])


def steep(stock, channels=32):
    """A pipeline whose UNet takes the most memory by far, as the real one's does, in the place of the demo's.

    stock: has the other parts. channels: of its uppermost level.
    """
    import diffusers
    import torch

    torch.manual_seed(3)
    shape = {"cross_attention_dim": 32, "norm_num_groups": 8, "attention_head_dim": 8}
    levels = (channels, channels, 2 * channels, 2 * channels)
    unet = diffusers.UNet2DConditionModel(sample_size=32, block_out_channels=levels, **shape)
    vae = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=(4, 4, 4, 4),
        norm_num_groups=2,
        layers_per_block=1,
    )
    parts = {name: getattr(stock, name) for name in ("tokenizer", "text_encoder", "scheduler")}
    return SimpleNamespace(unet=unet.eval(), vae=vae.eval(), safety_checker=None, **parts)
