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
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

from PIL import Image

from sdops_runtime import compiling, dialect, memory, plms, tiles, tuning
from sdops_runtime import device as devices
from sdops_runtime.device import Device
from sdops_runtime.errors import SdopsError
from sdops_runtime.ladder import Ladder
from sdops_runtime.safety import SafetyFilter

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
class Tolerance:
    """How far two pictures of one seed may be apart. most: of a value of 0..255; mean: over all values."""

    most: int
    mean: float


#: In float16, for other batch sizes, slots and rungs (but for tiles). What is allowed, and not measured on a
#: GPU yet; on a CPU 4.7 % of the values were 1 apart, and none more.
HALF = Tolerance(16, 0.5)

#: Networks whose need for memory is known, by the channels of their UNet's levels.
_ARCHITECTURES = {(320, 640, 1280, 1280): "sd1", (16, 16, 32, 32): "demo"}


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


_PLAIN = memory.Rung(1)


class _Part:
    """Rows of a batch that the UNet sees at once, with the texts that it reads for them.

    texts: a pair for each of its calls: how often the rows stand in it, and the texts of these.
    """

    def __init__(self, rows: slice, prompts: Sequence[Any], without: Any, halved: bool) -> None:
        import torch

        self.rows = rows
        self.guided = without is not None
        if not self.guided:
            self.texts = [(1, torch.cat(prompts))]
        elif halved:
            self.texts = [(1, torch.cat([without] * len(prompts))), (1, torch.cat(prompts))]
        else:
            self.texts = [(2, torch.cat([without] * len(prompts) + list(prompts)))]


@dataclass(frozen=True)
class Picture:
    """What came of a draw. image: RGB, None if it failed; black if flagged, as the model's authors do.

    flagged: the safety filter's verdict, None where the model has no filter.
    retried: float16 overflowed and it was made again in float32. rung: how it was made. compiled: by
    networks that were.
    """

    image: Optional[Image.Image]
    flagged: Optional[bool] = None
    retried: bool = False
    failure: Optional[SdopsError] = None
    rung: memory.Rung = _PLAIN
    compiled: bool = False


