"""Every difference between the guide's libraries and today's, and nothing else.

Two generations are spoken: diffusers, transformers and torch of November 2022
(Python 3.9) and those of today (Python 3.11 and later). Nothing outside this
module asks which one is installed. torch and diffusers are imported inside
functions, and by ``libraries`` first, which says in one sentence what is wrong
with them.
"""

import contextlib
import importlib
import importlib.metadata
import inspect
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdops_runtime.errors import SdopsError
from sdops_runtime.hush import hush

#: What must be importable for pictures to be made, in the order in which failures explain each other.
LIBRARIES = ("numpy", "PIL", "torch", "transformers", "diffusers")

#: Their names as installed packages, for version numbers.
PACKAGES = ("torch", "diffusers", "transformers", "Pillow", "numpy")

#: Attention of the VAE: its names in the older file layout, which both generations read.
_VAE_NAMES = (
    (".to_q.", ".query."),
    (".to_k.", ".key."),
    (".to_v.", ".value."),
    (".to_out.0.", ".proj_attn."),
)


_IMPORTING = threading.Lock()


def libraries() -> None:
    """Imports the libraries; raises SdopsError("stack-missing") naming the first that fails.

    Takes 3 to 10 s, nearly all of it torch and diffusers. A second thread waits for the first: modules that
    import each other do not bear two.
    """
    # All read once, at import. transformers: stay silent about frameworks it does not find. hub: make
    # no calls of its own. OpenMP: do not spin while waiting; on a busy CPU that costs more than it saves.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _IMPORTING, quiet():
        for name in LIBRARIES:
            try:
                importlib.import_module(name)
                if name == "diffusers":
                    _pipeline_class()
            except ImportError as error:
                if isinstance(error, ModuleNotFoundError) and error.name == name:
                    raise SdopsError(
                        "stack-missing",
                        f"{name} is not installed in this Python.",
                        "Install the libraries: pip install 'sdops[local]'",
                    ) from error
                raise SdopsError(
                    "stack-missing",
                    f"{name} is installed but cannot be imported: {last_line(error)}",
                    "Install the pinned set anew: pip install --force-reinstall 'sdops[local]'",
                ) from error


def versions() -> dict[str, str]:
    """Installed versions of ``PACKAGES``; what is not installed is left out."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name.lower()] = importlib.metadata.version(name)
    return found


def is_guide_generation() -> bool:
    """True for the guide's diffusers, whose pipeline calls the input picture ``init_image``."""
    return "init_image" in inspect.signature(_pipeline_class().__call__).parameters


def weight_suffixes() -> tuple[str, ...]:
    """Endings of weight files this generation reads, best first."""
    return (".bin",) if is_guide_generation() else (".safetensors", ".bin")


def load_pipeline(folder: Path, dtype: Any, device: str) -> Any:
    """The stock img2img pipeline of ``folder``, its weights as torch ``dtype`` on a device, cuda or cpu.

    Today's libraries read them straight to where they belong; the guide's read all of them first. Never goes
    to the network. Raises what the libraries raise for damaged folders: ``LOAD_ERRORS``.
    """
    words = {"torch_dtype": dtype} if is_guide_generation() else {"dtype": dtype, "device_map": device}
    with quiet():
        # local_files_only does not keep the guide's generation from asking the hub about a
        # component it misses; the folder was checked by ``hub.resolve``.
        pipeline = _pipeline_class().from_pretrained(str(folder), local_files_only=True, **words).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def first_timestep(steps: int, strength: float) -> int:
    """Index into the scheduler's timesteps at which img2img starts.

    They differ at strength 1 only: the guide's pipeline starts at the second
    noise level there, today's at the first, so that pictures differ too.
    """
    if is_guide_generation():
        return steps - min(int(steps * strength) + 1, steps) + 1
    return steps - min(int(steps * strength), steps)


def prompt_ids(tokenizer: Any, prompt: str, negative: bool = False) -> tuple[Any, list[int]]:
    """Token ids of a prompt, shape (1, 77), and the ids that did not fit.

    A longer prompt is cut without the closing end token by the guide's
    pipeline, with it by today's; a negative prompt with it by both. Each is
    kept, since that is what the stock pipeline makes of the prompt.
    """
    limit = tokenizer.model_max_length
    with quiet():
        whole = tokenizer(prompt, padding="max_length", max_length=limit, return_tensors="pt").input_ids
    if whole.shape[1] == limit:
        return whole, []
    kept = whole[:, :limit].clone()
    if negative or not is_guide_generation():
        kept[0, -1] = whole[0, -1]
        return kept, whole[0, limit - 1 : -1].tolist()
    return kept, whole[0, limit:-1].tolist()


