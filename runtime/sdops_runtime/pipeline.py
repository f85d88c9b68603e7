"""Makes pictures from pictures: one sampling loop over the model's own parts, for both generations.

The seed contract lives here. Each picture has its own CPU generator, seeded
with its own number; it draws, in float32, first the VAE's sample and then the
noise; both are cast to the model's number format. So the same seed is the same
picture, but for rounding, whatever else is in the batch. And to the bit as long
as batch size and slot are the same: prompts and inputs are encoded and decoded
one at a time; only the UNet sees a batch, of one fixed size, padded where
pictures are missing, because kernels are chosen by the batch's size and treat
the rows at its end differently (seen: 3 pictures of 128x88 on a CPU, where a
picture changed with its slot, though never with its neighbours). It does not
know jobs, files or queues.
"""

import pickle
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from PIL import Image

from sdops_runtime import dialect, plms
from sdops_runtime.device import Device
from sdops_runtime.errors import SdopsError

#: What the libraries raise for a model folder that they cannot read.
LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
)

#: Encoded prompts and inputs that are kept: about 0.2 MB each.
KEPT = 256


@dataclass(frozen=True)
class Recipe:
    """How every picture of a batch is made; meanings and ranges as in ``protocol.Settings``."""

    strength: float
    steps: int
    guidance: float
    negative_prompt: str = ""


@dataclass(frozen=True)
class Draw:
    """One picture to make. image: RGB, sides multiples of 8. key: the image's identity for reuse.

    slot: its place in the batch, from 0; no two of a batch may have the same.
    """

    image: Image.Image
    key: str
    prompt: str
    seed: int
    slot: int = 0


@dataclass(frozen=True)
class Picture:
    """What came of a draw. image: RGB, None if it failed; black if flagged, as the model's authors do.

    flagged: the safety filter's verdict, None where the model has no filter.
    retried: float16 overflowed and it was made again in float32.
    """

    image: Optional[Image.Image]
    flagged: Optional[bool] = None
    retried: bool = False
    failure: Optional[SdopsError] = None


