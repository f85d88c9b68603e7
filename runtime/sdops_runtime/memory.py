"""What fits into a GPU's memory: how a job's pictures are made there, planned before any memory is taken.

How much memory a picture takes stands in memory.json, which ``make memory`` measures: the model's own
networks run with shapes and no values, and every tensor's life is counted. No GPU was at hand for that, so
what has no tensor is a margin: ``USABLE`` and ``SPARE``. A plan that was too bold costs a repetition, for
memory that really runs out is met a rung lower; see ``Engine.make``. No I/O but memory.json, no torch.
"""

import functools
import json
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from sdops_runtime import tiles
from sdops_runtime.errors import SdopsError

MIB = 1 << 20
#: Part of the free memory that is planned with. torch's allocator hands out pieces of blocks that were cut
#: for other tensors, and cannot join what lies apart. Assumed, not measured.
USABLE = 0.9
#: Bytes that are left for what takes memory after the model is loaded: kernels' code, which CUDA loads when
#: first used, workspaces of cuBLAS (8 to 32 MiB) and cuDNN, 256 encoded prompts and inputs (50 MiB). Assumed.
SPARE = 256 * MIB
#: Bytes of CUDA's own context, with the libraries' code: 300 to 500 MiB are reported for torch.
CONTEXT = 500 * MIB
#: No more at once than this. An A100 makes 22, 46 and 48 UNet passes a second at 1, 4 and 16 pictures
#: (diffusers' own page on speed with PyTorch 2): more adds nothing but waiting for the first.
LARGEST_BATCH = 8
#: A rung that saves less than this part is left out.
WORTH = 0.05
#: What a picture is made of, and where memory may run out: "rest" is what no rung makes smaller.
UNET, VAE, REST = "unet", "vae", "rest"
#: Bytes a value in each number format.
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
#: Least side of a picture, in pixels; see ``protocol``.
_LEAST = 64


@dataclass(frozen=True)
class Network:
    """What computes. architecture: sd1 or demo. generation: of the libraries, guide or today. dtype: by name.

    exact: whether the architecture is the very one; for others nothing is refused beforehand.
    """

    architecture: str = "sd1"
    generation: str = "guide"
    dtype: str = "float16"
    exact: bool = True


@dataclass(frozen=True)
class Rung:
    """How pictures are made: the top of the ladder is all at once, and all of one at once.

    batch: pictures at once. sliced: attention one head at a time. halved: with and without the prompt one
    after the other. tiled: the VAE in tiles (see ``tiles``). The VAE always takes one picture at a time.
    """

    batch: int
    sliced: bool = False
    halved: bool = False
    tiled: bool = False

    def __str__(self) -> str:
        """The lowered parts, as records have them; empty for none."""
        return ", ".join(name for name in ("sliced", "halved", "tiled") if getattr(self, name))


@dataclass(frozen=True)
class Plan:
    """rung: how the pictures are to be made. needed: bytes that takes, None on a CPU.

    notices: a sentence for each part that is lowered.
    """

    rung: Rung
    needed: Optional[int] = None
    notices: tuple[str, ...] = ()


