"""How a picture was made: the record that a result PNG carries, in our form and in everyone's.

No I/O here.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Optional, Union, get_args, get_origin, get_type_hints

from sdops_runtime import __version__
from sdops_runtime.errors import SdopsError

#: Raised by one whenever an older reader could misunderstand a record.
SCHEMA = 1
#: What other Stable Diffusion programs call the sampler that this project uses.
SAMPLER = "PLMS"


@dataclass(frozen=True)
class Record:
    """Everything that makes the same picture again, but the input's pixels and the model's weights.

    model: hub id, or a local folder's base name (a path is cut down to it).
    revision: the resolved commit, None for a folder. versions: of torch,
    diffusers, transformers, Pillow and numpy. batch: pictures computed
    together; slot: the place among them, from 0. input_sha256: hex, of the
    input file's bytes; input_size: its width and height, upright. flagged: the
    safety checker blackened the picture. retried_float32: made again in
    float32 after values overflowed. rung: what else was lowered to fit into
    memory (sliced, halved, tiled; see ``memory.Rung``), None for nothing.
    compiled: by compiled networks, which round otherwise.
    """

    model: str
    revision: Optional[str]
    stack: Optional[str]
    versions: Mapping[str, str]
    device: str
    dtype: str
    batch: int
    prompt: str
    seed: int
    index: int
    strength: float
    guidance: float
    steps: int
    width: int
    height: int
    background: str
    input_sha256: str
    input_size: tuple[int, int]
    flagged: Optional[bool]
    retried_float32: bool
    negative_prompt: Optional[str] = None
    model_hash: Optional[str] = None
    slot: Optional[int] = None
    rung: Optional[str] = None
    compiled: bool = False
    sdops: str = __version__
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _public_name(self.model))
        object.__setattr__(self, "versions", dict(self.versions))

    def to_json(self) -> str:
        """One JSON object, sorted keys, ASCII (so that any odd character of a prompt comes back)."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)


def parameters(record: Record) -> str:
    """The record in the words that Stable Diffusion programs exchange: prompt, negative prompt, settings.

    The form has no escapes for prompts: they stand there as they are, on as
    many lines as they have. Our own JSON is the exact record.
    """
    settings = {
        "Steps": record.steps,
        "Sampler": SAMPLER,
        "CFG scale": format(record.guidance, ".12g"),
        "Seed": record.seed,
        "Size": f"{record.width}x{record.height}",
        "Model hash": record.model_hash,
        "Model": record.model,
        "Denoising strength": format(record.strength, ".12g"),
        "Version": f"sdops {record.sdops}",
    }
    lines = [record.prompt]
    if record.negative_prompt and record.negative_prompt.strip():
        lines.append(f"Negative prompt: {record.negative_prompt}")
    lines.append(
        ", ".join(f"{key}: {_quoted(value)}" for key, value in settings.items() if value is not None)
    )
    return "\n".join(lines)


def from_json(text: str, name: str) -> Record:
    """The record in a JSON text that came from the file ``name``.

    Raises SdopsError: metadata-damaged, metadata-newer.
    """
    try:
        # Python 3.9 takes minutes for a number of a million digits.
        data = json.loads(text, parse_int=_short_int, parse_constant=_no_constant)
        if data["schema"] > SCHEMA:
            raise SdopsError(
                "metadata-newer",
                f"{name} was made by a newer sdops, whose settings this one cannot read.",
                "Update sdops.",
            )
        return _from_mapping(data)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SdopsError("metadata-damaged", f"{name} holds settings that are damaged.") from error


def _public_name(model: str) -> str:
    """A hub id as it is; of anything that looks like a path the last part: folders name people."""
    if re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", model):
        return model
    return re.split(r"[/\\]", model.rstrip("/\\"))[-1] or "local"


def _quoted(value: Any) -> str:
    """A value of the settings line, in quotes where it could be taken for several."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text


def _from_mapping(data: Mapping[str, Any]) -> Record:
    """A Record of what JSON held; unknown keys are ignored. Raises KeyError or TypeError."""
    kinds = get_type_hints(Record)
    values: dict[str, Any] = {}
    for entry in fields(Record):
        if entry.name not in data and entry.default is not MISSING:
            continue
        value = data[entry.name]
        if not _fits(value, kinds[entry.name]):
            raise TypeError(entry.name)
        values[entry.name] = tuple(value) if isinstance(value, list) else value
    return Record(**values)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is of a field's type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Union:
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(inner) and all(map(_fits, value, inner))
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    if kind in (int, float):
        # 1e999 is a number in JSON, and none that could be written there again.
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind)


def _short_int(text: str) -> int:
    if len(text) > 20:
        raise ValueError("no setting has so many digits")
    return int(text)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
