"""Writes the page: one file with all that it shows, which asks nobody for anything.

Small pictures stand in the page itself; the large ones beside it are opened by their names, where they still
are. Text is data there, never markup.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

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


def write(found: Found, path: Path, overwrite: bool, done: Callable[[], None]) -> int:
    """Writes the page of a folder; returns its bytes. done: called after each picture that is made small.

    Raises SdopsError: output-exists for a file that is no page of ours, output-unwritable, disk-full.
    """
    before = _before(path, overwrite)
    data = _data(found, path.parent, before, done)
    return _save(_page(data).encode("ascii"), path)


def _page(data: Mapping[str, Any]) -> str:
    style, script, whole = (_part(name) for name in ("page.css", "page.js", "page.html"))
    # What could end the element that holds it is written otherwise, which JSON allows.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
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
    paths = [one.path for one in found.pictures]
    small = list(thumbnails.of_outputs(paths, keys, before, done))
    numbers = {sha256: number for number, sha256 in enumerate(found.sources)}
    prompts = {
        text: number for number, text in enumerate(dict.fromkeys(_prompt(one) for one in found.pictures))
    }
    return {
        "title": shown(found.folder.resolve().name or str(found.folder)),
        "prompts": list(prompts),
        "inputs": [_input(source, home) for source in found.sources.values()],
        "pictures": [
            {
                **_picture(one, found, home),
                "prompt": prompts[_prompt(one)],
                "input": numbers[one.record.input_sha256],
                "key": key,
                "small": uri,
            }
            for one, key, uri in zip(found.pictures, keys, small, strict=True)
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
        "name": shown(source.name) or "(not found)",
        "href": None if source.path is None else _href(source.path, home),
        "small": None if source.path is None else thumbnails.of_input(source.path),
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
        "flagged": bool(record.flagged),
        # Odd bytes of a name cannot be copied from a page.
        "command": command(record, name).encode("utf-8", "replace").decode("utf-8"),
    }


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
        raise _unwritable(path, error) from error
    if _MARK not in text[:4096]:
        if overwrite:
            return {}
        raise SdopsError(
            "output-exists",
            f"{path} is there already, and is no gallery.",
            "Name another file with --out, or --overwrite to replace it.",
        )
    known = {}
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        for one in json.loads(text.partition(_DATA)[2].partition("</script>")[0])["pictures"]:
            if isinstance(one["small"], str) and thumbnails.URI.fullmatch(one["small"]):
                known[str(one["key"])] = one["small"]
    return known


def _save(data: bytes, path: Path) -> int:
    """Writes a file, whole or not at all."""
    aside = path.with_name(f".sdops-{secrets.token_hex(8)}.part")
    try:
        try:
            aside.write_bytes(data)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return len(data)


def _unwritable(path: Path, error: OSError) -> SdopsError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SdopsError(
            "disk-full",
            f"The disk of {path.parent} is full.",
            "Free some space, or name another file with --out.",
        )
    return SdopsError(
        "output-unwritable", f"{path} cannot be written: {error.strerror}.", "Name another file with --out."
    )
