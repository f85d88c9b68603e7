"""Picks the device and builds the model that are measured, in a process that ends before that begins.

python -m sdops_runtime.bench.prepare DEVICE [FOLDER full|small]

What it takes of the GPU's memory would be missing in what is measured.
"""

import json
import sys
from pathlib import Path

from sdops_runtime import device as devices
from sdops_runtime import dialect
from sdops_runtime.bench import models
from sdops_runtime.errors import SdopsError


def main(wanted: str, folder: str = "", size: str = "") -> None:
    """Prints the kind of device, and the model's folder if one was wanted, or an error."""
    try:
        dialect.libraries()
        kind = devices.pick(wanted).kind
        place = models.ensure(Path(folder), size == "full", kind) if folder else ""
        told = {"device": kind, "model": str(place)}
    except SdopsError as error:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
    print("\n" + json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
