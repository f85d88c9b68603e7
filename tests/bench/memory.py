"""How much memory a picture takes: measures it for both generations, and writes the runtime's memory.json.

    make memory                          (here: python -m bench.memory, which calls itself under the guide's)

What is measured: the engine's own sampling loop and VAE calls run on the real architectures, on torch's
``meta`` device, where tensors have shapes and no values; doubles.allocator counts the bytes of all living
tensors and their peak. So every tensor that the two diffusers make is in it, exactly.

What is not: what no tensor holds. On a GPU that is workspaces, kernels' code, the context, and what an
allocator cannot use of its blocks; no GPU was at hand, so memory.py has margins for them. And of four
operations it counts what a GPU's kernel makes, because ``meta`` would take other ways: a convolution, a
group norm and a layer norm make one tensor of their result (of an input that is not contiguous they make
that first), and today's attention makes its result and keeps no scores, as its fused kernels do, with one
more of float32 for the VAE's, whose one head is too wide for the fastest of them.

A curve is laid over the points: a part that grows with the tokens, one with their square, for each row of
the batch, and one with their square once. It is never below a point. tests/runtime/test_memory.py holds
points in between against it. Python 3.9.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parents[2]
OUT = ROOT / "runtime" / "sdops_runtime" / "memory.json"
GUIDE = ROOT / ".venv-guide" / "bin" / "python"

SIZES = [(128, 128), (256, 256), (512, 512), (512, 768), (768, 768), (1024, 1024), (1536, 1536), (2048, 2048)]
ROWS = (1, 4)
#: A curve may lie this part below a point; the margins are larger.
FUZZ = 0.01

_SD1_VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
#: Of the text encoder and the safety checker of Stable Diffusion 1.4; and of all of the demo, see ``demo``.
_SD1_OTHERS = 123_060_480 + 303_981_588


def main(words):
    """Prints this generation's measurements, or has both measured and writes the file."""
    if words == ["measure"]:
        print(json.dumps(measure()))
        return
    found = {"peaks": {"sd1": {}, "demo": {}}}
    pythons = {"guide": GUIDE, "today": sys.executable}
    measuring = {
        name: subprocess.Popen([python, "-m", "bench.memory", "measure"], stdout=subprocess.PIPE, text=True)
        for name, python in pythons.items()
    }
    for name, process in measuring.items():
        said = json.loads(process.communicate()[0])
        found["parameters"] = said["parameters"]
        for architecture, peaks in said["peaks"].items():
            found["peaks"][architecture][name] = peaks
    about = (
        "Bytes at the peak, as sums of: times rows and tokens, times rows and tokens squared, times tokens "
        "squared, fixed; the largest counts. A token is 8x8 pixels. Written by make memory: see "
        "tests/bench/memory.py for what is measured, and how."
    )
    OUT.write_text(_pretty({"about": about, **found}))


def _pretty(found):
    """JSON with a line for each part."""
    text = json.dumps(found, indent=1, ensure_ascii=False)
    lines, depth = [], 0
    for line in text.split("\n"):
        bare = line.strip()
        if depth:
            lines[-1] += (" " if lines[-1].endswith(",") else "") + bare
        else:
            lines.append(line)
        depth += bare.count("[") - bare.count("]")
    return "\n".join(lines) + "\n"


def measure():
    """The peaks of both architectures in this generation."""
    from sdops_runtime import dialect

    dialect.libraries()
    peaks, parameters = {}, {}
    for architecture in ("sd1", "demo"):
        peaks[architecture] = {}
        for number, dtype in (("half", "float16"), ("float32", "float32")):
            with shapes_only():
                engine = engine_of(architecture, dtype)
                peaks[architecture][number] = {
                    "unet": curve(unet_points(engine, sliced=False)),
                    "unet sliced": curve(unet_points(engine, sliced=True)),
                    "vae": curve(vae_points(engine, tiled=False)),
                    "vae tiled": tile_curve(vae_points(engine, tiled=True)),
                }
        parts = (engine._pipeline.unet, engine._pipeline.vae)
        parameters[architecture] = sum(one.numel() for part in parts for one in part.parameters())
    parameters["sd1"] += _SD1_OTHERS
    return {"peaks": peaks, "parameters": parameters}


def engine_of(architecture, dtype):
    """An engine whose networks have shapes and no values. To be made, and used, under ``shapes_only``."""
    import diffusers
    import torch
    from sdops_runtime import demo, device, dialect, pipeline

    unet, vae = {"sample_size": 64, "cross_attention_dim": 768}, _SD1_VAE
    if architecture == "demo":
        unet, vae = (
            {key: value for key, value in config.items() if not key.startswith("_")}
            for config in (demo._UNET, demo._VAE)
        )
    number = getattr(torch, dtype)
    with dialect.quiet():
        made = SimpleNamespace(
            unet=diffusers.UNet2DConditionModel(**unet).to("meta", number).eval(),
            vae=diffusers.AutoencoderKL(**vae).to("meta", number).eval(),
            scheduler=diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
            safety_checker=None,
        )
    engine = pipeline.Engine(made, device.Device("meta", "shapes only"), number)
    text = torch.empty(1, 77, unet["cross_attention_dim"], device="meta", dtype=number)
    engine._encode_prompt = lambda prompt, negative=False: text
    return engine


