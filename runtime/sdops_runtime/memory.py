"""How many pictures to make at once: a plan made before any memory is taken.

A first version: what one picture needs is derived from the network's shapes,
not measured, and errs on the large side. No I/O here, no torch.
"""

from dataclasses import dataclass
from typing import Optional

#: Part of the free memory that is planned with; allocators round up and fragment.
USABLE = 0.8
#: No more at once than this: beyond it a modern GPU is busy and only the wait grows.
LARGEST_BATCH = 8
#: Attention heads of Stable Diffusion v1's UNet at its largest level.
HEADS = 8
#: Bytes a value in each number format.
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Plan:
    """batch: the job's fixed physical batch size. needed: bytes one picture takes, None on a CPU."""

    batch: int
    needed: Optional[int] = None


def plan(free_bytes: Optional[int], width: int, height: int, dtype: str, total: int) -> Plan:
    """The batch size for a job of ``total`` pictures of width x height pixels.

    free_bytes: free GPU memory after the model is loaded; None for a CPU, where
    one at a time is as fast and keeps the memory flat.
    """
    if free_bytes is None:
        return Plan(1)
    needed = picture_bytes(width, height, dtype)
    fits = int(free_bytes * USABLE // needed)
    return Plan(max(1, min(fits, LARGEST_BATCH, total)), needed)


def picture_bytes(width: int, height: int, dtype: str) -> int:
    """Upper estimate of the working memory of one picture, in bytes.

    The larger of two peaks. UNet: the attention scores of the largest level
    without a fused kernel, (width/8 x height/8) squared values a head, for the
    two halves of guidance, held twice (before and after the softmax). VAE
    decoder: 256 channels at full size, held three times (input, norm, output).
    """
    tokens = (width // 8) * (height // 8)
    scores = tokens * tokens * HEADS * 2 * 2
    decoder = width * height * 256 * 3
    return max(scores, decoder) * BYTES[dtype]
