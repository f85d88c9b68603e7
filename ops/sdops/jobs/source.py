"""Finds the image that a picture was made from, by the SHA-256 in the picture's record."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sdops_runtime.outputs import output_name

from sdops.errors import SdopsError
from sdops.jobs import manifest
from sdops.jobs.plan import digest

if TYPE_CHECKING:
    from sdops_runtime.record import Record

#: Bytes of a file that is looked into without being named, and of all of them: some 10 s of a disk's time.
LARGEST, MOST = 2**30, 2**33


def find(picture: Path, record: "Record", given: Sequence[Path]) -> Path:
    """The input of a picture: one of the files ``given``, if any are.

    Else what the manifest beside the picture names, or a file beside the picture or in the working folder.
    Raises SdopsError: source-missing, source-differs, or as images.open_file does for a file that was given.
    """
    if given:
        return _given(picture, record, given)
    known = _known(picture, record)
    for path in (*known, *_around(picture, record)):
        if digest(path) == record.input_sha256:
            return path
    changed = next((path for path in known if path.is_file()), None)
    hint = f"Name the original with --input FILE; its SHA-256 is {record.input_sha256}."
    if changed is not None:
        raise SdopsError("source-differs", f"{changed} has changed since {picture} was made from it.", hint)
    raise SdopsError("source-missing", f"The image that {picture} was made from is not found.", hint)


def _given(picture: Path, record: "Record", given: Sequence[Path]) -> Path:
    from sdops_runtime.images import open_file  # which brings Pillow along

    for path in given:
        open_file(path).close()
        if digest(path) == record.input_sha256:
            return path
    which = f"{given[0]} is not" if len(given) == 1 else f"None of the {len(given)} inputs is"
    raise SdopsError(
        "source-differs",
        f"{which} the image that {picture} was made from.",
        f"Name the original; its SHA-256 is {record.input_sha256}.",
    )


def _known(picture: Path, record: "Record") -> list[Path]:
    """Where inputs of that hash were when the pictures beside this one were made."""
    home = picture.parent.resolve()
    with suppress(SdopsError):
        items = manifest.read(home).items
        names = [item.input.path for item in items if item.input.sha256 == record.input_sha256]
        return [_from_here(home / name) for name in dict.fromkeys(names)]
    return []


def _around(picture: Path, record: "Record") -> Iterator[Path]:
    """Files in the two folders, those first that have the right name."""
    found: list[tuple[bool, str, int, Path]] = []
    for folder in dict.fromkeys((picture.parent.resolve(), Path.cwd())):
        with suppress(OSError):
            for path in folder.iterdir():
                with suppress(OSError):
                    path = _from_here(path)
                    if path.is_file() and path.name != picture.name and path.stat().st_size <= LARGEST:
                        other = output_name(path.name, record.seed) != picture.name
                        found.append((other, path.name, path.stat().st_size, path))
    read = 0
    for _, _, size, path in sorted(found):
        read += size
        if read > MOST:
            return
        yield path


def _from_here(path: Path) -> Path:
    """An absolute path without links but the last, as short as it can be named from the working folder."""
    plain, here = Path(os.path.normpath(path)), Path.cwd()
    return plain.relative_to(here) if plain.is_relative_to(here) else plain
