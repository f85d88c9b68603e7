"""Finds a folder's pictures, how each was made, and from which image. Writes nothing, decodes no pixels."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdops_runtime import png
from sdops_runtime.record import Record

from sdops.errors import SdopsError
from sdops.jobs import manifest
from sdops.jobs.entry import Item
from sdops.jobs.plan import digest
from sdops.jobs.source import LARGEST, MOST

#: Kinds of files that an input may be, for those that no manifest names.
_IMAGES = frozenset(
    (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".tif", ".tiff", ".webp")
)


@dataclass(frozen=True)
class Picture:
    """A picture that carries its settings. item: what a manifest tells of it, too.

    size, changed: of the file: bytes, and nanoseconds since 1970.
    """

    path: Path
    record: Record
    item: Item | None
    size: int
    changed: int


@dataclass(frozen=True)
class Source:
    """An image that pictures were made from. path: None where it is not found. name: what it is called."""

    sha256: str
    name: str
    path: Path | None


@dataclass(frozen=True)
class Found:
    """What a folder holds. pictures: the oldest first. sources: by their SHA-256.

    others: whole PNG files that carry no settings. broken: names, below the folder, of other files that are
    called PNG, with why their settings cannot be read.
    """

    folder: Path
    pictures: tuple[Picture, ...]
    sources: Mapping[str, Source]
    others: int
    broken: Mapping[str, str] = field(default_factory=dict)


def collect(folder: Path, deep: bool) -> Found:
    """What a folder holds; deep: and the folders below it, but for hidden ones.

    Raises SdopsError("folder-unreadable").
    """
    pictures: list[Picture] = []
    images: list[Path] = []
    items: list[tuple[Path, Item]] = []
    broken: dict[str, str] = {}
    others = 0
    for place, names in _folders(folder, deep):
        told = _manifest(place)
        items += [(place, item) for item in told]
        by_name = {item.output.name: item for item in told if item.output}
        for name in names:
            path = place / name
            if path.suffix.lower() in _IMAGES:
                images.append(path)
            if path.suffix.lower() != ".png":
                continue
            try:
                pictures.append(_picture(path, by_name.get(name)))
                images.pop()
            except SdopsError as error:
                if error.code == "metadata-missing":
                    others += 1
                else:
                    broken[str(path.relative_to(folder))] = error.message
    pictures.sort(key=lambda one: (one.changed, str(one.path)))
    return Found(folder, tuple(pictures), _sources(pictures, items, images), others, broken)


def _folders(folder: Path, deep: bool) -> Iterator[tuple[Path, Sequence[str]]]:
    def give_up(error: OSError) -> None:
        if error.filename is None or Path(error.filename) == folder:
            raise SdopsError(
                "folder-unreadable", f"{folder} cannot be read: {error.strerror}.", "Name another folder."
            ) from error

    for place, below, names in os.walk(folder, onerror=give_up):
        below[:] = sorted(name for name in below if deep and not name.startswith("."))
        yield Path(place), sorted(name for name in names if not name.startswith("."))


def _manifest(place: Path) -> Sequence[Item]:
    try:
        return manifest.read(place).items
    except SdopsError:
        return ()  # the pictures themselves tell nearly all of it


def _picture(path: Path, item: Item | None) -> Picture:
    record = png.read_record(path)
    try:
        status = path.stat()
    except OSError as error:
        raise SdopsError("image-unreadable", f"{path.name} cannot be read: {error.strerror}.") from error
    if item is not None and (item.seed, item.prompt) != (record.seed, record.prompt):
        item = None  # another picture has its name now
    return Picture(path, record, item, status.st_size, status.st_mtime_ns)


def _sources(
    pictures: Sequence[Picture], items: Sequence[tuple[Path, Item]], images: Sequence[Path]
) -> Mapping[str, Source]:
    """The images that pictures were made from: where a manifest says, else among those beside them."""
    wanted = dict.fromkeys(one.record.input_sha256 for one in pictures)
    named: dict[str, list[Path]] = {}
    for place, item in items:
        if item.input.sha256 in wanted:
            named.setdefault(str(item.input.sha256), []).append(place / item.input.path)
    found: dict[str, Source] = {}
    for sha256 in wanted:
        paths = [Path(os.path.normpath(path)) for path in dict.fromkeys(named.get(sha256, ()))]
        path = next((one for one in paths if digest(one) == sha256), None)
        found[sha256] = Source(sha256, paths[0].name if paths else "", path)
    read, missing = 0, {sha256 for sha256, source in found.items() if source.path is None}
    for path in images:
        if not missing:
            break
        size = path.stat().st_size if path.is_file() else LARGEST + 1
        if size > LARGEST or read + size > MOST:
            continue
        read += size
        sha256 = digest(path) or ""
        if sha256 in missing:
            missing.remove(sha256)
            found[sha256] = Source(sha256, path.name, path)
    return found
