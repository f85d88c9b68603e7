"""What the two measured processes share: one JSON object a line in, one out; times; a picture's first event.

python -m sdops_runtime.bench.guide MODEL INPUT DEVICE        (or: bench.ours)
"""

import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

PROMPT = "wearing a christmas hat"
#: Calls before those that count, and calls in all where a UNet's are timed.
UNCOUNTED, CALLS = 2, 22


def answer(commands: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """Answers lines such as {"do": "make", "images": 1, …} until the input ends."""
    for line in sys.stdin:
        words = json.loads(line)
        try:
            told = dict(commands[words.pop("do")](**words))
        except Exception as error:  # what fails is a result here, such as too little memory
            told = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"}
        print("\n" + json.dumps(told), flush=True)  # noqa: T201


def synchronize() -> None:
    """Waits until the GPU has done everything."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(act: Callable[[], Any], times: int, device: str) -> float:
    """Median milliseconds of a call, each waited for, after some that do not count."""
    taken = []
    for number in range(times + UNCOUNTED):
        synchronize()
        began = time.perf_counter()
        act()
        synchronize()
        if number >= UNCOUNTED:
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def unet_ms(unet: Any, text_width: int, pixels: tuple[int, int], batch: int, device: str) -> float:
    """Milliseconds of a UNet call for ``batch`` pictures with guidance."""
    import torch

    values = next(unet.parameters())
    width, height = pixels
    generator = torch.Generator("cpu").manual_seed(0)

    def drawn(*shape: int) -> Any:
        return torch.randn(shape, generator=generator).to(values.device, values.dtype)

    sample, text = drawn(2 * batch, 4, height // 8, width // 8), drawn(2 * batch, 77, text_width)
    timestep = torch.tensor(501, device=values.device)

    def call() -> None:
        with torch.no_grad():
            unet(sample, timestep, encoder_hidden_states=text)

    return timed(call, CALLS - UNCOUNTED, device)


def memory(device: str) -> Mapping[str, Any]:
    """Peak GPU memory in GiB since it was asked last; None without a GPU."""
    import torch

    if device != "cuda":
        return {"vram_gib": None}
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return {"vram_gib": peak}


def arguments() -> tuple[Path, Path, str, int, list[str]]:
    """Model, input, device, steps, and switches to turn on."""
    model, source, device, steps, *switches = sys.argv[1:]
    return Path(model), Path(source), device, int(steps), switches
