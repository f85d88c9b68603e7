"""What is asked of a job and what it says while it runs: the words both sides share.

A ``JobRequest`` is complete: with the same model and stack it always makes the
same pictures. Everything is checked here, before a library is imported or a
byte is sent. No I/O here. Standard library only, Python 3.9.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Optional

from sdops_runtime.errors import SdopsError

#: Raised by one whenever an older reader could misunderstand a request or an event.
PROTOCOL = 1

DTYPES = ("auto", "float16", "bfloat16", "float32")

#: The guide's model, and the branch of it that holds its weights in float16.
DEFAULT_MODEL, DEFAULT_REVISION = "CompVis/stable-diffusion-v1-4", "fp16"

#: torch.Generator.manual_seed takes up to 2**64 - 1; signed 64 bits keep JSON readers safe.
MAX_SEED = 2**63 - 1
#: The UNet halves its 1/8-size latents three times; below 64 pixels its lowest level is empty.
MIN_SIDE = 64
#: Above this the attention over latents (side/8 squared tokens) outgrows any GPU of today.
MAX_SIDE = 2048
#: The model was trained with 1,000 noise levels; more steps than that repeat the last one.
MAX_STEPS = 1000


@dataclass(frozen=True)
class Settings:
    """How pictures are made: the guide's parameters with the guide's defaults.

    model: hub id, local folder, or ``demo``. revision: branch, tag or commit at
    the hub, None for the usual one (``wanted_revision``). dtype: number format of the computation;
    ``auto`` is float16 on a GPU, float32 elsewhere. width: pixels, a multiple
    of 8; the height follows from the input's aspect ratio unless given.
    strength: 0 < s <= 1, how far the input is changed. steps: 2..1000,
    denoising steps before strength shortens them. guidance: 0..100, weight of
    the prompt; 1 or less turns it off. negative_prompt: what the picture should
    not be. images: pictures per input and prompt. seed: picture k of the job
    is drawn from ``seed + k``. background: colour put behind transparency.
    """

    model: str = DEFAULT_MODEL
    revision: Optional[str] = None
    dtype: str = "auto"
    width: int = 512
    height: Optional[int] = None
    strength: float = 0.8
    steps: int = 50
    guidance: float = 7.5
    negative_prompt: Optional[str] = None
    images: int = 1
    seed: int = 0
    background: str = "white"

    @property
    def wanted_revision(self) -> Optional[str]:
        """The revision to ask the hub for; None is its main branch."""
        if self.revision is None and self.model == DEFAULT_MODEL:
            return DEFAULT_REVISION
        return self.revision

    def check(self) -> None:
        """Raises SdopsError("settings-invalid") for the first setting outside its range."""
        if not self.model.strip():
            raise _invalid("the model has no name", "Give a hub id, a folder, or demo with --model.")
        if self.dtype not in DTYPES:
            raise _invalid(f"dtype {self.dtype!r} is not known", f"Use one of {', '.join(DTYPES)}.")
        for name, side in (("width", self.width), ("height", self.height)):
            if side is not None:
                _check_side(name, side)
        _check_number("strength", self.strength, 0.0, 1.0, "how far the input is changed")
        if self.strength == 0:
            raise _invalid(
                "strength 0 would leave the picture unchanged but for noise",
                "Use a strength above 0, up to 1; the default is 0.8.",
            )
        _check_whole("steps", self.steps, 2, MAX_STEPS)
        if denoising_steps(self.steps, self.strength) == 0:
            raise _invalid(
                f"{self.steps} steps at strength {self.strength:g} leave no step to run",
                f"Raise --strength to {math.ceil(100 / self.steps) / 100:g} or more, or --steps.",
            )
        if denoising_steps(self.steps, self.strength) >= MAX_STEPS - 1:
            raise _invalid(
                f"{self.steps} steps at strength {self.strength:g} start beyond the model's "
                f"{MAX_STEPS} noise levels",
                "Use 500 steps or fewer: more do not make it better.",
            )
        _check_number("guidance", self.guidance, 0.0, 100.0, "the weight of the prompt")
        if self.negative_prompt is not None and self.negative_prompt.strip() and self.guidance <= 1:
            raise _invalid(
                f"a negative prompt has no effect at guidance {self.guidance:g}",
                "Use --guidance above 1, or leave --negative out.",
            )
        _check_text("negative prompt", self.negative_prompt or "")
        _check_whole("images", self.images, 1, 10_000)
        _check_whole("seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True)
class Item:
    """One picture to be made: number ``index`` of the job; input, prompt and sweep's cell by position."""

    index: int
    input: int
    prompt: int
    seed: int
    cell: int = 0