class Engine:
    """A loaded model on its device. Not for use by two threads at once.

    notices: things a person should know about the model, as (code, message).
    seconds: how long loading took.
    """

    def __init__(self, pipeline: Any, device: Device, dtype: Any, seconds: float) -> None:
        self.device = device
        self.seconds = seconds
        self.notices: list[tuple[str, str]] = []
        self._pipeline = pipeline
        self._dtype = dtype
        self._working_dtype = dtype
        self._prompts: OrderedDict[Any, Any] = OrderedDict()
        self._inputs: OrderedDict[Any, Any] = OrderedDict()
        self._check_model()

    @property
    def dtype(self) -> str:
        """The number format's name: float16, bfloat16 or float32."""
        return str(self._dtype).replace("torch.", "")

    @property
    def filters(self) -> bool:
        """Whether the model brought a safety filter."""
        return self._pipeline.safety_checker is not None

    def dropped(self, prompt: str, negative: bool = False) -> str:
        """The end of a prompt that the model will not read; empty if it reads all of it."""
        _, dropped = dialect.prompt_ids(self._pipeline.tokenizer, prompt, negative)
        return self._pipeline.tokenizer.decode(dropped).strip() if dropped else ""

    def make(
        self, draws: Sequence[Draw], recipe: Recipe, batch: int, on_step: Callable[[int, int], None]
    ) -> list[Picture]:
        """Makes 1 to ``batch`` pictures of one size together; returns them in the order of ``draws``.

        batch: physical batch size; the draws' slots are below it. on_step(done,
        of) is called after each UNet call; what it raises ends the run and
        leaves the engine usable. Raises SdopsError("out-of-memory").
        """
        import torch

        try:
            with torch.no_grad():
                return self._make(draws, recipe, batch, on_step)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            if self.device.kind == "cuda":
                torch.cuda.empty_cache()
            width, height = draws[0].image.size
            raise SdopsError(
                "out-of-memory",
                f"{batch} pictures of {width}x{height} do not fit into the memory of {self.device.name}.",
                "Use a smaller --width, or close what else uses the GPU (nvidia-smi lists it).",
            ) from error

    def _make(
        self, draws: Sequence[Draw], recipe: Recipe, batch: int, on_step: Callable[[int, int], None]
    ) -> list[Picture]:
        latents = self._sample(draws, recipe, batch, on_step)
        pictures = []
        for draw in draws:
            values = self._decode(latents[draw.slot : draw.slot + 1])
            retried = values is None and self.dtype != "float32"
            if retried:
                values = self._again_in_float32(draw, recipe, batch)
            pictures.append(self._picture(values, retried, draw))
        return pictures

    def _sample(
        self, draws: Sequence[Draw], recipe: Recipe, batch: int, on_step: Callable[[int, int], None]
    ) -> Any:
        """The denoised latents, shape (batch, 4, height/8, width/8)."""
        import torch

        schedule = self._schedule(recipe)
        by_slot = {draw.slot: draw for draw in draws}
        assert len(by_slot) == len(draws)
        filled = [by_slot.get(slot, draws[0]) for slot in range(batch)]
        sample = torch.cat([self._start(draw, schedule) for draw in filled])
        texts = [self._encode_prompt(draw.prompt) for draw in filled]
        guided = recipe.guidance > 1
        if guided:
            texts = [self._encode_prompt(recipe.negative_prompt, negative=True)] * batch + texts
        text = torch.cat(texts)
        sampler = plms.Plms()
        for number, step in enumerate(schedule.steps, 1):
            timestep = torch.tensor(step.timestep, device=sample.device)
            seen = torch.cat([sample, sample]) if guided else sample
            output = self._pipeline.unet(seen, timestep, encoder_hidden_states=text).sample
            if guided:
                without, prompted = output.chunk(2)
                output = without + recipe.guidance * (prompted - without)
            sample = sampler.advance(step, output, sample)
            on_step(number, len(schedule.steps))
        return sample

    def _schedule(self, recipe: Recipe) -> plms.Schedule:
        scheduler = self._pipeline.scheduler
        return plms.schedule(
            tuple(scheduler.alphas_cumprod),
            scheduler.final_alpha_cumprod,
            int(scheduler.config.get("steps_offset", 1)),
            recipe.steps,
            dialect.first_timestep(recipe.steps, recipe.strength),
        )

    def _start(self, draw: Draw, schedule: plms.Schedule) -> Any:
        """The noisy latents that a picture starts from, shape (1, 4, height/8, width/8)."""
        import torch

        mean, deviation = self._encode_input(draw)
        generator = torch.Generator("cpu").manual_seed(draw.seed)
        drawn = [torch.randn(mean.shape, generator=generator, dtype=torch.float32) for _ in range(2)]
        sampled, noise = (values.to(mean.device, mean.dtype) for values in drawn)
        latents = (mean + deviation * sampled) * dialect.latent_scale(self._pipeline.vae)
        return schedule.signal * latents + schedule.noise * noise

    def _encode_input(self, draw: Draw) -> tuple[Any, Any]:
        """Mean and standard deviation of an input's latents, each of shape (1, 4, height/8, width/8)."""

        def encode() -> tuple[Any, Any]:
            import numpy
            import torch

            values = numpy.asarray(draw.image, dtype=numpy.float32)[None].transpose(0, 3, 1, 2) / 255.0
            pixels = torch.from_numpy(2.0 * values - 1.0).to(self._place(), self._working_dtype)
            found = self._pipeline.vae.encode(pixels).latent_dist
            return found.mean, found.std

        kept: tuple[Any, Any] = self._kept(
            self._inputs, (draw.key, draw.image.size, self._working_dtype), encode
        )
        return kept

    def _encode_prompt(self, prompt: str, negative: bool = False) -> Any:
        """A prompt as the UNet reads it, shape (1, 77, 768) for Stable Diffusion v1."""

        def encode() -> Any:
            ids, _ = dialect.prompt_ids(self._pipeline.tokenizer, prompt, negative)
            return self._pipeline.text_encoder(ids.to(self._place()))[0]

        return self._kept(self._prompts, (prompt, negative, self._working_dtype), encode)

    def _decode(self, latent: Any) -> Any:
        """Pixel values 0..1 of shape (height, width, 3), or None where they are not numbers.

        latent: a slice of shape (1, 4, height/8, width/8). Indexed and given its
        first side back, it would have other strides, and take other kernels.
        """
        import torch

        scaled = dialect.unscaled(latent, self._pipeline.vae)
        decoded = self._pipeline.vae.decode(scaled).sample.float()
        if not bool(torch.isfinite(decoded).all()):
            return None
        return (decoded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()

    def _again_in_float32(self, draw: Draw, recipe: Recipe, batch: int) -> Any:
        """Makes one picture in float32 where memory allows it; None if that failed too."""
        import torch

        try:
            self._convert(torch.float32)
            latents = self._sample([draw], recipe, batch, lambda done, of: None)
            return self._decode(latents[draw.slot : draw.slot + 1])
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            return None
        finally:
            self._convert(self._dtype)
            if self.device.kind == "cuda":
                torch.cuda.empty_cache()

    def _convert(self, dtype: Any) -> None:
        with dialect.quiet():
            for part in (self._pipeline.unet, self._pipeline.vae, self._pipeline.text_encoder):
                part.to(dtype=dtype)
        self._working_dtype = dtype

    def _picture(self, values: Any, retried: bool, draw: Draw) -> Picture:
        if values is None:
            where = "float16 and in float32" if retried else self.dtype
            return Picture(
                None,
                retried=retried,
                failure=SdopsError(
                    "image-not-finite",
                    f"The picture with seed {draw.seed} overflowed in {where}: no valid pixels came out.",
                    "Try another seed, a lower --guidance, or --dtype float32.",
                ),
            )
        image = Image.fromarray((values * 255).round().astype("uint8"))
        flagged = self._flagged(image, values)
        return Picture(Image.new("RGB", image.size) if flagged else image, flagged, retried)

    def _flagged(self, image: Image.Image, values: Any) -> Optional[bool]:
        """The safety filter's verdict on one picture, None without a filter."""
        if not self.filters:
            return None
        checker = self._pipeline.safety_checker
        with dialect.quiet():
            features = self._pipeline.feature_extractor([image], return_tensors="pt").pixel_values
            place = next(checker.parameters())
            _, verdicts = checker(clip_input=features.to(place.device, place.dtype), images=[values.copy()])
        return bool(verdicts[0])

    def _check_model(self) -> None:
        """Raises SdopsError("model-broken") for a model that this loop would silently draw wrongly."""
        config = self._pipeline.scheduler.config
        prediction = config.get("prediction_type", "epsilon")
        if prediction != "epsilon" or self._pipeline.unet.config["in_channels"] != 4:
            raise SdopsError(
                "model-broken",
                f"The model is not a Stable Diffusion v1 img2img model (it predicts {prediction!r} from "
                f"{self._pipeline.unet.config['in_channels']} channels).",
                "Use a Stable Diffusion 1.x model, such as CompVis/stable-diffusion-v1-4.",
            )
        kind = type(self._pipeline.scheduler).__name__
        if kind != "PNDMScheduler":
            self.notices.append(
                ("sampler-replaced", f"The model asks for the sampler {kind}; PLMS is used instead.")
            )
        if not self.filters:
            self.notices.append(("no-filter", "The model has no safety filter: nothing will be flagged."))

    def _place(self) -> Any:
        return next(self._pipeline.unet.parameters()).device

    @staticmethod
    def _kept(store: "OrderedDict[Any, Any]", key: Any, make: Callable[[], Any]) -> Any:
        if key not in store:
            store[key] = make()
            while len(store) > KEPT:
                store.popitem(last=False)
        store.move_to_end(key)
        return store[key]


def load(folder: Path, device: Device, dtype: Any) -> Engine:
    """Loads the model in ``folder`` onto ``device`` as torch ``dtype``.

    Raises SdopsError: model-broken with the library's reason, out-of-memory.
    """
    started = time.monotonic()
    try:
        pipeline = dialect.load_pipeline(folder, dtype)
    except LOAD_ERRORS as error:
        raise SdopsError(
            "model-broken",
            f"The model in {folder.name} cannot be loaded: {dialect.last_line(error)}",
            f"Replace {folder} (delete it if sdops brought it there), or use another --model.",
        ) from error
    try:
        with dialect.quiet():
            pipeline = pipeline.to(device.kind)
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        raise SdopsError(
            "out-of-memory",
            f"The model does not fit into the free memory of {device.name}.",
            "Close what else uses the GPU (nvidia-smi lists it), or use --device cpu.",
        ) from error
    return Engine(pipeline, device, dtype, time.monotonic() - started)