def plan(
    free_bytes: Optional[int],
    width: int,
    height: int,
    network: Network,
    total: int,
    *,
    batch: Optional[int] = None,
    guided: bool = True,
    ceiling: Optional[Rung] = None,
    even: Callable[[int], int] = lambda most: most,
    name: str = "the GPU",
) -> Plan:
    """How ``total`` pictures of width x height pixels are made: the highest rung that fits.

    free_bytes: free memory after the model is loaded; None for a CPU, where one at a time is as fast and
    keeps the memory flat. batch: the size that was asked for, or chosen before; only its divisors take its
    place, so that a picture's slot is its number modulo either. guided: whether guidance doubles the batch.
    ceiling: no rung above this. even: the batch size to take, where none was asked for, of those up to the
    largest that fits. name: of the device, for messages.

    Raises SdopsError("out-of-memory") with the size that would fit, if this one does not.
    """
    asked = batch or (1 if free_bytes is None else min(total, LARGEST_BATCH))
    ladder = [*_unet_rungs(network, width, height, asked, batch is not None, guided)]
    vae = [*_vae_rungs(network, width, height)]
    if ceiling is not None:
        ladder = [one for one in ladder if _below(one, ceiling)] or ladder[-1:]
        vae = [one for one in vae if one >= ceiling.tiled] or vae[-1:]
    if free_bytes is None:
        rung = replace(ladder[0], tiled=vae[0])
        return Plan(rung, None, tuple(lowered(Rung(asked), rung, width, height)))
    room = usable(free_bytes)
    fits = [one for one in ladder if unet_bytes(network, width, height, one, guided) <= room]
    tiled = [one for one in vae if vae_bytes(network, width, height, one) <= room]
    if (not fits or not tiled) and network.exact:
        raise refusal(free_bytes, width, height, network, guided, name)
    rung = replace((fits or ladder[-1:])[0], tiled=(tiled or vae[-1:])[0])
    lacks = rung.batch < asked
    if batch is None and rung.batch > 1:
        rung = replace(rung, batch=even(rung.batch))
    # Fewer at once that fill the batches better are no news.
    told = tuple(lowered(Rung(asked if lacks else rung.batch), rung, width, height))
    return Plan(rung, needed(network, width, height, rung, guided), told)


def lower(
    network: Network, rung: Rung, stage: str, width: int, height: int, guided: bool = True
) -> Optional[Rung]:
    """The next rung, after memory ran out in a stage; None if there is none."""
    if stage == VAE:
        tiles_help = len(_vae_rungs(network, width, height)) > 1
        return replace(rung, tiled=True) if tiles_help and not rung.tiled else None
    if stage == UNET:
        steps = _unet_rungs(network, width, height, rung.batch, True, guided)
        below = (replace(one, tiled=rung.tiled) for one in steps if one != replace(rung, tiled=False))
        return next((one for one in below if _below(one, rung)), None)
    return None


def lowered(before: Rung, after: Rung, width: int, height: int) -> Iterator[str]:
    """What a step from one rung to another means, for people: a sentence a part."""
    size = f"{width}x{height}"
    if after.batch < before.batch:
        at_once = f"{after.batch} at a time" if after.batch > 1 else "one at a time"
        yield f"Pictures of {size} are made {at_once} instead of {before.batch}, to fit into memory."
    if after.sliced > before.sliced:
        yield f"Attention is sliced for {size}, to fit into memory, which is slower."
    if after.halved > before.halved:
        yield (
            f"With and without the prompt are computed one after the other for {size}, to fit into memory, "
            "which is slower."
        )
    if after.tiled > before.tiled:
        yield (
            f"Pictures of {size} are encoded and decoded in tiles, to fit into memory: they may "
            "differ a little from whole ones, most at the tiles' borders."
        )


def refusal(
    free_bytes: Optional[int], width: int, height: int, network: Network, guided: bool, name: str
) -> SdopsError:
    """What is said of a size that does not fit on any rung, with one that would."""
    last = last_rung(network, width, height, guided)
    what = f"A picture of {width}x{height} does not fit into the memory of {name}"
    smaller = largest_fit(free_bytes, width, height, network, guided)
    hint = "Close what else uses the GPU (nvidia-smi lists it)."
    if smaller is not None:
        hint = f"Use --width {smaller[0]} (for {smaller[0]}x{smaller[1]}), or close what else uses the GPU."
    if free_bytes is None:
        return SdopsError("out-of-memory", f"{what}.", hint)
    takes = needed(network, width, height, last, guided)
    return SdopsError(
        "out-of-memory",
        f"{what}: it takes about {gib(takes)}, and {gib(usable(free_bytes))} can be had beside the model.",
        hint,
    )


def largest_fit(
    free_bytes: Optional[int], width: int, height: int, network: Network, guided: bool = True
) -> Optional[tuple[int, int]]:
    """The largest smaller size of that aspect that fits on the last rung; None if there is none.

    Without free_bytes, or where the size itself was thought to fit, one of two thirds of the pixels at most.
    """
    for smaller in range(width - 8, _LEAST - 8, -8):
        size = smaller, max(_LEAST, round(height * smaller / width / 8) * 8)
        if free_bytes is not None and not _fits(free_bytes, width, height, network, guided):
            if _fits(free_bytes, *size, network, guided):
                return size
        elif 3 * size[0] * size[1] <= 2 * width * height:
            return size
    return None


