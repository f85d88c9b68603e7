"""The guide's own script, sections 4.2 to 4.7, as a process that is told when to make how many pictures.

Added to it: the seed, times, and the words that today's libraries have for the same.
"""

import contextlib
import inspect
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sdops_runtime.bench import child
from sdops_runtime.process import age

model, source, device, steps, _ = child.arguments()


@contextlib.contextmanager
def noise_from_cpu() -> Iterator[None]:
    """Draws on the CPU what the guide's libraries draw on the GPU: the noise that this runtime has, too."""
    import torch

    randn = torch.randn

    def drawn(*shape: Any, generator: Any = None, device: Any = None, dtype: Any = None, **rest: Any) -> Any:
        return randn(*shape, generator=generator, dtype=torch.float32).to(device=device, dtype=dtype)

    torch.randn = drawn
    try:
        yield
    finally:
        torch.randn = randn


class Script:
    """The session at the Python prompt that the guide describes."""

    def load(self) -> Mapping[str, Any]:
        """4.2 to 4.5."""
        import torch
        from diffusers import StableDiffusionImg2ImgPipeline
        from PIL import Image

        imported = age()
        call = inspect.signature(StableDiffusionImg2ImgPipeline.__call__).parameters
        self.guides = "init_image" in call
        dtype = torch.float16 if device == "cuda" else torch.float32
        name = "torch_dtype" if self.guides else "dtype"
        pipe = StableDiffusionImg2ImgPipeline.from_pretrained(str(model), **{name: dtype})
        self.pipe = pipe.to(device)
        self.pipe.set_progress_bar_config(disable=True)
        loaded = age()
        input_image = Image.open(source)
        aspect_ratio = input_image.width / input_image.height
        width_new = input_image.width  # the guide's 512, of an input that has it already
        self.image = input_image.resize((width_new, int(width_new / aspect_ratio)), 0)
        return {"imported_s": imported, "loaded_s": loaded, "device": _name(), **_versions()}

    def make(self, images: int, out: str, batch: Any = None, compared: bool = False) -> Mapping[str, Any]:
        """4.7, once for each picture, as its remark on memory advises."""
        import torch

        began = time.perf_counter()
        first = None
        for seed in range(images):
            on = "cpu" if compared or not self.guides else device
            with (
                noise_from_cpu()
                if compared and self.guides and device == "cuda"
                else contextlib.nullcontext()
            ):
                pipe_output = self.pipe(
                    prompt=child.PROMPT,
                    num_inference_steps=steps,
                    generator=torch.Generator(on).manual_seed(seed),
                    **{"init_image" if self.guides else "image": self.image},
                )
            pipe_output.images[0].save(Path(out) / f"{seed}.png")
            first = first or time.perf_counter() - began
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "first_s": first,
            "age_s": age(),
            "batch": 1,
            **child.memory(device),
        }

    def unet(self, batch: int) -> Mapping[str, Any]:
        """What one call of the UNet takes."""
        width = self.pipe.unet.config["cross_attention_dim"]
        return {"ms": child.unet_ms(self.pipe.unet, width, self.image.size, batch, device)}


def _name() -> str:
    import torch

    return torch.cuda.get_device_name(0) if device == "cuda" else "CPU"


def _versions() -> Mapping[str, Any]:
    import torch

    from sdops_runtime import dialect

    return {"versions": dialect.versions(), "threads": torch.get_num_threads()}


if __name__ == "__main__":
    script = Script()
    child.answer({"load": script.load, "make": script.make, "unet": script.unet})
