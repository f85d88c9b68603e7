"""Models to measure with: Stable Diffusion 1.4's networks in their full size, or the demo's."""

from pathlib import Path
from typing import Any

from sdops_runtime import demo, dialect

#: Configurations of CompVis/stable-diffusion-v1-4, as its files have them, where they differ from the demo's.
_UNET = dict(
    demo.DEMO.unet,
    block_out_channels=[320, 640, 1280, 1280],
    cross_attention_dim=768,
    attention_head_dim=8,
    norm_num_groups=32,
    down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
)
_VAE = dict(demo.DEMO.vae, block_out_channels=[128, 256, 512, 512], norm_num_groups=32)
_TEXT = dict(
    demo.DEMO.text,
    hidden_size=768,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    projection_dim=768,
)
_VISION = dict(
    demo.DEMO.vision,
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=24,
    num_attention_heads=16,
    projection_dim=768,
)
FULL = demo.Shape(_UNET, _VAE, _TEXT, _VISION, vocabulary=49408)

#: Floating point operations of a picture of 512x512 in 50 steps at strength 0.8, 41 UNet calls with guidance,
#: the VAE, the texts and the safety filter; counted in the same way.
FULL_PICTURE_FLOP = 69.7e12
#: Floating point operations of the full UNet for one row of 64x64 latents; half of a call with guidance.
#: Counted by torch.utils.flop_counter, a multiplication and an addition being two.
FULL_UNET_FLOP = 0.80326e12


def ensure(folder: Path, full: bool, device: str) -> Path:
    """The model's folder below ``folder``, built if it is not there. full: float16 files of 2.6 GB."""
    place = folder / ("full" if full else "small")
    if not (place / "model_index.json").is_file():
        if full:
            # The index comes last, so that a build that was stopped is none.
            demo.build(place, FULL, lambda part, name, config: _fill(part, name, config, device))
        else:
            demo.build(place)
    return place


def _fill(folder: Path, component: str, config: dict[str, Any], device: str) -> None:
    """Writes random weights in float16, drawn on the device: a billion of them take a CPU half a minute."""
    import torch

    state = {}
    generator = torch.Generator(device).manual_seed(0)
    for name, like in dialect.empty_state(component, config, fast=True).items():
        if not like.dtype.is_floating_point or name.endswith("_embeds_weights") or _is_norm(name, like):
            state[name] = demo.fill(name, tuple(like.shape), like.dtype)
            if like.dtype.is_floating_point:
                state[name] = state[name].half()
        else:
            drawn = torch.randn(tuple(like.shape), generator=generator, device=device, dtype=torch.float32)
            state[name] = (drawn * demo.gain(name, tuple(like.shape))).half().cpu()
    single = "diffusion_pytorch_model" if component in ("unet", "vae") else None
    if single and not dialect.is_guide_generation():
        from safetensors.torch import save_file

        save_file(state, str(folder / f"{single}.safetensors"), metadata={"format": "pt"})
    else:
        torch.save(state, str(folder / f"{single or 'pytorch_model'}.bin"))


def _is_norm(name: str, like: Any) -> bool:
    return "norm" in name and len(like.shape) == 1