def latent_scale(vae: Any) -> float:
    """Factor between the VAE's latents and the UNet's; the guide's generation has it built in."""
    return float(vae.config.get("scaling_factor", 0.18215))


def unscaled(latents: Any, vae: Any) -> Any:
    """The UNet's latents as the VAE decodes them, rounded as each generation's pipeline rounds them."""
    scale = latent_scale(vae)
    return 1 / scale * latents if is_guide_generation() else latents / scale


def slice_attention(unet: Any, sliced: bool) -> None:
    """Has the UNet compute its attention one head at a time, or all at once again.

    The guide's generation keeps all heads' scores otherwise, which is most of what it takes. Today's has
    fused kernels that keep none, and loses them by this.
    """
    unet.set_attention_slice(1 if sliced else None)


def generation() -> str:
    """guide or today, as in memory.json."""
    return "guide" if is_guide_generation() else "today"


def computes_half_on_cpu() -> bool:
    """Whether this torch has float16 kernels for the CPU (the guide's has not: no LayerNorm)."""
    return not is_guide_generation()


def empty_state(component: str, config: dict[str, Any], fast: bool = False) -> dict[str, Any]:
    """Names, shapes and types of a component's weights in the older layout, which both read.

    ``config`` is the component's config.json. Values are whatever the library fills in; with ``fast``
    there are none, which for a billion of them saves half a minute.
    """
    import diffusers
    import torch
    import transformers
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    settings = {name: value for name, value in config.items() if not name.startswith("_")}
    with quiet(), _without_values(fast):
        if component == "unet":
            module = diffusers.UNet2DConditionModel(**settings)
        elif component == "vae":
            module = diffusers.AutoencoderKL(**settings)
        elif component == "text_encoder":
            module = transformers.CLIPTextModel(transformers.CLIPTextConfig(**settings))
        else:
            unread = "_config" if is_guide_generation() else "_config_dict"
            settings = {name: value for name, value in settings.items() if not name.endswith(unread)}
            module = StableDiffusionSafetyChecker(transformers.CLIPConfig(**settings))
    state = {_older_name(component, name): value for name, value in module.state_dict().items()}
    # Today's transformers no longer stores the positions; the guide's does not load without them.
    for name, value in list(state.items()):
        if name.endswith("position_embedding.weight"):
            state[name.replace("position_embedding.weight", "position_ids")] = torch.zeros(
                (1, value.shape[0]), dtype=torch.int64
            )
    return dict(sorted(state.items()))


def _without_values(wanted: bool) -> Any:
    if not wanted:
        return contextlib.nullcontext()
    from accelerate import init_empty_weights

    return init_empty_weights()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the libraries' log lines, warnings and progress bars off the person's terminal.

    What matters of it is said by events of our own. Their log lines would even
    repeat the prompt. They set their loggers' levels anew when they are
    imported, so logging as a whole is held for the moment.
    """
    held = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    _hide_bars()
    try:
        with hush():
            yield
    finally:
        logging.disable(held)
        _hide_bars()


def _hide_bars() -> None:
    """Turns off, for good, the progress bars that today's libraries draw while they load weights."""
    for name in ("transformers", "diffusers"):
        hide = getattr(sys.modules.get(f"{name}.utils.logging"), "disable_progress_bar", None)
        if hide is not None:
            hide()


def _older_name(component: str, name: str) -> str:
    if component == "vae":
        for new, old in _VAE_NAMES:
            if "mid_block.attentions" in name:
                name = name.replace(new, old)
    elif component == "text_encoder" and not name.startswith("text_model."):
        name = "text_model." + name
    elif component == "safety_checker" and re.match(r"vision_model\.(?!vision_model\.)", name):
        name = "vision_model." + name
    return name


def _pipeline_class() -> Any:
    from diffusers import StableDiffusionImg2ImgPipeline

    return StableDiffusionImg2ImgPipeline


def last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
