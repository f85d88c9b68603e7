"""Where a job's pictures go: their names, and whether the folder will take them."""

import errno
import os
import re
import shutil
from pathlib import Path

from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import Item, JobRequest

#: Free disk space, beyond the pictures' own upper bound, below which a job is not begun.
SPARE_BYTES = 32 * 2**20


def output_name(name: str, seed: int) -> str:
    """The file name of a picture: its input's stem, made harmless, and its seed."""
    stem = re.sub(r"[^\w.+-]+", "_", Path(name).stem).strip("._") or "picture"
    return f"{stem[:100]}-{seed}.png"


def name_of(request: JobRequest, item: Item) -> str:
    """The file name of one of a job's pictures; in a sweep it tells strength and guidance, too."""
    name = output_name(request.inputs[item.input], item.seed)
    if not request.sweep:
        return name
    strength, guidance = request.sweep[item.cell]
    return f"{name[:-4]}-s{strength:.12g}-g{guidance:.12g}.png"


def check_outputs(request: JobRequest, out: Path, overwrite: bool) -> None:
    """Makes the output folder; raises SdopsError if it will not take the job's pictures.

    output-unwritable, output-exists, or disk-full: a PNG is at most its pixels' size.
    """
    settings = request.settings
    try:
        out.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(out, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    except FileExistsError:
        reason = "it is not a folder"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise SdopsError(
            "output-unwritable",
            f"Pictures cannot be written to {out}: {reason}.",
            "Name another folder with --out.",
        )
    skipped = set(request.skip)
    names = [name_of(request, item) for item in request.items() if item.index not in skipped]
    there = [] if overwrite else [name for name in names if (out / name).exists()]
    if there:
        more = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise SdopsError(
            "output-exists",
            f"{out / there[0]}{more} there already.",
            "Use another --seed or --out, or --overwrite to replace.",
        )
    count = request.wanted
    needed = count * settings.width * (settings.height or settings.width) * 3 + SPARE_BYTES
    free = shutil.disk_usage(out).free
    if free < needed:
        raise SdopsError(
            "disk-full",
            f"{count} picture{'s'[: count > 1]} may need {needed / 2**20:.0f} MiB in {out}, "
            f"and {free / 2**20:.0f} MiB are free.",
            "Free some space, or write elsewhere with --out.",
        )