class Engine:
    """A loaded model on its device. Not for use by two threads at once.

    notices: things a person should know about the model, as (code, message). seconds: how long a job waited
    for it, as whoever loaded it says. lowered: what the last plan had to lower, in sentences.
    """

    def __init__(self, pipeline: Any, device: Device, dtype: Any) -> None:
        self.device = device
        self.seconds = 0.0
        self.notices: list[tuple[str, str]] = []
        self.lowered: tuple[str, ...] = ()
        self._pipeline = pipeline
        self._dtype = dtype
        self._working_dtype = dtype
        self._prompts: OrderedDict[Any, Any] = OrderedDict()
        self._inputs: OrderedDict[Any, Any] = OrderedDict()
        self._ladder = Ladder(device, self.network)
        self._filter = SafetyFilter(pipeline)
        self._stage = memory.REST
        self._sliced = False
        self._blocks = compiling.Blocks(pipeline.unet, (device.name, self.network.architecture, self.dtype))
        self._compiler_fails = False
        #: Size, batch, and with or without guidance, of the pictures that are made with compiled blocks.
        self._compiled: Any = None
        self._schedules: OrderedDict[Any, Any] = OrderedDict()
        self._check_model()

    @property
    def dtype(self) -> str:
        """The number format's name: float16, bfloat16 or float32."""
        return str(self._dtype).replace("torch.", "")

    @property
    def small(self) -> bool:
        """Whether the UNet is a toy, as the demo's is, and not one of hundreds of millions of values."""
        return bool(sum(values.numel() for values in self._pipeline.unet.parameters()) < 10_000_000)

    @property
    def filters(self) -> bool:
        """Whether the model brought a safety filter."""
        return self._filter.there

    def dropped(self, prompt: str, negative: bool = False) -> str:
        """The end of a prompt that the model will not read; empty if it reads all of it."""
        _, dropped = dialect.prompt_ids(self._pipeline.tokenizer, prompt, negative)
        return self._pipeline.tokenizer.decode(dropped).strip() if dropped else ""

    @property
    def network(self) -> memory.Network:
        """What computes, as far as the need for memory depends on it."""
        channels = tuple(self._pipeline.unet.config["block_out_channels"])
        name = _ARCHITECTURES.get(channels)
        return memory.Network(name or "sd1", dialect.generation(), self.dtype, name is not None)

    def plan(
        self,
        size: tuple[int, int],
        total: int,
        guidance: float,
        batch: Optional[int] = None,
        even: Callable[[int], int] = lambda most: most,
    ) -> memory.Plan:
        """How a job's pictures of a size are to be made, with the memory that is free now.

        batch: as asked for. even: as in ``memory.plan``. To be called when a job begins: later ones may find
        other memory. Raises SdopsError("out-of-memory") for a size that does not fit.
        """
        self._ladder.rungs.clear()
        self._compiled = None
        found = self._ladder.plan(size, total, guidance > 1, batch, even)
        self.lowered = found.notices
        return found

    @property
    def compiles(self) -> bool:
        """Whether the job's pictures are made with compiled blocks."""
        return self._compiled is not None

    @property
    def compiling_lacks(self) -> Optional[str]:
        """What is missing for blocks to be compiled here, as in "a C compiler"; None if nothing is."""
        if self._compiler_fails:
            return "a compiler that works"
        return compiling.missing(self._pipeline.unet, self.device.kind)

    def load_of(self, size: tuple[int, int], batch: int, guidance: float) -> compiling.Load:
        """What the UNet is called with for a whole batch."""
        return compiling.Load(*size, batch * (1 + (guidance > 1)))

    def compile(self, size: tuple[int, int], batch: int, guidance: float) -> bool:
        """Has pictures of this size and batch made with compiled blocks until the next plan.

        The first of them take the time for it. False where memory is too short: what was lowered is not
        compiled.
        """
        key = size, batch, guidance > 1
        if self._ladder.is_whole(key):
            self._compiled = key
        return self.compiles

    def make(
        self,
        draws: Sequence[Draw],
        recipe: Recipe,
        batch: int,
        on_step: Callable[[int, int], None],
        *,
        on_notice: Callable[[str, str], None] = lambda code, message: None,
    ) -> list[Picture]:
        """Makes 1 to ``batch`` pictures of one size together; returns them in the order of ``draws``.

        batch: physical batch size; the draws' slots are below it. on_step(done,
        of) is called after each UNet call; what it raises ends the run and
        leaves the engine usable. Where memory runs out, all is done again a rung
        lower, and steps count from 1 again. on_notice: told, in a code and a
        sentence, of every rung, and if compiling failed. Raises SdopsError("out-of-memory") below the last.
        """
        import torch

        size, guided = draws[0].image.size, recipe.guidance > 1
        key = size, batch, guided
        if not self._ladder.has(key):
            for message in self._ladder.plan(size, batch, guided, batch).notices:
                on_notice("memory", message)
        while True:
            rung = self._ladder.rungs[key]
            self._stage = memory.REST
            try:
                with torch.no_grad():
                    return self._make(draws, recipe, batch, rung, on_step)
            except RuntimeError as error:
                unsure = None if devices.is_out_of_memory(error) else str(error)
                if not devices.may_be_out_of_memory(error):
                    if not (self.compiles and compiling.is_failure(error)):
                        raise
                    self._compiled, self._compiler_fails = None, True
                    on_notice(
                        "compile",
                        f"Compiling failed ({compiling.reason(error)}): the pictures are made without it.",
                    )
                    continue
            # Out here the error is gone, and with it what its traceback held.
            self._forget_unused()
            try:
                told = self._ladder.lower(key, self._stage)
            except SdopsError:
                if unsure is None:
                    raise
                raise RuntimeError(unsure) from None
            for message in told:
                on_notice("memory", message)

    def _make(
        self,
        draws: Sequence[Draw],
        recipe: Recipe,
        batch: int,
        rung: memory.Rung,
        on_step: Callable[[int, int], None],
    ) -> list[Picture]:
        latents = self._sample(draws, recipe, batch, rung, on_step)
        compiled = self._load(draws[0].image.size, recipe, batch, rung) is not None
        pictures = []
        for draw in draws:
            values = self._decode(latents[draw.slot : draw.slot + 1], rung.tiled)
            if values is not None:
                pictures.append(Picture(_image(values), rung=rung, compiled=compiled))
            elif self.dtype == "float32":
                pictures.append(Picture(None, failure=_overflow(draw, self.dtype), rung=rung))
            else:
                pictures.append(self._again_in_float32(draw, recipe, batch, rung))
        return self._filtered(draws, pictures, batch, rung)

    def _sample(
        self,
        draws: Sequence[Draw],
        recipe: Recipe,
        batch: int,
        rung: memory.Rung,
        on_step: Callable[[int, int], None],
    ) -> Any:
        """The denoised latents, shape (batch, 4, height/8, width/8)."""
        import torch

        schedule = self._schedule(recipe)
        by_slot = {draw.slot: draw for draw in draws}
        assert len(by_slot) == len(draws)
        filled = [by_slot.get(slot, draws[0]) for slot in range(batch)]
        sample = torch.cat([self._start(draw, schedule, rung.tiled) for draw in filled])
        self._stage = memory.REST
        texts = [self._encode_prompt(draw.prompt) for draw in filled]
        without = self._encode_prompt(recipe.negative_prompt, negative=True) if recipe.guidance > 1 else None
        # Parts of the batch that hold nothing but padding are left out.
        parts = [
            _Part(slice(start, start + rung.batch), texts[start : start + rung.batch], without, rung.halved)
            for start in range(0, batch, rung.batch)
            if any(start <= draw.slot < start + rung.batch for draw in draws)
        ]
        self._stage = memory.UNET
        if rung.sliced != self._sliced:
            dialect.slice_attention(self._pipeline.unet, rung.sliced)
            tuning.forget(self._pipeline.unet)
            self._sliced = rung.sliced
        sampler = plms.Plms()
        # All at once: each copy to a GPU that is not pinned makes Python wait until the GPU has caught up.
        timesteps = torch.tensor([step.timestep for step in schedule.steps], device=sample.device)
        with self._blocks.calls(self._load(draws[0].image.size, recipe, batch, rung)):
            for number, (step, timestep) in enumerate(zip(schedule.steps, timesteps), 1):
                if rung.batch == batch:
                    output = self._predict(sample, timestep, parts[0], recipe.guidance)
                else:
                    output = torch.zeros_like(sample)
                    for part in parts:
                        output[part.rows] = self._predict(sample[part.rows], timestep, part, recipe.guidance)
                sample = sampler.advance(step, output, sample)
                on_step(number, len(schedule.steps))
        return sample

    def _load(
        self, size: tuple[int, int], recipe: Recipe, batch: int, rung: memory.Rung
    ) -> Optional[compiling.Load]:
        """What compiled blocks are called with for a batch; None where they are not compiled for it."""
        wanted = self._compiled == (size, batch, recipe.guidance > 1) and rung == memory.Rung(batch)
        if not wanted or self._working_dtype != self._dtype:
            return None
        return self.load_of(size, batch, recipe.guidance)

    def _predict(self, sample: Any, timestep: Any, part: "_Part", guidance: float) -> Any:
        """The noise that the UNet sees in a part of a batch."""
        import torch

        with self._blocks.one_call():
            outputs = [
                self._pipeline.unet(
                    torch.cat([sample] * copies) if copies > 1 else sample,
                    timestep,
                    encoder_hidden_states=text,
                ).sample
                for copies, text in part.texts
            ]
        if not part.guided:
            return outputs[0]
        without, prompted = outputs if len(outputs) == 2 else outputs[0].chunk(2)
        return without + guidance * (prompted - without)

    def _schedule(self, recipe: Recipe) -> plms.Schedule:
        scheduler = self._pipeline.scheduler

        def work_out() -> plms.Schedule:
            return plms.schedule(
                tuple(scheduler.alphas_cumprod),
                scheduler.final_alpha_cumprod,
                int(scheduler.config.get("steps_offset", 1)),
                recipe.steps,
                dialect.first_timestep(recipe.steps, recipe.strength),
            )

        kept: plms.Schedule = self._kept(self._schedules, (recipe.steps, recipe.strength), work_out)
        return kept

    def _start(self, draw: Draw, schedule: plms.Schedule, tiled: bool) -> Any:
        """The noisy latents that a picture starts from, shape (1, 4, height/8, width/8)."""
        import torch

        mean, deviation = self._encode_input(draw, tiled)
        generator = torch.Generator("cpu").manual_seed(draw.seed)
        drawn = [torch.randn(mean.shape, generator=generator, dtype=torch.float32) for _ in range(2)]
        sampled, noise = (values.to(mean.device, mean.dtype) for values in drawn)
        latents = (mean + deviation * sampled) * dialect.latent_scale(self._pipeline.vae)
        return schedule.signal * latents + schedule.noise * noise

    def _encode_input(self, draw: Draw, tiled: bool) -> tuple[Any, Any]:
        """Mean and standard deviation of an input's latents, each of shape (1, 4, height/8, width/8)."""

        def encode() -> tuple[Any, Any]:
            import numpy
            import torch

            values = numpy.asarray(draw.image, dtype=numpy.float32)[None].transpose(0, 3, 1, 2) / 255.0
            pixels = torch.from_numpy(2.0 * values - 1.0).to(self._place(), self._working_dtype)
            self._stage = memory.VAE
            if tiled and tiles.needed(*draw.image.size):
                return tiles.encode(self._pipeline.vae, pixels)
            found = self._pipeline.vae.encode(pixels).latent_dist
            return found.mean, found.std

        kept: tuple[Any, Any] = self._kept(
            self._inputs, (draw.key, draw.image.size, self._working_dtype, tiled), encode
        )
        return kept

    def _encode_prompt(self, prompt: str, negative: bool = False) -> Any:
        """A prompt as the UNet reads it, shape (1, 77, 768) for Stable Diffusion v1."""

        def encode() -> Any:
            ids, _ = dialect.prompt_ids(self._pipeline.tokenizer, prompt, negative)
            return self._pipeline.text_encoder(ids.to(self._place()))[0]

        return self._kept(self._prompts, (prompt, negative, self._working_dtype), encode)

    def _decode(self, latent: Any, tiled: bool) -> Any:
        """Pixel values 0..1 of shape (height, width, 3), or None where they are not numbers.

        latent: a slice of shape (1, 4, height/8, width/8). Indexed and given its
        first side back, it would have other strides, and take other kernels.
        """
        import torch

        self._stage = memory.VAE
        decoded = self._decoded(latent, tiled)
        if not bool(torch.isfinite(decoded).all()):
            return None
        return (decoded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()

    def _decoded(self, latent: Any, tiled: bool) -> Any:
        """What the VAE makes of a latent, float32, of shape (1, 3, height, width)."""
        vae = self._pipeline.vae
        scaled = dialect.unscaled(latent, vae)
        if tiled and tiles.needed(*(side * tiles.SCALE for side in scaled.shape[2:])):
            return tiles.decode(vae, scaled)
        return vae.decode(scaled).sample.float()

    def _again_in_float32(self, draw: Draw, recipe: Recipe, batch: int, rung: memory.Rung) -> Picture:
        """Makes one picture in float32, which takes twice the memory: on a lower rung if need be."""
        import torch

        size, guided = draw.image.size, recipe.guidance > 1
        network = replace(self.network, dtype="float32")
        current: Optional[memory.Rung] = rung
        try:
            while current is not None:
                try:
                    # Below this there is no rung: weights that do not fit are half converted.
                    self._stage = memory.REST
                    self._convert(torch.float32)
                    latents = self._sample([draw], recipe, batch, current, lambda done, of: None)
                    values = self._decode(latents[draw.slot : draw.slot + 1], current.tiled)
                except RuntimeError as error:
                    if not devices.is_out_of_memory(error):
                        raise
                else:
                    if values is None:
                        where = f"{self.dtype} and in float32"
                        return Picture(None, retried=True, failure=_overflow(draw, where), rung=current)
                    return Picture(_image(values), retried=True, rung=current)
                self._forget_unused()
                current = memory.lower(network, current, self._stage, *size, guided)
        finally:
            self._convert(self._dtype)
            self._forget_unused()
        return Picture(
            None,
            failure=SdopsError(
                "out-of-memory",
                f"The picture with seed {draw.seed} overflowed in {self.dtype}, and there is too little "
                "memory to make it in float32.",
                "Try another seed, or a smaller --width.",
            ),
            rung=rung,
        )

    def _convert(self, dtype: Any) -> None:
        if dtype == self._working_dtype:
            return
        # From now on, since it may run out of memory half way.
        self._working_dtype = dtype
        with dialect.quiet():
            for part in (self._pipeline.unet, self._pipeline.vae, self._pipeline.text_encoder):
                part.to(dtype=dtype)

    def _forget_unused(self) -> None:
        """Gives back memory that is only kept to be quicker."""
        tuning.forget(self._pipeline.unet)
        devices.forget_unused(self.device)

    def _filtered(
        self, draws: Sequence[Draw], pictures: Sequence[Picture], batch: int, rung: memory.Rung
    ) -> list[Picture]:
        """The pictures with the safety filter's verdicts; black where it flags one.

        It sees as many at once as the UNet, each at its slot: a verdict at the very edge does not depend on
        what else is in the batch.
        """
        found = list(pictures)
        if not self.filters:
            return found
        by_slot = {draw.slot: place for place, draw in enumerate(draws) if pictures[place].image is not None}
        self._stage = memory.UNET  # where memory runs out, fewer at once help here, too
        for start in range(0, batch, rung.batch):
            here = {slot: place for slot, place in by_slot.items() if start <= slot < start + rung.batch}
            if not here:
                continue
            first = next(iter(here.values()))
            places = [here.get(slot, first) for slot in range(start, start + rung.batch)]
            verdicts = self._filter.verdicts([_shown(pictures[place]) for place in places])
            for slot, place in here.items():
                flagged, image = verdicts[slot - start], _shown(pictures[place])
                shown = Image.new("RGB", image.size) if flagged else image
                found[place] = replace(pictures[place], image=shown, flagged=flagged)
        return found

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


def _image(values: Any) -> Image.Image:
    """A picture from its values, as ``Engine._decode`` gives them."""
    return Image.fromarray((values * 255).round().astype("uint8"))


def _shown(made: Picture) -> Image.Image:
    """The image of one that has one."""
    assert made.image is not None
    return made.image


def _overflow(draw: Draw, where: str) -> SdopsError:
    return SdopsError(
        "image-not-finite",
        f"The picture with seed {draw.seed} overflowed in {where}: no valid pixels came out.",
        "Try another seed, a lower --guidance, or --dtype float32.",
    )


def load(folder: Path, device: Device, dtype: Any) -> Engine:
    """Loads the model in ``folder`` onto ``device`` as torch ``dtype``.

    Raises SdopsError: model-broken with the library's reason, out-of-memory.
    """
    try:
        pipeline = dialect.load_pipeline(folder, dtype, device.kind)
        with dialect.quiet():
            tuning.turn_on(pipeline, device.kind, tuning.ON[device.kind])
    except LOAD_ERRORS as error:
        if isinstance(error, RuntimeError) and devices.is_out_of_memory(error):
            raise SdopsError(
                "out-of-memory",
                f"The model does not fit into the free memory of {device.name}.",
                "Close what else uses the GPU (nvidia-smi lists it), or use --device cpu.",
            ) from error
        raise SdopsError(
            "model-broken",
            f"The model in {folder.name} cannot be loaded: {dialect.last_line(error)}",
            f"Replace {folder} (delete it if sdops brought it there), or use another --model.",
        ) from error
    return Engine(pipeline, device, dtype)
