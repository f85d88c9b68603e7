"""Makes pictures small enough for thousands of them to stand in one page. Raises nothing for a bad file."""

import base64
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from sdops.errors import SdopsError

#: Sides of the squares that outputs and inputs are made to fit into, in pixels. An output of 512x512 with a
#: person in it has 6 to 9 kB so, an input 20 to 40 kB.
OUTPUT, INPUT = 224, 512
_QUALITY = 78
#: At once: an input of 100 megapixels takes 2 GB while it is opened.
_THREADS = 8
#: What a page may hold that is taken over from it.
URI = re.compile(r"data:image/(?:webp|jpeg);base64,[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Wanted:
    """A file to be made small, upright. path: None where there is none. key: a name for what it holds."""

    path: Path | None
    key: str
    side: int


def make(
    wanted: Sequence[Wanted], known: Mapping[str, str], done: Callable[[], None]
) -> Iterator[str | None]:
    """A data URI for each file, in their order; None for one that is not there or cannot be decoded.

    known: data URIs by their keys, which are taken over. done: called after each.
    """
    # Pillow lets other threads run while it decodes, scales and encodes.
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        made = [None if one.path is None or one.key in known else pool.submit(_small, one) for one in wanted]
        try:
            for one, future in zip(wanted, made, strict=True):
                if future is not None:
                    yield future.result()
                else:
                    yield known.get(one.key) if one.path is not None else None
                done()
        finally:
            for future in made:
                if future is not None:
                    future.cancel()


def _small(one: Wanted) -> str | None:
    from PIL import features
    from sdops_runtime.images import open_image

    assert one.path is not None
    try:
        image = open_image(one.path).image
    except SdopsError:
        return None
    image.thumbnail((one.side, one.side))
    kind = "webp" if features.check("webp") else "jpeg"
    stream = BytesIO()
    image.save(stream, kind, quality=_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
