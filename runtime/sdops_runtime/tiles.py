"""The VAE in overlapping tiles, for pictures whose whole does not fit: one way of it for both generations.

The guide's diffusers has none, today's has one whose last tiles are narrower than the others. Here all tiles
are of one size, so that memory and kernels are the same for each, and their overlaps fade linearly.

The VAE looks at a picture as a whole (its normalisation, and one layer of attention), so tiles differ a
little from it. Imports torch inside functions.
"""

from collections.abc import Sequence
from typing import Any, Callable

#: Side of a tile, and least overlap of two, in pixels. The side is the model's own; the overlap is a
#: quarter of it, as in diffusers' tiling.
SIDE = 512
OVERLAP = 128
#: Pixels to a latent value, each way.
SCALE = 8


def needed(width: int, height: int) -> bool:
    """Whether a picture of that size is more than one tile."""
    return max(width, height) > SIDE


def encode(vae: Any, pixels: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of the latents of ``pixels`` (1, 3, height, width)."""
    import torch

    def part(tile: Any) -> Any:
        found = vae.encode(tile).latent_dist
        return torch.cat([found.mean, found.std], dim=1)

    both = _in_tiles(pixels, part, 1, SCALE).to(pixels.dtype)
    mean, deviation = both.chunk(2, dim=1)
    return mean.contiguous(), deviation.contiguous()


def decode(vae: Any, latents: Any) -> Any:
    """The pixels, float32, of ``latents`` (1, 4, height/8, width/8)."""
    return _in_tiles(latents, lambda tile: vae.decode(tile).sample, SCALE, 1)


def _in_tiles(whole: Any, part: Callable[[Any], Any], times: int, divided: int) -> Any:
    """What ``part`` makes of the tiles of ``whole``, faded into one, in float32.

    times, divided: how many values, each way, come of one, or of how many one comes.
    """
    import torch

    latent = SCALE if times > 1 else 1
    side, overlap = SIDE // latent, OVERLAP // latent
    tall, wide = whole.shape[2:]
    total: Any = None
    for top in _starts(tall, side, overlap):
        for left in _starts(wide, side, overlap):
            made = part(whole[:, :, top : top + side, left : left + side].contiguous()).float()
            weight = _ramp(made, 2) * _ramp(made, 3)
            if total is None:
                shape = (1, made.shape[1], tall * times // divided, wide * times // divided)
                total = torch.zeros(shape, dtype=torch.float32, device=whole.device)
                weights = torch.zeros((1, 1, *shape[2:]), dtype=torch.float32, device=whole.device)
            at, along = top * times // divided, left * times // divided
            rows, columns = slice(at, at + made.shape[2]), slice(along, along + made.shape[3])
            total[:, :, rows, columns] += made * weight
            weights[:, :, rows, columns] += weight
    return total.div_(weights)


def _starts(length: int, side: int, overlap: int) -> Sequence[int]:
    """Where tiles begin: the fewest that overlap enough, evenly spread, in steps of whole latents."""
    if length <= side:
        return (0,)
    step = SCALE if side == SIDE else 1
    gaps = -(-(length - side) // (side - overlap))
    return [(length - side) * number // gaps // step * step for number in range(gaps)] + [length - side]


def _ramp(made: Any, axis: int) -> Any:
    """Weights along one axis of a tile: 1 in the middle, falling to nearly 0 over the overlap."""
    import torch

    length = made.shape[axis]
    fade = max(1, length * OVERLAP // SIDE)
    places = torch.arange(length, dtype=torch.float32, device=made.device)
    weights = torch.minimum(places + 1, length - places).clamp(max=fade) / fade
    shape = [1, 1, 1, 1]
    shape[axis] = length
    return weights.reshape(shape)
