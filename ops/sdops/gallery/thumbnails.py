"""Makes pictures small enough for thousands of them to stand in one page. Raises nothing for a bad file."""

import base64
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from sdops.errors import SdopsError

#: Sides of the squares that outputs and inputs are made to fit into, in pixels. An output of 512x512 with a
#: person in it has 6 to 9 kB so, an input 20 to 40 kB.
OUTPUT, INPUT = 224, 512
_QUALITY = 78
#: What a page may hold that is taken over from it.
URI = re.compile(r"data:image/(?:webp|jpeg);base64,[A-Za-z0-9+/]+={0,2}")


def of_outputs(
    paths: Sequence[Path], keys: Sequence[str], known: Mapping[str, str], done: Callable[[], None]
) -> Iterator[str | None]:
    """A data URI for each picture, in their order; None for one that cannot be decoded.

    keys: a name for the contents of each; known: data URIs by such names, which are taken over. done: called
    after each.
    """
    # Pillow lets other threads run while it decodes, scales and encodes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [
            None if key in known else pool.submit(_output, path)
            for path, key in zip(paths, keys, strict=True)
        ]
        try:
            for key, future in zip(keys, made, strict=True):
                yield known[key] if future is None else future.result()
                done()
        finally:
            for future in made:
                if future is not None:
                    future.cancel()


def of_input(path: Path) -> str | None:
    """A data URI for an input, upright; None for one that cannot be opened."""
    return _small(path, INPUT)


def _output(path: Path) -> str | None:
    return _small(path, OUTPUT)


def _small(path: Path, side: int) -> str | None:
    from PIL import features
    from sdops_runtime.images import open_image

    try:
        image = open_image(path).image
    except SdopsError:
        return None
    image.thumbnail((side, side))
    kind = "webp" if features.check("webp") else "jpeg"
    stream = BytesIO()
    image.save(stream, kind, quality=_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
