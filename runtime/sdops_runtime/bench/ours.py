"""This runtime, as a process that is told when to make how many pictures: whole jobs, from file to file."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from sdops_runtime import compiling, job, pipeline, tuning
from sdops_runtime.bench import child
from sdops_runtime.course import Place
from sdops_runtime.process import age
from sdops_runtime.protocol import Event, JobRequest, Settings

model, source, device, steps, switches = child.arguments()


class Runtime:
    """A model that stays loaded, as the worker keeps it."""

    def __init__(self) -> None:
        self._loaded: Any = None

    def make(self, images: int, out: str, batch: Optional[int] = None) -> Mapping[str, Any]:
        """A job; loads the model if that has not been done."""
        from PIL import Image

        with Image.open(source) as image:
            width = image.width
        settings = Settings(str(model), width=width, steps=steps, images=images)
        request = JobRequest((source.name,), (child.PROMPT,), settings, batch)
        began = time.perf_counter()
        told: dict[str, Any] = {"first_s": None, "retried": 0}

        def emit(event: Event) -> None:
            told[event.kind] = event.data
            told["retried"] += bool(event.data.get("retried"))
            if event.kind == "image" and told["first_s"] is None:
                told["first_s"] = time.perf_counter() - began

        place = Place(Path(out), device, overwrite=True)
        last = job.run(request, [source], place, emit, loader=self._load)
        if last.kind != "done":
            return {"error": last.data.get("message", last.kind)}
        if last.data["failed"]:
            return {"error": f"{last.data['failed']} of {images} pictures could not be made"}
        return {
            "seconds": time.perf_counter() - began,
            "first_s": told["first_s"],
            "age_s": age(),
            "batch": told["loaded"]["batch"],
            "retried": told["retried"],
            **child.memory(device),
        }

    def _load(self, *words: Any) -> Any:
        if self._loaded is None:
            self._loaded = job.load(*words)
            engine = self._loaded[0]
            tuning.turn_on(engine._pipeline, engine.device.kind, switches)
        return self._loaded

    def unet(self, batch: int) -> Mapping[str, Any]:
        """What one call of the UNet takes."""
        from PIL import Image

        unet = self._engine._pipeline.unet
        with Image.open(source) as image:
            return {"ms": child.unet_ms(unet, unet.config["cross_attention_dim"], image.size, batch, device)}

    def switches(self) -> Mapping[str, Any]:
        """The switches that there are, and what is missing for compiling, None if nothing is."""
        names = [one.name for one in tuning.candidates(self._engine._pipeline, device)]
        return {"names": names, "lacks": self._engine.compiling_lacks}

    def gain(self, batch: int, cache: str) -> Mapping[str, Any]:
        """What a UNet call takes before and after its blocks are compiled, and how long that takes.

        cache: folder for what is compiled. The model stays compiled.
        """
        compiling.keep_in(Path(cache))
        plain = self.unet(batch)["ms"]
        compiling.turn(self._engine._pipeline.unet)
        began = time.perf_counter()
        compiled = self.unet(batch)["ms"]
        calls = child.CALLS * compiled / 1000
        return {
            "plain_ms": plain,
            "compiled_ms": compiled,
            "took_s": max(time.perf_counter() - began - calls, 0.001),
            "device": self._engine.device.name,
            "network": self._engine.network.architecture,
            "dtype": self._engine.dtype,
        }

    def matmul(self) -> Mapping[str, Any]:
        """The most that this device computes, in TFLOP/s: a large product of matrices."""
        import torch

        side = 8192 if device == "cuda" else 2048
        dtype = next(self._engine._pipeline.unet.parameters()).dtype
        one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        return {"tflops": 2 * side**3 / child.timed(lambda: one @ other, 10, device) / 1e9}

    @property
    def _engine(self) -> pipeline.Engine:
        engine: pipeline.Engine = self._loaded[0]
        return engine


if __name__ == "__main__":
    runtime = Runtime()
    child.answer(
        {
            "make": runtime.make,
            "unet": runtime.unet,
            "matmul": runtime.matmul,
            "switches": runtime.switches,
            "gain": runtime.gain,
        }
    )
