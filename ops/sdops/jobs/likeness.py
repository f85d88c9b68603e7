"""How far apart two pictures are, in pixels. No I/O here."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Likeness:
    """Two RGB pictures, compared value by value: three to a pixel, each 0 to 255.

    differing: share of the values that differ, 0 to 1. largest, mean: of the differences. psnr: peak
    signal-to-noise ratio in dB, None where nothing differs. All None for pictures of two sizes.
    """

    differing: float | None
    largest: int | None
    mean: float | None
    psnr: float | None

    @property
    def identical(self) -> bool:
        """Whether every value is the same."""
        return self.differing == 0


def compare(one: "Image", other: "Image") -> Likeness:
    """How far apart two RGB pictures are."""
    from PIL import ImageChops

    if one.size != other.size:
        return Likeness(None, None, None, None)
    counts = ImageChops.difference(one, other).histogram()  # 256 numbers for each of the three colours
    by_size = [sum(counts[size::256]) for size in range(256)]
    values = sum(by_size)
    squares = sum(count * size**2 for size, count in enumerate(by_size)) / values
    return Likeness(
        differing=1 - by_size[0] / values if by_size[0] < values else 0.0,
        largest=max(size for size, count in enumerate(by_size) if count),
        mean=sum(count * size for size, count in enumerate(by_size)) / values,
        psnr=10 * math.log10(255**2 / squares) if squares else None,
    )