@contextlib.contextmanager
def shapes_only():
    """Has torch make what a GPU's kernels would make, of tensors without values; see above."""
    import torch
    from torch.nn import functional, init

    def convolution(values, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        values = values.contiguous()
        steps, pads = ((one, one) if isinstance(one, int) else one for one in (stride, padding))
        sides = [
            (side + 2 * pad - kernel) // step + 1
            for side, pad, kernel, step in zip(values.shape[2:], pads, weight.shape[2:], steps)
        ]
        return values.new_empty((values.shape[0], weight.shape[0], *sides))

    def norm(values, *_):
        values = values.contiguous()
        return values.new_empty(values.shape)

    def attention(query, key, value, *_, **words):
        out = query.new_empty(query.shape)
        if query.shape[-1] > 256:
            query.new_empty(query.shape, dtype=torch.float32)
        return out

    changed = [(functional, "conv2d", convolution), (torch, "group_norm", norm), (torch, "layer_norm", norm)]
    if hasattr(functional, "scaled_dot_product_attention"):
        changed.append((functional, "scaled_dot_product_attention", attention))
    # Gigabytes of random weights that nobody reads.
    changed += [
        (init, name, lambda values, *_, **words: values)
        for name in dir(init)
        if name.endswith("_") and not name.startswith("_")
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in changed]
    for place, name, new in changed:
        setattr(place, name, new)
    try:
        yield
    finally:
        for place, name, old in before:
            setattr(place, name, old)


def peak_of(call):
    """Bytes of tensors at the peak of a call."""
    import torch
    from doubles import allocator

    with torch.no_grad(), allocator.Memory() as memory:
        call()
    return memory.peak


def sampled(engine, size, rung, guided=True):
    """The peak of sampling, with encoded inputs at hand."""
    from PIL import Image
    from sdops_runtime.pipeline import Draw, Recipe

    image = Image.new("RGB", size)
    draws = [Draw(image, "", "", slot, slot) for slot in range(rung.batch)]
    recipe = Recipe(1.0, 2, 7.5 if guided else 1.0)
    latent = _latent(engine, size)
    engine._encode_input = lambda draw, tiled: (latent, latent)
    try:
        return peak_of(lambda: engine._sample(draws, recipe, rung.batch, rung, lambda done, of: None))
    finally:
        del engine._encode_input


def coded(engine, size, tiled):
    """The larger peak of encoding and decoding."""
    from PIL import Image
    from sdops_runtime.pipeline import Draw

    engine._inputs.clear()
    draw = Draw(Image.new("RGB", size), "", "", 0)
    encoded = peak_of(lambda: engine._encode_input(draw, tiled))
    latent = _latent(engine, size)
    return max(encoded, peak_of(lambda: engine._decoded(latent, tiled)))


def _latent(engine, size):
    import torch

    return torch.empty(1, 4, size[1] // 8, size[0] // 8, device="meta", dtype=engine._dtype)


def unet_points(engine, sliced):
    """(rows, tokens, bytes)"""
    from sdops_runtime.memory import Rung

    return [
        (rows, size[0] * size[1] // 64, sampled(engine, size, Rung(rows, sliced=sliced), guided=False))
        for size in SIZES
        for rows in ROWS
    ]


def vae_points(engine, tiled):
    """(1, tokens, bytes)"""
    from sdops_runtime import tiles

    return [
        (1, size[0] * size[1] // 64, coded(engine, size, tiled))
        for size in SIZES
        if tiles.needed(*size) or not tiled
    ]


def curve(points):
    """The peaks that points lie below: one with the squares, and one that grows with the tokens alone."""
    rows, small, large = points[0][0], *sorted({tokens for _, tokens, _ in points})[-2:]
    value = {(row, tokens): size for row, tokens, size in points}

    def bend(row):
        """How much bytes a token grow from token to token."""
        return max(0.0, (value[row, large] / large - value[row, small] / small) / (large - small))

    each, once = bend(rows) / rows, 0.0
    if (ROWS[1], large) in value:
        each = (bend(ROWS[1]) - bend(rows)) / (ROWS[1] - rows)
        once = bend(rows) - each * rows
    each, once = _tidy(each), _tidy(once)

    def left(row, tokens, size):
        return (size - (each * row + once) * tokens**2) / (row * tokens)

    first = _tidy(max(left(*point) for point in points if point[1] in (small, large)))
    found = [[first, each, once, 0]]
    above = [
        size / (row * tokens)
        for row, tokens, size in points
        if size * (1 - FUZZ) > first * row * tokens + (each * row + once) * tokens**2
    ]
    if above:
        found.append([_tidy(max(above)), 0, 0, 0])
    return found


def tile_curve(points):
    """One peak: a tile's, and what grows with the picture."""
    (_, small, low), (_, large, high) = min(points), max(points)
    slope = _tidy(max(0.0, (high - low) / (large - small)))
    return [[slope, 0, 0, _tidy(max(size - slope * tokens for _, tokens, size in points))]]


def _tidy(value):
    """To four figures, and nothing for what is as good as nothing."""
    if value < 1e-2:
        return 0
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded == int(rounded) else rounded


if __name__ == "__main__":
    main(sys.argv[1:])
