"""The command that makes a picture, as its settings have it. No I/O here."""

import shlex
from dataclasses import asdict
from pathlib import Path

from sdops_runtime.protocol import DEFAULT_MODEL, Settings
from sdops_runtime.record import Record

_DEFAULT = asdict(Settings())
#: Options whose value is the record's own, in the order of ``sdops run --help``.
_SAME = ("strength", "steps", "guidance")


def command(record: Record, source: str, model: str = "") -> str:
    """What is typed to make a picture like it: the same, with the same libraries and batch.

    source: the image's name, as seen from where it is typed. model: instead of the record's, which has only
    the last part of a folder's name. (``sdops replay`` asks for all that counts.)
    """
    # What begins with a dash would be taken for an option.
    source = f"./{source}" if source.startswith("-") else source
    prompt = f"--prompt={record.prompt}" if record.prompt.startswith("-") else record.prompt
    options: list[str] = []
    if record.negative_prompt:
        options += ["--negative", record.negative_prompt]
    for name in _SAME:
        value = getattr(record, name)
        if value != _DEFAULT[name]:
            options += [f"--{name}", format(value, ".12g")]
    options += ["--seed", str(record.seed)]
    options += _size(record)
    if record.model != DEFAULT_MODEL:
        options += ["--model", model or record.model]
        # The demo's is the recipe that it was built by, and no choice.
        options += ["--revision", record.revision] if record.revision and record.model != "demo" else []
    if record.dtype != ("float16" if record.device != "CPU" else "float32"):
        options += ["--dtype", record.dtype]
    if record.background != _DEFAULT["background"]:
        options += ["--background", record.background]
    return shlex.join(["sdops", "run", source, prompt, *options])


def seen_from(folder: Path, path: Path) -> str:
    """A file's name as it is typed in a folder."""
    try:
        return str(path.relative_to(folder))
    except ValueError:
        return str(path)


def _size(record: Record) -> list[str]:
    from sdops_runtime.images import fitted_size

    from sdops.errors import SdopsError

    options = [] if record.width == _DEFAULT["width"] else ["--width", str(record.width)]
    try:
        follows = fitted_size(record.input_size, record.width)
    except (SdopsError, ZeroDivisionError):
        follows = None
    return options if follows == (record.width, record.height) else [*options, "--height", str(record.height)]
