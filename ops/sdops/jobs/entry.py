"""The lines of a manifest: a job that began, and an item of it that has ended. No I/O here."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any

#: Raised by one whenever an older reader could misunderstand a line; newer lines are passed over.
SCHEMA = 1


@dataclass(frozen=True)
class Input:
    """An input of a job. path: see ``shorten``. sha256: of the file's bytes, None if it could not be read."""

    path: str
    sha256: str | None


@dataclass(frozen=True)
class Begun:
    """A job that began to make pictures for this folder.

    run: names it in this file. job: its name on the host, None on this machine. time: UTC, ISO 8601.
    drawn: whether its seed was, instead of given. settings: see ``common``. batch: None until it is known.
    sweep: as in protocol.JobRequest.
    """

    run: str
    job: str | None
    host: str
    time: str
    seed: int
    drawn: bool
    images: int
    settings: Mapping[str, Any]
    prompts: tuple[str, ...]
    inputs: tuple[Input, ...]
    batch: int | None
    sweep: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Output:
    """A picture that was saved in this folder. sha256: of the file. The rest is as in protocol.Event."""

    name: str
    sha256: str
    width: int
    height: int
    seconds: float | None
    flagged: bool | None
    retried: bool


@dataclass(frozen=True)
class Failure:
    """Why there is no picture."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True)
class Item:
    """An item of a job that has ended: with an output or a failure, never both.

    index: its number in the job ``run``. first: place of that job's picture 0 in its batch. engine: model,
    revision, stack, device and dtype as they were in the end, as far as that is known.
    """

    run: str
    job: str | None
    host: str
    time: str
    index: int
    input: Input
    prompt: str
    seed: int
    settings: Mapping[str, Any]
    batch: int | None
    engine: Mapping[str, Any]
    output: Output | None
    failure: Failure | None
    first: int = 0


def to_json(entry: Begun | Item) -> str:
    """The line of an entry, in ASCII, so that any odd byte of a file's name comes back."""
    kind = "job" if isinstance(entry, Begun) else "item"
    return json.dumps({"kind": kind, "schema": SCHEMA, **asdict(entry)}) + "\n"


def from_json(line: bytes) -> Begun | Item | None:
    """The entry of a line; None for one that is damaged, cut off, or of a newer sdops."""
    try:
        data = json.loads(line, parse_constant=_no_constant, parse_float=_finite)
        if data["schema"] > SCHEMA:
            return None
        return _begun(data) if data["kind"] == "job" else _item(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


# Somebody may have changed what stands there.


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    """A number that can be written as JSON again: 1e999 cannot."""
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text} is too large")
    return found


_TEXT, _MAYBE_TEXT, _INT = (str,), (str, NoneType), (int,)
_WHOSE: Mapping[str, tuple[type, ...]] = {"run": _TEXT, "job": _MAYBE_TEXT, "host": _TEXT, "time": _TEXT}
_BEGUN: Mapping[str, tuple[type, ...]] = {
    **_WHOSE,
    "seed": _INT,
    "drawn": (bool,),
    "images": _INT,
    "batch": (int, NoneType),
}
_ITEM: Mapping[str, tuple[type, ...]] = {
    **_WHOSE,
    "index": _INT,
    "prompt": _TEXT,
    "seed": _INT,
    "batch": (int, NoneType),
}
_INPUT: Mapping[str, tuple[type, ...]] = {"path": _TEXT, "sha256": _MAYBE_TEXT}
_OUTPUT: Mapping[str, tuple[type, ...]] = {
    "name": _TEXT,
    "sha256": _TEXT,
    "width": _INT,
    "height": _INT,
    "seconds": (int, float, NoneType),
    "flagged": (bool, NoneType),
    "retried": (bool,),
}
_FAILURE: Mapping[str, tuple[type, ...]] = {"code": _TEXT, "message": _TEXT, "hint": _TEXT}


def _begun(data: Mapping[str, Any]) -> Begun:
    return Begun(
        **_fields(data, _BEGUN),
        settings=_scalars(data["settings"]),
        prompts=tuple(_fields({"text": text}, {"text": _TEXT})["text"] for text in data["prompts"]),
        inputs=tuple(Input(**_fields(one, _INPUT)) for one in data["inputs"]),
        sweep=tuple((_number(strength), _number(guidance)) for strength, guidance in data.get("sweep", ())),
    )


def _item(data: Mapping[str, Any]) -> Item:
    output, failure = data["output"], data["failure"]
    if (output is None) == (failure is None):
        raise ValueError("neither made nor failed")
    if output is not None and (Path(output["name"]).name != output["name"] or "\0" in output["name"]):
        raise ValueError("no file of this folder")
    return Item(
        **_fields(data, _ITEM),
        input=Input(**_fields(data["input"], _INPUT)),
        settings=_scalars(data["settings"]),
        engine=_scalars(data["engine"]),
        output=None if output is None else Output(**_fields(output, _OUTPUT)),
        failure=None if failure is None else Failure(**_fields(failure, _FAILURE)),
        # Not in the lines of the first versions, whose jobs all began at 0.
        **_fields({"first": data.get("first", 0)}, {"first": _INT}),
    )


def _fields(data: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    found = {name: data[name] for name in kinds}
    for name, value in found.items():
        if type(value) not in kinds[name]:
            raise TypeError(name)
    return found


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError("no number")
    found: float = value
    return found


def _scalars(data: Mapping[str, Any]) -> Mapping[str, Any]:
    if not all(isinstance(value, (str, int, float, NoneType)) for value in data.values()):
        raise TypeError("a list or an object")
    return dict(data)