@dataclass(frozen=True)
class Prepared:
    """An input that was opened and fitted before it was sent.

    sha256: hex, of the file with the fitted image, "" where there is none. original: hex, of the input
    file's bytes. size: the input's width and height, upright. failure: code, message and hint, where the
    input gave no image.
    """

    sha256: str = ""
    original: str = ""
    size: tuple[int, int] = (0, 0)
    failure: Optional[tuple[str, str, str]] = None


@dataclass(frozen=True)
class JobRequest:
    """Everything a job needs but the bytes of its inputs.

    inputs: the inputs' names as the person gave them (base names, for output
    names and messages). prompts: one or more texts; each is used with each
    input. batch: physical batch size, chosen once by the host and recorded,
    None until then. first: place of picture 0 in its batch, chosen with it.
    prepared: one for each input where they are not the files themselves. skip:
    numbers of pictures that are not to be made; the others come out as if they
    were. sweep: pairs of strength and guidance, in place of the settings' own,
    each of which makes all of the pictures, from the same seeds. compiled:
    whether networks are compiled, where they can be; None where that pays.
    """

    inputs: tuple[str, ...]
    prompts: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)
    batch: Optional[int] = None
    prepared: Optional[tuple[Prepared, ...]] = None
    skip: tuple[int, ...] = ()
    first: int = 0
    sweep: tuple[tuple[float, float], ...] = ()
    compiled: Optional[bool] = None
    protocol: int = PROTOCOL

    def check(self) -> None:
        """Raises SdopsError: prompt-empty or settings-invalid, in words for the person."""
        if not self.inputs:
            raise _invalid("there is no input image", "Name at least one image file.")
        if not self.prompts:
            raise SdopsError(
                "prompt-empty", "There is no prompt.", 'Add one, as in "wearing a christmas hat".'
            )
        for number, prompt in enumerate(self.prompts, 1):
            if not prompt.strip():
                which = "The prompt" if len(self.prompts) == 1 else f"Prompt {number}"
                raise SdopsError(
                    "prompt-empty", f"{which} is empty.", 'Say what to make, as in "wearing a christmas hat".'
                )
            _check_text("prompt", prompt)
        for cell in range(len(self.sweep) or 1):
            self.at(cell).check()
        if len(set(self.sweep)) < len(self.sweep):
            raise _invalid("the sweep has a strength and guidance twice", "Name each value once.")
        if self.batch is not None:
            _check_whole("batch", self.batch, 1, 1024)
        _check_whole("first", self.first, 0, (self.batch or 1) - 1)
        seeds = self.total // (len(self.sweep) or 1)
        if self.compiled not in (None, True, False):
            raise SdopsError("request-invalid", "The job request does not say whether to compile.")
        last = self.settings.seed + seeds - 1
        if last > MAX_SEED:
            raise _invalid(
                f"seed {self.settings.seed} leaves no room for {seeds} pictures",
                f"Use a seed of at most {MAX_SEED - seeds + 1}.",
            )
        if self.prepared is not None and len(self.prepared) != len(self.inputs):
            raise SdopsError("request-invalid", "The job request does not tell of each input.")
        if not set(self.skip) < set(range(self.total)):
            raise SdopsError("request-invalid", "The job request leaves out what it does not have, or all.")

    @property
    def total(self) -> int:
        """How many pictures the job has, with those that are left out."""
        return len(self.inputs) * len(self.prompts) * self.settings.images * (len(self.sweep) or 1)

    @property
    def wanted(self) -> int:
        """How many pictures the job makes."""
        return self.total - len(set(self.skip))

    @property
    def partial(self) -> bool:
        """Whether others of the job's pictures are made elsewhere, or were before."""
        return bool(self.skip)

    @property
    def needed(self) -> tuple[int, ...]:
        """The inputs, by number, that pictures are made of."""
        skipped = set(self.skip)
        return tuple(sorted({item.input for item in self.items() if item.index not in skipped}))

    def at(self, cell: int) -> Settings:
        """The settings in a cell of the sweep; the job's own without one."""
        if not self.sweep:
            return self.settings
        strength, guidance = self.sweep[cell]
        return replace(self.settings, strength=strength, guidance=guidance)

    def items(self) -> tuple[Item, ...]:
        """Every picture of the job, with those to be left out: by cell, then input, prompt and copy.

        Cells come first, so that pictures of the same settings can be made together.
        """
        found: list[Item] = []
        for cell in range(len(self.sweep) or 1):
            seed = self.settings.seed
            for source in range(len(self.inputs)):
                for prompt in range(len(self.prompts)):
                    for _ in range(self.settings.images):
                        found.append(Item(len(found), source, prompt, seed, cell))
                        seed += 1
        return tuple(found)

    def to_json(self) -> str:
        """The request as one JSON document with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "JobRequest":
        """Reads what ``to_json`` wrote; fields it does not know are ignored.

        Raises SdopsError("request-invalid") for anything else, another protocol too.
        """
        try:
            data = json.loads(text)
            protocol = data["protocol"]
        except (ValueError, KeyError, TypeError) as error:
            raise SdopsError("request-invalid", "The job request is not valid JSON of sdops.") from error
        if protocol != PROTOCOL:
            raise SdopsError(
                "request-invalid",
                f"The job request speaks protocol {protocol!r}, this runtime {PROTOCOL}.",
                "Deploy the matching runtime: ansible-playbook ansible/site.yml --tags runtime",
            )
        try:
            return cls(
                inputs=tuple(_texts(data["inputs"])),
                prompts=tuple(_texts(data["prompts"])),
                settings=Settings(**_known(Settings, data["settings"])),
                batch=data.get("batch"),
                prepared=_prepared(data.get("prepared")),
                skip=tuple(data.get("skip", ())),
                first=data.get("first", 0),
                compiled=data.get("compiled"),
                sweep=tuple((strength, guidance) for strength, guidance in data.get("sweep", ())),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SdopsError("request-invalid", f"The job request is incomplete: {error}.") from error


@dataclass(frozen=True)
class Event:
    """Something that happened in a job. Readers ignore kinds and fields they do not know.

    kinds and their fields, none of which is called bytes (the desk says how many follow by that name):
    loading(model) · download(done, total: bytes) ·
    loaded(model, revision, stack, device, dtype, batch, first, compiled, seconds; of a fleet members) ·
    notice(code, message) ·
    planned(total, passes, fewest) · step(indices, step, steps) ·
    image(index, name, sha256, seed, input, prompt, input_sha256, width, height, seconds, flagged, retried;
    of a fleet worker) ·
    item_failed(index, seed, input, prompt, code, message, hint) · and exactly one last of
    done, failed(code, message, hint), cancelled, each with images, failed, flagged (counts),
    missing (seeds of what was not made) and seconds.
    """

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def terminal(self) -> bool:
        """True for the one event that ends a job."""
        return self.kind in TERMINAL


TERMINAL = ("done", "failed", "cancelled")


def denoising_steps(steps: int, strength: float) -> int:
    """How many of ``steps`` are left once ``strength`` has skipped the first ones.

    Source: both generations of the img2img pipeline compute int(steps * strength).
    """
    return min(int(steps * strength), steps)


def _invalid(message: str, hint: str) -> SdopsError:
    return SdopsError("settings-invalid", message[:1].upper() + message[1:] + ".", hint)


def _check_text(name: str, text: str) -> None:
    """Refuses what came from bytes in another encoding: the tokenizer fails at it, in words of its own."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _invalid(
            f"the {name} holds bytes that are no UTF-8 text", "Type it anew on a terminal that uses UTF-8."
        ) from error


def _check_side(name: str, side: Any) -> None:
    _check_whole(name, side, MIN_SIDE, MAX_SIDE)
    if side % 8:
        lower = max(side // 8 * 8, MIN_SIDE)
        raise _invalid(f"{name} {side} is not a multiple of 8", f"Use {lower} or {min(lower + 8, MAX_SIDE)}.")


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _invalid(f"{name} {value} is not a whole number from {low} to {high}", f"Change --{name}.")


def _check_number(name: str, value: Any, low: float, high: float, meaning: str) -> None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value <= high:
        raise _invalid(
            f"{name} {value} is not between {low:g} and {high:g}", f"--{name} is {meaning}; change it."
        )


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of texts is missing")
    return values


def _prepared(values: Any) -> Optional[tuple[Prepared, ...]]:
    if values is None:
        return None
    found = []
    for value in values:
        known = _known(Prepared, value)
        failure = known.get("failure")
        known["failure"] = None if failure is None else tuple(_texts(failure))
        known["size"] = tuple(known.get("size", (0, 0)))
        found.append(Prepared(**known))
    return tuple(found)


def _known(kind: Any, data: dict[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(kind)}
    return {name: value for name, value in data.items() if name in names}
