"""Turns what files hold as colours into 8-bit sRGB: deep greys, profiles, CMYK, LAB, transparency.

No file is touched here. Pillow's own conversions cut off what is above 8 bits,
know no profiles and show the colours hidden behind transparency.
"""

import math
import struct
import zlib
from io import BytesIO
from itertools import product
from typing import Any, Optional

from PIL import Image, ImageChops, ImageCms, ImageColor

from sdops_runtime.errors import SdopsError

Colour = tuple[int, int, int]

#: The remedy for a picture of a kind that cannot be read.
CONVERT = "Convert it to PNG or JPEG."

_TAG_BITS = 258

#: 216 colours, six levels each of red, green and blue, to see what a colour profile does.
_CUBE = bytes(part for color in product(range(0, 256, 51), repeat=3) for part in color)
#: cmsFLAGS_BLACKPOINTCOMPENSATION of lcms2.h, which the two Pillows name differently.
_BLACK_POINT: Any = 0x2000

#: What Pillow's decoders raise at damaged files; ImportError where it was built without colour management.
DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    AssertionError, EOFError, RuntimeError, ImportError, struct.error, zlib.error, ImageCms.PyCMSError,
)  # fmt: skip


def parse_colour(text: str) -> Colour:
    """Red, green, blue of a colour's name or #hex; raises SdopsError("settings-invalid")."""
    try:
        found = ImageColor.getrgb(text)
    except (ValueError, AttributeError) as error:
        raise _bad_colour(text) from error
    if len(found) != 3 or not all(0 <= part <= 255 for part in found):
        raise _bad_colour(text)
    return found[0], found[1], found[2]


def scaled_key(key: Any, mode: str, raw: str) -> Any:
    """A PNG's transparent colour, which stands there in the file's own depth, in Pillow's 8 bits."""
    if isinstance(key, tuple):
        return tuple(part >> 8 for part in key) if raw == "RGB;16B" else key
    if not isinstance(key, int):
        return key
    if mode == "1":
        return 255 if key else 0
    return key * {"L;2": 85, "L;4": 17}.get(raw, 1)


def white_value(image: Image.Image, tags: dict[int, Any]) -> Optional[int]:
    """What white is in a picture of more than 8 bits, or None where its format does not say."""
    if image.mode == "I":
        return 65535 if image.format in ("PNG", "PPM") else None
    if image.mode == "F":
        return None
    bits = tags.get(_TAG_BITS) or (16,)
    return int(2 ** bits[0] - 1)


def to_8_bits(
    image: Image.Image, white: Optional[int], inverted: bool, name: str, notices: list[str]
) -> Image.Image:
    """Grey of more than 8 bits as L, or LA; Pillow's own conversion would cut off all above 255."""
    values = (image.convert("I") if ";" in image.mode else image).convert("F")
    low, high = 0.0, float(white or 0)
    if white is not None:
        brightest = values.getextrema()[1]
        if isinstance(brightest, float) and 0 < brightest < high / 16 and not inverted:
            notices.append(f"{name} is very dark: its brightest value is {brightest:g} of {high:g}.")
    else:
        low, high = _range(values, name)
        notices.append(
            f"{name} does not say what is white; {low:g} was taken for black and {high:g} for white."
        )
    scale = 255 / (high - low)
    offset = 0.5 - low * scale
    if inverted:
        scale, offset = -scale, 256 - offset
    grey = values.point(lambda value: value * scale + offset).convert("L")
    key = image.info.get("transparency")
    if isinstance(key, int):
        # Zero only where the value is neither above nor below the key; L cuts off what is negative.
        above = values.point(lambda value: value * 1.0 + -key).convert("L")
        below = values.point(lambda value: value * -1.0 + key).convert("L")
        grey.putalpha(ImageChops.lighter(above, below).point(lambda value: 255 if value else 0))
    grey.info = {one: image.info[one] for one in ("icc_profile",) if one in image.info}
    return grey


def _range(values: Image.Image, name: str) -> tuple[float, float]:
    """Black and white of plain numbers: the first usual range that holds them, else their own."""
    low, high = (float(one) for one in values.getextrema())  # type: ignore[arg-type]
    if not math.isfinite(high - low):
        raise SdopsError("image-unreadable", f"{name} holds values that are infinite or no numbers.", CONVERT)
    if low >= 0:
        for usual in (1.0, 255.0, 65535.0):
            if high <= usual:
                return 0.0, usual
    return low, high if high > low else low + 1


def flatten(image: Image.Image, background: Colour, name: str, notices: list[str]) -> Image.Image:
    """sRGB without transparency."""
    profile = image.info.get("icc_profile")
    alpha = None
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode == "LA":
        image, alpha = image.getchannel("L"), image.getchannel("A")
    elif image.mode in ("P", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    image = _to_srgb(image, profile, name, notices)
    if alpha is None or alpha.getextrema() == (255, 255):
        return image
    if alpha.getextrema() == (0, 0):
        # Mostly a program that wrote zeros for "no alpha"; nothing would be left of the picture.
        notices.append(f"{name} is transparent all over; its hidden colours are used.")
        return image
    flat = Image.new("RGB", image.size, background)
    flat.paste(image, mask=alpha)
    return flat


def _to_srgb(image: Image.Image, profile: Any, name: str, notices: list[str]) -> Image.Image:
    """RGB in sRGB, by the colour profile where there is one that fits."""
    try:
        if image.mode == "LAB":
            return _transformed(image, ImageCms.createProfile("LAB"))
        if profile:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            wanted = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[source.profile.xcolor_space.strip()]
            fits = {"1": ("L", "RGB"), "L": ("L", "RGB"), "CMYK": ("CMYK",)}.get(image.mode, ("RGB",))
            if wanted in fits:
                return _transformed(image.convert(wanted), source)
            notices.append(f"The colour profile of {name} is for other colours than it has; it is ignored.")
    except DECODER_ERRORS:
        if image.mode == "LAB":
            raise
        notices.append(f"The colour profile of {name} cannot be used; its colours may be a little off.")
    return image.convert("RGB")


def _transformed(image: Image.Image, source: Any) -> Image.Image:
    # What browsers and Photoshop do with photographs: relative colorimetric, black to black.
    transform = ImageCms.buildTransform(
        source, ImageCms.createProfile("sRGB"), image.mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC,
        _BLACK_POINT,
    )  # fmt: skip
    if image.mode == "RGB":
        # Most profiles are some maker's sRGB; rounding through them would only blur the values.
        cube = Image.frombytes("RGB", (len(_CUBE) // 3, 1), _CUBE)
        change = ImageChops.difference(cube, _applied(cube, transform)).getextrema()
        if max(high for _, high in change) <= 2:  # type: ignore[misc]
            return image
    return _applied(image, transform)


def _applied(image: Image.Image, transform: Any) -> Image.Image:
    found = ImageCms.applyTransform(image, transform)
    assert found is not None  # None only when changed in place
    return found


def _bad_colour(text: Any) -> SdopsError:
    return SdopsError(
        "settings-invalid",
        f"Background {text!r} is not an opaque colour.",
        "Use a name such as white, or #rrggbb.",
    )
