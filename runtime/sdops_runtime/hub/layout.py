"""What a folder must hold so that the pipeline loads from it. Reads files, never the network.

A model is a folder in diffusers' layout: ``model_index.json`` names the parts,
each part is a folder with a small configuration and, for networks, weights.
Weights come in several formats and variants side by side; one format of the
plain variant is all that is ever needed.
"""

import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdops_runtime.errors import SdopsError

INDEX = "model_index.json"

#: What a part's class is called, and the file it is configured by. Anything else is a network.
_CONFIGURED_BY = (
    ("Tokenizer", "tokenizer_config.json"),
    ("Scheduler", "scheduler_config.json"),
    ("FeatureExtractor", "preprocessor_config.json"),
    ("Processor", "preprocessor_config.json"),
)
_NETWORK = "config.json"

#: Names of weights as the libraries look for them. With a further word (``.fp16``, ``.non_ema``,
#: ``.ema``) they are a variant, which is loaded only when it is asked for by that word.
_PLAIN = re.compile(r"(?:diffusion_pytorch_model|pytorch_model|model)(?:-(\d{5})-of-(\d{5}))?")
_SMALL = (".json", ".txt", ".model")
#: The licence has to go along with the model (OpenRAIL-M, paragraph 4).
_PAPERS = re.compile(r"(?:readme|licen[cs]e|copying|notice|use_policy)[^/]*", re.IGNORECASE)

#: A safetensors header lists the tensors as JSON; Stable Diffusion's longest is below 100 kB.
_MAX_HEADER = 100 * 2**20


@dataclass(frozen=True)
class File:
    """A file of a model: its path inside the model, its size in bytes, and at the hub its content's name."""

    path: str
    size: int
    blob: str = ""


def broken(name: str, what: str, remedy: str) -> SdopsError:
    """The error for a model that cannot be loaded: ``what`` completes "The model NAME ..."."""
    return SdopsError("model-broken", f"The model {name} {what}.", remedy)


def read_index(path: Path, name: str, remedy: str) -> dict[str, str]:
    """The parts that the model_index.json at ``path`` names: part -> class. Raises model-broken."""
    return named_parts(_read_json(path, name, remedy), name, remedy)


def named_parts(index: Mapping[str, Any], name: str, remedy: str) -> dict[str, str]:
    """The parts that the content of a model_index.json names: part -> class. Raises model-broken."""
    found: dict[str, str] = {}
    for part, entry in index.items():
        # [null, null] stands for an optional part that this model goes without (its safety checker).
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry):
            if not re.fullmatch(r"\w+", part):
                raise broken(name, f"has a part with the impossible name {part!r}", remedy)
            found[part] = entry[1]
    if not found:
        raise broken(name, f"is no pipeline: its {INDEX} names no parts", remedy)
    return found


def select(
    files: Iterable[File], parts: Mapping[str, str], weights: Sequence[str], name: str, remedy: str
) -> tuple[File, ...]:
    """The files needed, smallest first: configurations, tokenizer, licence, and each network's weights.

    weights: endings the libraries read, best first; of each network the first
    that it has. Never variants, code, or other frameworks' weights. Raises
    model-broken where a part or its weights are missing.
    """
    present = {file.path: file for file in files}
    wanted = [file for path, file in present.items() if path == INDEX or _PAPERS.fullmatch(path)]
    for part, kind in parts.items():
        own = [file for path, file in present.items() if path.rpartition("/")[0] == part]
        config = next((file for word, file in _CONFIGURED_BY if word in kind), _NETWORK)
        required = [config]
        if kind == "CLIPTokenizer" and f"{part}/tokenizer.json" not in present:
            required += ["vocab.json", "merges.txt"]
        for needed in required:
            if f"{part}/{needed}" not in present:
                raise broken(name, f"lacks {part}/{needed}", remedy)
        wanted += [file for file in own if _is_small(file.path)]
        if config == _NETWORK:
            wanted += _weights(own, part, weights, name, remedy)
    return tuple(sorted(wanted, key=lambda file: (file.size, file.path)))