def last_rung(network: Network, width: int, height: int, guided: bool = True) -> Rung:
    """What takes the least memory."""
    *_, unet = _unet_rungs(network, width, height, 1, True, guided)
    *_, tiled = _vae_rungs(network, width, height)
    return replace(unet, tiled=tiled)


def needed(network: Network, width: int, height: int, rung: Rung, guided: bool = True) -> int:
    """Bytes of working memory that a rung takes, beside the model: the larger one of its two peaks."""
    return max(
        unet_bytes(network, width, height, rung, guided), vae_bytes(network, width, height, rung.tiled)
    )


def unet_bytes(network: Network, width: int, height: int, rung: Rung, guided: bool = True) -> int:
    """Bytes at the UNet's peak."""
    rows = rung.batch * (2 if guided and not rung.halved else 1)
    return _peak(network, "unet sliced" if rung.sliced else "unet", width, height, rows)


def vae_bytes(network: Network, width: int, height: int, tiled: bool) -> int:
    """Bytes at the VAE's peak, encoding or decoding."""
    return _peak(network, "vae tiled" if tiled and tiles.needed(width, height) else "vae", width, height, 1)


def resident(network: Network) -> int:
    """Bytes that are taken before any picture is made: the model's own numbers, and CUDA's context."""
    return weights(network) + CONTEXT


def weights(network: Network) -> int:
    """Bytes of the model's own numbers."""
    return int(_table()["parameters"][network.architecture]) * BYTES[network.dtype]


def usable(free_bytes: int) -> int:
    """Of free bytes those that are planned with."""
    return max(0, int(free_bytes * USABLE) - SPARE)


def unusable(bytes_needed: int) -> int:
    """Free bytes that there must be for so many to be usable."""
    return int((bytes_needed + SPARE) / USABLE) + 1


def gib(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**30:.1f} GiB"


def _fits(free_bytes: int, width: int, height: int, network: Network, guided: bool) -> bool:
    last = last_rung(network, width, height, guided)
    return needed(network, width, height, last, guided) <= usable(free_bytes)


def _unet_rungs(
    network: Network, width: int, height: int, batch: int, divisors: bool, guided: bool
) -> Iterator[Rung]:
    """The rungs of the UNet from a batch size down; those that would not save anything are left out."""
    for size in range(batch, 0, -1):
        if not divisors or batch % size == 0:
            yield Rung(size)
    last = Rung(1)
    for lower in ({"sliced": True}, {"halved": True}):
        one = replace(last, **lower)
        if _saves(
            unet_bytes(network, width, height, last, guided), unet_bytes(network, width, height, one, guided)
        ):
            last = one
            yield last


def _vae_rungs(network: Network, width: int, height: int) -> Sequence[bool]:
    """Whether the VAE works in tiles: no, then yes, if that saves anything."""
    whole, tiled = (vae_bytes(network, width, height, tiled) for tiled in (False, True))
    return (False, True) if _saves(whole, tiled) else (False,)


def _below(one: Rung, ceiling: Rung) -> bool:
    return one.batch <= ceiling.batch and one.sliced >= ceiling.sliced and one.halved >= ceiling.halved


def _saves(before: int, after: int) -> bool:
    return after <= before * (1 - WORTH)


def _peak(network: Network, part: str, width: int, height: int, rows: int) -> int:
    """Bytes of a part at its peak, by the table; rows: of its batch."""
    tokens = -(-width // 8) * -(-height // 8)
    number = "float32" if network.dtype == "float32" else "half"
    peaks = _table()["peaks"][network.architecture][network.generation][number][part]
    found = max(
        row * rows * tokens + square * rows * tokens**2 + once * tokens**2 + fixed
        for row, square, once, fixed in peaks
    )
    return int(found)


@functools.cache
def _table() -> Any:
    read = pkgutil.get_data(__name__, "memory.json")
    assert read is not None
    return json.loads(read)
