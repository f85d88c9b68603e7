"""The demo model: a tiny random-weight folder of the shape of Stable Diffusion v1-4.

It has the same seven components, classes and file layout as the real model, in
the older form that both generations of the libraries read, so that everything
but the beauty of the pictures can be tried without a download. Its pictures
look like coloured noise: nothing in it was trained.

The tensors depend on their names alone, so every build holds the same numbers.
"""

import errno
import io
import json
import math
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime import dialect, stack
from sdops_runtime.errors import SdopsError

NAME = "demo"

#: Raised when anything below changes, so that an older build in the cache is not taken for this one.
RECIPE = 1

#: Words that become one token each; everything else is spelled out byte by byte. A real CLIP
#: vocabulary has 49,408 entries; these are the words of the guide's and the README's examples.
WORDS = (
    "a an the of in on at and with wearing hat christmas photo portrait painting style oil watercolor "
    "landscape fantasy detailed cat dog person woman man house city forest snow night light sharp focus "
    "trending artstation blurry ugly low quality high red green blue black white smiling by as"
)
TOKENS = 77
_START, _END = "<|startoftext|>", "<|endoftext|>"

_UNET = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": [16, 16, 32, 32],
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
    # The real model attends at its largest level too; on two CPU cores that alone would take
    # nine tenths of the time of a 512-pixel picture, so the demo leaves it out there.
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
_VAE = {
    "_class_name": "AutoencoderKL",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": 512,
    "layers_per_block": 2,
    "block_out_channels": [8, 8, 16, 16],
    "norm_num_groups": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
_SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
_FEATURES = {
    "feature_extractor_type": "CLIPFeatureExtractor",
    "do_resize": True,
    "size": 224,
    "resample": 3,
    "do_center_crop": True,
    "crop_size": 224,
    "do_normalize": True,
    "do_convert_rgb": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_CLIP_SIZE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_act": "quick_gelu",
    "projection_dim": 32,
}
_VISION = dict(_CLIP_SIZE, model_type="clip_vision_model", image_size=224, patch_size=14)
_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": ["transformers", "CLIPFeatureExtractor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def ensure() -> Path:
    """Returns the folder of the demo model, building it first if this machine has none.

    A few MB, about a second. Safe when several processes ask at once: each
    builds aside and the first rename wins. Raises SdopsError: disk-full or
    cache-unwritable.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "sdops" / f"demo-model-{RECIPE}"
    try:
        if not _is_there(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            _build_aside(folder)
    except OSError as error:
        elsewhere = "or name another folder in XDG_CACHE_HOME."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SdopsError(
                "disk-full",
                f"The demo model does not fit into {folder.parent}.",
                f"Free some space, {elsewhere}",
            ) from error
        raise SdopsError(
            "cache-unwritable",
            f"The demo model cannot be kept in {folder.parent}: {error.strerror}.",
            f"Make it writable, {elsewhere}",
        ) from error
    return folder


def _build_aside(folder: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        build(aside)
        aside.chmod(0o755)
        aside.rename(folder)
    except OSError:
        if not _is_there(folder):  # somebody else was first
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _is_there(folder: Path) -> bool:
    return (folder / "model_index.json").is_file()


@dataclass(frozen=True)
class Shape:
    """The sizes of a model's networks: configurations of UNet and VAE, sizes of the two CLIP networks.

    vocabulary: rows of the text encoder's table; as many as there are tokens if None.
    """

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    vision: dict[str, Any]
    vocabulary: Optional[int] = None


DEMO = Shape(_UNET, _VAE, _CLIP_SIZE, _VISION)

#: Fills the folder of a component with weights of its configuration.
Weights = Callable[[Path, str, dict[str, Any]], None]


def build(folder: Path, shape: Shape = DEMO, weights: Optional[Weights] = None) -> None:
    """Writes a model of a shape into ``folder`` (created, or empty); the demo's if none is given."""
    vocabulary, merges = _tokens()
    text = dict(
        shape.text,
        model_type="clip_text_model",
        vocab_size=shape.vocabulary or len(vocabulary),
        max_position_embeddings=TOKENS,
        bos_token_id=vocabulary[_START],
        eos_token_id=vocabulary[_END],
        pad_token_id=vocabulary[_END],
    )
    checker = {
        "architectures": ["StableDiffusionSafetyChecker"],
        "model_type": "clip",
        "projection_dim": shape.vision["projection_dim"],
        "logit_scale_init_value": 2.6592,
        "text_config": text,
        "vision_config": shape.vision,
        # The guide's transformers reads these two names, today's the two above.
        "text_config_dict": text,
        "vision_config_dict": shape.vision,
    }
    version = {"_diffusers_version": stack.load().pin("diffusers")}
    _json(folder / "model_index.json", dict(_INDEX, **version))
    _json(folder / "scheduler/scheduler_config.json", dict(_SCHEDULER, **version))
    _json(folder / "feature_extractor/preprocessor_config.json", _FEATURES)
    _tokenizer(folder / "tokenizer", vocabulary, merges)
    configs = {
        "unet": dict(shape.unet, **version),
        "vae": dict(shape.vae, **version),
        "text_encoder": dict(text, architectures=["CLIPTextModel"]),
        "safety_checker": checker,
    }
    for component, config in configs.items():
        _json(folder / component / "config.json", config)
        (weights or _weights)(folder / component, component, config)


def _weights(folder: Path, component: str, config: dict[str, Any]) -> None:
    import torch

    tensors = {}
    for name, like in dialect.empty_state(component, config).items():
        tensors[name] = fill(name, tuple(like.shape), like.dtype)
    name = "diffusion_pytorch_model.bin" if component in ("unet", "vae") else "pytorch_model.bin"
    # By way of memory: of a full disk torch says, whatever it writes to, that it is in the wrong place.
    content = io.BytesIO()
    torch.save(tensors, content)
    (folder / name).write_bytes(content.getvalue())


def fill(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """A tensor that depends on its name and shape only."""
    import torch

    if name.endswith("position_ids"):
        return torch.arange(shape[-1]).expand(shape).clone()
    if name.endswith("_embeds_weights"):
        # Thresholds of the safety checker on cosines, which never exceed 1: nothing is flagged.
        return torch.full(shape, 2.0)
    if "norm" in name and len(shape) == 1:
        return torch.full(shape, 1.0 if name.endswith("weight") else 0.0)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    drawn = torch.randn(shape, generator=generator, dtype=torch.float32)
    return drawn * gain(name, shape)


def gain(name: str, shape: tuple[int, ...]) -> float:
    """The standard deviation of a tensor's values."""
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else 0
    if "embed" in name:
        return 0.5
    # A little under variance-preserving, and convolutional branches near zero, as trained networks
    # have them: rounding is not magnified on its way through, and hardly a value is clipped.
    part = 0.1 if ".conv2." in name else 0.5 if "conv_out" in name else 0.8
    return float(part * fan_in**-0.5 if fan_in else 0.02)


def _tokens() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merge rules of a byte-level BPE that knows ``WORDS``."""
    letters = _byte_letters()
    merges: list[tuple[str, str]] = []
    for word in WORDS.split():
        parts = [*list(word[:-1]), word[-1] + "</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
    names = letters + [letter + "</w>" for letter in letters]
    names += [left + right for left, right in merges] + [_START, _END]
    vocabulary: dict[str, int] = {}
    for name in names:
        vocabulary.setdefault(name, len(vocabulary))
    return vocabulary, merges


def _byte_letters() -> list[str]:
    """The printable letter that byte-level BPE writes for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(hidden))]


def _tokenizer(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    def token(text: str) -> dict[str, Any]:
        flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        return {"__type": "AddedToken", "content": text, **flags}

    start, end = token(_START), token(_END)
    special = {"bos_token": start, "eos_token": end, "unk_token": end}
    _json(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2"] + [f"{left} {right}" for left, right in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _json(
        folder / "tokenizer_config.json",
        dict(
            special,
            add_prefix_space=False,
            do_lower_case=True,
            errors="replace",
            model_max_length=TOKENS,
            pad_token=_END,
            tokenizer_class="CLIPTokenizer",
        ),
    )
    plain = {name: {key: value[key] for key in value if key != "__type"} for name, value in special.items()}
    _json(folder / "special_tokens_map.json", dict(plain, pad_token=_END))


def _json(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