def check(folder: Path, weights: Sequence[str], name: str, remedy: str) -> None:
    """Raises SdopsError("model-broken") if the pipeline cannot load from ``folder``.

    Finds missing parts, empty and cut-off files, and what is commonly saved in
    place of weights: git-lfs pointers and web pages. Does not read the weights'
    values (a second, not a minute, for gigabytes).
    """
    if not (folder / INDEX).is_file():
        raise broken(name, f"lacks {INDEX}, so it is no folder in diffusers' layout", remedy)
    parts = read_index(folder / INDEX, name, remedy)
    present = [
        File(f"{part}/{path.name}", path.stat().st_size)
        for part in sorted(parts)
        if (folder / part).is_dir()
        for path in sorted((folder / part).iterdir())
        if path.is_file()
    ]
    for file in select(present, parts, weights, name, remedy):
        path = folder / file.path
        if file.path.endswith(".json"):
            _read_json(path, name, remedy)
        elif file.path.endswith(tuple(weights)):
            damage = _damage(path)
            if damage:
                raise broken(name, f"is damaged: {file.path} {damage}", remedy)


def _weights(own: Sequence[File], part: str, weights: Sequence[str], name: str, remedy: str) -> list[File]:
    others: list[str] = []
    for suffix in weights:
        candidates = [file for file in own if file.path.endswith(suffix)]
        matches = [(file, _PLAIN.fullmatch(_stem(file.path, suffix))) for file in candidates]
        plain = [(file, match) for file, match in matches if match]
        whole = [file for file, match in plain if match.group(1) is None]
        if whole:
            return whole
        if plain:
            shards = int(plain[0][1].group(2))
            if len(plain) != shards:
                lost = shards - len(plain)
                raise broken(name, f"lacks {lost} of the {shards} files of {part}'s weights", remedy)
            index = [file for file in own if file.path.endswith(suffix + ".index.json")]
            return [file for file, _ in plain] + [
                file for file in index if _PLAIN.fullmatch(_stem(file.path, suffix + ".index.json"))
            ]
        others += [file.path for file in candidates]
    others += [file.path for file in own if file.path.endswith((".safetensors", ".bin", ".msgpack", ".ckpt"))]
    wanted = " or ".join(weights)
    if others:
        names = ", ".join(sorted({path.rpartition("/")[2] for path in others}))
        raise broken(name, f"has no weights ({wanted}) for {part} that are read here, only {names}", remedy)
    raise broken(name, f"lacks the weights ({wanted}) of {part}", remedy)


def _stem(path: str, suffix: str) -> str:
    return path.rpartition("/")[2][: -len(suffix)]


def _is_small(path: str) -> bool:
    # An index of shards goes with the shards: without them the libraries would look for them.
    return path.endswith(_SMALL) and not path.endswith(".index.json")


def _read_json(path: Path, name: str, remedy: str) -> dict[str, Any]:
    where = path.name if path.name == INDEX else f"{path.parent.name}/{path.name}"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise broken(name, f"is damaged: {where} is not JSON", remedy) from error
    except OSError as error:
        raise broken(name, f"has a file that cannot be read: {where} ({error.strerror})", remedy) from error
    if not isinstance(data, dict):
        raise broken(name, f"is damaged: {where} is not an object", remedy)
    return data


def _damage(path: Path) -> str:
    """What is wrong with a file of weights, as the end of a sentence; empty if nothing shows."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if not size:
            return "is empty"
        if head.startswith(b"version https://git-lfs"):
            return "is a git-lfs pointer and not the weights (git lfs pull fetches them)"
        if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
            return "is a web page"
        if path.suffix == ".safetensors":
            length = int.from_bytes(head[:8], "little")
            if length > min(size - 8, _MAX_HEADER):
                return "is cut off" if length <= _MAX_HEADER else "is not a file of weights"
            file.seek(8)
            return _tensors_damage(file.read(length), size - 8 - length)
    if head.startswith(b"PK"):
        return "" if zipfile.is_zipfile(path) else "is cut off"
    # The format of torch before zip: pickles, whose end cannot be told without reading them.
    return "" if head.startswith(b"\x80") else "is not a file of weights"


def _tensors_damage(header: bytes, size: int) -> str:
    try:
        tensors = json.loads(header)
        ends = [int(entry["data_offsets"][1]) for key, entry in tensors.items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "is not a file of weights"
    return "is cut off" if max(ends, default=0) > size else ""
