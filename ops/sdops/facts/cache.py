"""Whether the wanted model is on the host's disk, and whether all of it is. No I/O here.

What a model consists of, the runtime's own rules say: what it would still download is missing here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdops_runtime import stack as manifest
from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import layout
from sdops_runtime.hub.layout import File

from sdops.facts.lines import UNSAID, Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

MIB = 2**20


@dataclass(frozen=True)
class Cache:
    """The wanted model on the host's disk.

    kind: hub, folder or demo (which is built when it is wanted). path: its folder. there: whether there is
    anything of it. complete: whether a job can load it without the hub. commit: of a model from the hub,
    what is there. missing: files that are not there in their full size, smallest first. size_mib: of what
    is there. needed_mib: what is still to be downloaded; None where that is not known. foreign: folders of
    the cache that are not the account's, so that it cannot store anything there.
    """

    kind: str
    path: str | Unknown = UNSAID
    there: bool | Unknown = UNSAID
    complete: bool | Unknown = UNSAID
    commit: str = ""
    missing: tuple[str, ...] = ()
    size_mib: int = 0
    needed_mib: int | None = None
    foreign: tuple[str, ...] = ()


def parse(output: Output, wanted: Wanted) -> Cache | Unknown:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    uid = lines.text("account")
    if uid == "":
        return Unknown(f"there is no account {wanted.user}")
    if wanted.model == "demo":
        return Cache("demo", "", True, True)
    path, there = lines.text("path"), lines.text("there")
    if there == "hidden":
        return Unknown("the folder with the model may not be seen by this login")
    kind = "hub" if lines.all("root") else "folder"
    foreign = []
    for line in lines.all("owner"):
        owner, mode, place = line.split(" ", 2)
        if owner != uid and not int(mode, 8) & 0o002:
            foreign.append(place)
    if there != "yes":
        known = False if there == "no" else UNSAID
        return Cache(kind, path, known, known, foreign=tuple(foreign))
    files, size = _files(lines)
    if isinstance(path, Unknown) or not (lines.text("whole") if kind == "hub" else lines.all("listed")):
        return Cache(kind, path, True, foreign=tuple(foreign))
    commit = lines.text("commit")
    lacking = _lacking(lines, files, _weights(wanted.stack))
    partial = _partial(lines)
    needed: int | None = None
    if lacking is not None and all(file.size >= 0 for file in lacking):
        arrived = sum(min(partial.get(file.blob, 0), file.size) for file in lacking)
        needed = (sum(file.size for file in lacking) - arrived + MIB - 1) // MIB
    named = kind == "folder" or bool(lines.text("ref"))
    return Cache(
        kind,
        path,
        True,
        lacking == () and named,
        commit if isinstance(commit, str) else "",
        tuple(file.path for file in lacking or ()),
        size // MIB,
        needed,
        tuple(foreign),
    )


def _weights(stack: str) -> tuple[str, ...]:
    """Endings of weight files that a stack reads, best first (as dialect.weight_suffixes)."""
    try:
        manifest.load(stack).pin("safetensors")
    except (KeyError, SdopsError):
        return (".bin",)
    return (".safetensors", ".bin")


def _files(lines: Lines) -> tuple[dict[str, int], int]:
    """Sizes by the files' paths, and their sum."""
    found = {}
    for line in lines.all("file"):
        size, _, path = line.partition(" ")
        if size.isdigit() and path:
            found[path.removeprefix("./")] = int(size)
    return found, sum(found.values())


def _partial(lines: Lines) -> dict[str, int]:
    """How much has arrived of files that are being downloaded, in bytes, by the names of their contents."""
    found = {}
    for line in lines.all("partial"):
        size, _, name = line.partition(" ")
        if size.isdigit() and name.endswith(".sdops.incomplete"):
            found[name.split(".")[0]] = int(size)
    return found


def _lacking(lines: Lines, files: dict[str, int], weights: Sequence[str]) -> tuple[File, ...] | None:
    """What is needed and not there; None where that cannot be told, but something is."""
    listing = _listing(lines)
    index = _json(lines.text("index"))
    try:
        parts = layout.named_parts(index, "", "")
    except SdopsError:
        return (
            None if listing is None else tuple(file for file in listing if file.path == layout.INDEX) or None
        )
    choices = [tuple(weights), *((one,) for one in weights if len(weights) > 1)]
    found: list[tuple[File, ...]] = []
    for choice in choices:
        # Without a listing the files that are there have to do: one is linked when it is whole.
        present = listing or tuple(File(path, size) for path, size in files.items() if size)
        try:
            needed = layout.select(present, parts, choice, "", "")
        except SdopsError:
            continue
        found.append(tuple(file for file in needed if files.get(file.path) != file.size))
    if () in found:
        return ()
    return found[0] if found and found[0] else None


def _listing(lines: Lines) -> tuple[File, ...] | None:
    rows = _json(lines.text("listing")).get("files")
    try:
        return tuple(File(str(path), int(size), str(blob)) for path, size, blob in rows or ()) or None
    except (TypeError, ValueError):
        return None


def _json(text: str | Unknown) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


PROBE = Probe("cache", 15, parse)
