"""Writes the page: one file with all that it shows, which asks nobody for anything.

Small pictures stand in the page itself; the large ones beside it are opened by their names, where they still
are. Text is data there, never markup.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdops_runtime import png
from sdops_runtime.images import shown

from sdops import __version__
from sdops.errors import SdopsError
from sdops.gallery import thumbnails
from sdops.gallery.collect import Found, Picture, Source
from sdops.gallery.command import command, seen_from
from sdops.gallery.sweep import sweeps

#: By this a page is known for one of ours, which may be written anew.
_MARK = '<meta name="generator" content="sdops gallery'
_DATA = '<script type="application/json" id="data">'
#: No page is larger: 100,000 pictures would have 900 MB.
_MOST = 2**30


@dataclass(frozen=True)
class Written:
    """A page that was written. undecodable: names of the files that it cannot show."""

    path: Path
    size: int
    undecodable: tuple[str, ...]


def write(found: Found, path: Path, overwrite: bool, done: Callable[[], None]) -> Written:
    """Writes the page of a folder. done: called after each picture and each input.

    Raises SdopsError: output-exists for a file that is no page of ours, else as ``png.keep`` does.
    """
    before = _before(path, overwrite)
    data = _data(found, path.parent, before, done)
    page = _page(data).encode("ascii")
    png.keep(page, path, overwrite=True)
    there = (one for one in (*data["pictures"], *data["inputs"]) if one["href"])
    return Written(path, len(page), tuple(str(one["name"]) for one in there if one["small"] is None))


def _page(data: Mapping[str, Any]) -> str:
    style, script, whole = (_part(name) for name in ("page.css", "page.js", "page.html"))
    # Infinity would leave the whole page blank. What could end the element is written otherwise.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "VERSION": __version__,
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": text,
    }
    for name, part in parts.items():
        head, mark, tail = whole.partition("{{" + name + "}}")
        assert mark, name
        whole = head + part + tail
    return whole


def _part(name: str) -> str:
    return files("sdops.gallery").joinpath(name).read_text(encoding="ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(found: Found, home: Path, before: Mapping[str, str], done: Callable[[], None]) -> dict[str, Any]:
    keys = [_key(one) for one in found.pictures]
    wanted = [
        thumbnails.Wanted(one.path, key, thumbnails.OUTPUT)
        for one, key in zip(found.pictures, keys, strict=True)
    ]
    # No key of an output is a SHA-256: it has dashes.
    wanted += [thumbnails.Wanted(one.path, one.sha256, thumbnails.INPUT) for one in found.sources.values()]
    small = list(thumbnails.make(wanted, before, done))
    sizes = {one.record.input_sha256: one.record.input_size for one in found.pictures}
    numbers = {sha256: number for number, sha256 in enumerate(found.sources)}
    prompts = {
        text: number for number, text in enumerate(dict.fromkeys(_prompt(one) for one in found.pictures))
    }
    return {
        "title": shown(found.folder.resolve().name or str(found.folder)),
        "prompts": list(prompts),
        "inputs": [
            {**_input(one, home), "width": sizes[one.sha256][0], "height": sizes[one.sha256][1], "small": uri}
            for one, uri in zip(found.sources.values(), small[len(keys) :], strict=True)
        ],
        "pictures": [
            {
                **_picture(one, found, home),
                "prompt": prompts[_prompt(one)],
                "input": numbers[one.record.input_sha256],
                "key": key,
                "small": uri,
            }
            for one, key, uri in zip(found.pictures, keys, small[: len(keys)], strict=True)
        ],
        "sweeps": [
            {"strengths": one.strengths, "guidances": one.guidances, "cells": one.cells}
            for one in sweeps(found.pictures)
        ],
    }


def _prompt(picture: Picture) -> str:
    return picture.record.prompt


def _key(picture: Picture) -> str:
    return f"{picture.size}-{picture.changed}-{shown(picture.path.name)}"


def _input(source: Source, home: Path) -> dict[str, Any]:
    return {
        "key": source.sha256,
        "name": shown(source.name) or "(not found)",
        "href": None if source.path is None else _href(source.path, home),
    }


def _picture(one: Picture, found: Found, home: Path) -> dict[str, Any]:
    record, item = one.record, one.item
    source = found.sources[record.input_sha256]
    name = seen_from(Path.cwd(), source.path.absolute()) if source.path else source.name or "photo.jpg"
    return {
        "name": shown(one.path.relative_to(found.folder)),
        "href": _href(one.path, home),
        "width": record.width,
        "height": record.height,
        "negative": record.negative_prompt,
        "seed": str(record.seed),  # more digits than a number has in a browser
        "strength": record.strength,
        "guidance": record.guidance,
        "steps": record.steps,
        "model": record.model,
        "device": record.device,
        "stack": record.stack,
        "seconds": item.output.seconds if item and item.output else None,
        "host": item.host if item else None,
        "flagged": record.flagged,
        # Odd bytes of a name cannot be copied from a page.
        "command": command(record, name, _model(one)).encode("utf-8", "replace").decode("utf-8"),
    }


def _model(one: Picture) -> str:
    """The model as the manifest names it: a record has only the last part of a folder's name."""
    named = one.item.settings.get("model") if one.item else None
    if isinstance(named, str) and replace(one.record, model=named).model == one.record.model:
        return named
    return one.record.model


def _href(path: Path, home: Path) -> str:
    """A file as the page names it: from its own folder, any byte of it."""
    return quote(os.fsencode(os.path.relpath(path.absolute(), home.absolute())))


def _before(path: Path, overwrite: bool) -> Mapping[str, str]:
    """The small pictures of the page that is there already, by their keys."""
    try:
        if path.stat().st_size > _MOST:
            return {}
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SdopsError(
            "output-unwritable", f"{path} cannot be read: {error.strerror}.", "Name another file with --out."
        ) from error
    if _MARK not in text[:4096]:
        if overwrite:
            return {}
        raise SdopsError(
            "output-exists",
            f"{path} is there already, and is no gallery.",
            "Name another file with --out, or --overwrite to replace it.",
        )
    known = {}
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        data = json.loads(text.partition(_DATA)[2].partition("</script>")[0])
        for one in (*data["pictures"], *data["inputs"]):
            small, key = one.get("small"), one.get("key")
            if isinstance(key, str) and isinstance(small, str) and thumbnails.URI.fullmatch(small):
                known[key] = small
    return known
