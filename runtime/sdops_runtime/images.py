"""Opens any picture a person may have and makes it fit for the model: upright, opaque, 8-bit sRGB.

Reads files, writes none. Never follows a name into a device or a pipe, never
starts another program, and leaves Pillow's global settings as they are. Works
with the guide's Pillow and today's alike, so it uses what both have.
"""

import hashlib
import math
import os
import re
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Optional

from PIL import Image, ImageChops, ImageCms, ImageColor
from PIL.PngImagePlugin import PngImageFile

from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import MAX_SIDE, MIN_SIDE, Settings

#: What people keep pictures in. Others stay out: EPS would start Ghostscript on a stranger's program,
#: formats without a signature (TGA) take any file for a picture, and Pillow reads QOI in slow Python.
FORMATS = (
    "PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "MPO", "PPM", "ICO", "PSD",
)  # fmt: skip

#: Where Pillow, too, refuses; 108-megapixel telephones stay below. Decoding takes up to 20 bytes a pixel.
MAX_PIXELS = 178_956_970
#: A little more than MAX_PIXELS in 16-bit RGB; a file is read whole, so that its hash is that of its pixels.
MAX_BYTES = 2**30 + 2**27

#: Counting frames walks through all of them: up to 5 seconds for a GIF of this size, and for a
#: TIFF a time that grows with the square of their number (a minute for 93,000 in 8 MiB).
_MAX_COUNTED_BYTES = 8 * 2**20
_MAX_PAGES = 1000

_CONVERT = "Convert it to PNG or JPEG."
_Colour = tuple[int, int, int]

#: How a picture is turned upright, by the number of its orientation (EXIF 2.32, tag 0x0112).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TAG_BITS, _TAG_PHOTOMETRIC, _TAG_ORIENTATION, _TAG_XMP = 258, 262, 274, 700
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")

#: 216 colours, six levels each of red, green and blue, to see what a colour profile does.
_CUBE = bytes(part for color in product(range(0, 256, 51), repeat=3) for part in color)
#: cmsFLAGS_BLACKPOINTCOMPENSATION of lcms2.h, which the two Pillows name differently.
_BLACK_POINT: Any = 0x2000

#: What Pillow's decoders raise at damaged files; ImportError where it was built without colour management.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    AssertionError, EOFError, RuntimeError, ImportError, struct.error, zlib.error, ImageCms.PyCMSError,
)  # fmt: skip
#: What Pillow says, as plain ValueErrors, of compressed texts that unpack to gigabytes.
_BOMB_SIGNS = ("decompressed data too large", "too much memory used in text")

#: First bytes of what is often taken for a picture that can be opened here, and what to do instead.
_LOOKALIKES: tuple[tuple[bytes, str, str], ...] = (
    (rb"....ftyp(hei|hev|mif1|msf1)", "a HEIC picture, which sdops cannot open", _CONVERT),
    (rb"....ftypavi[fs]", "an AVIF picture, which this Pillow cannot open", _CONVERT),
    (rb"\s*(<\?xml.{0,1000}?)?(<!--.{0,1000}?)?<svg", "an SVG drawing, not an image of pixels", _CONVERT),
    (rb"\s*<(!doctype html|html)", "a web page, not an image", "Save the image itself, not its page."),
    (rb"%PDF", "a PDF document, not an image", "Convert the page to PNG."),
    (
        rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|II\*\0|MM\0\*|BM|8BPS|qoif|\0\0\0\x0cjP|\xff\x4f\xff\x51",
        "damaged, cut off or of a rare kind, and cannot be decoded",
        f"Copy it again. {_CONVERT}",
    ),
)


@dataclass(frozen=True)
class Opened:
    """A picture ready to be fitted.

    image: RGB, upright, opaque, sRGB, without the file's metadata. size: its
    width and height. sha256: hex, of the file's bytes. notices: sentences a
    person should know, such as that only the first of many frames is used.
    """

    image: Image.Image
    size: tuple[int, int]
    sha256: str
    notices: tuple[str, ...] = ()


def open_image(path: Path, background: str = "white") -> Opened:
    """The picture in ``path``, on ``background`` (a colour's name or #hex) where it is transparent.

    Raises SdopsError: settings-invalid for the colour; image-missing,
    image-unreadable or image-too-large for the file.
    """
    colour = parse_colour(background)
    data = _read(path)
    name = shown(path.name)
    try:
        # What Pillow warns about (odd metadata, large sizes) is either harmless or refused below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image, notices = _decode(data, name, colour)
    except (Image.DecompressionBombError, MemoryError) as error:
        raise _too_large(name) from error
    except _DECODER_ERRORS as error:
        if any(sign in str(error).lower() for sign in _BOMB_SIGNS):
            raise _too_large(name) from error
        raise _unreadable(name, data) from error
    # Nothing of the input but its pixels may reach a result: place, camera, owner.
    image.info = {}
    return Opened(image, image.size, hashlib.sha256(data).hexdigest(), tuple(notices))


def fit(image: Image.Image, width: int, height: Optional[int] = None) -> Image.Image:
    """The RGB ``image``, scaled to ``fitted_size``; nothing is cropped."""
    return image.resize(fitted_size(image.size, width, height), Image.Resampling.LANCZOS)


def fitted_size(size: tuple[int, int], width: int, height: Optional[int] = None) -> tuple[int, int]:
    """Width and height, multiples of 8, at which the model takes a picture of ``size``.

    Without ``height`` it follows from the aspect ratio, to the nearest multiple
    of 8. Raises SdopsError: settings-invalid if a wanted side is none,
    image-shape if the height that follows is outside MIN_SIDE..MAX_SIDE.
    """
    Settings(width=width, height=height).check()
    if height is not None:
        return width, height
    found = _height(size, width)
    if MIN_SIDE <= found <= MAX_SIDE:
        return width, found
    flat = found < MIN_SIDE
    good = [side for side in range(MIN_SIDE, MAX_SIDE + 1, 8) if MIN_SIDE <= _height(size, side) <= MAX_SIDE]
    if good:
        hint = f"Use --width {good[0]} or more." if flat else f"Use --width {good[-1]} or less."
    else:
        longer = "as wide as it is high" if flat else "as high as it is wide"
        hint = f"Crop it until it is less than {MAX_SIDE // MIN_SIDE} times {longer}."
    raise SdopsError(
        "image-shape",
        f"An image of {size[0]}x{size[1]} would be {found} pixels high at width {width}; "
        f"the model takes {MIN_SIDE} to {MAX_SIDE}.",
        hint,
    )


def parse_colour(text: str) -> _Colour:
    """Red, green, blue of a colour's name or #hex; raises SdopsError("settings-invalid")."""
    try:
        found = ImageColor.getrgb(text)
    except (ValueError, AttributeError) as error:
        raise _bad_colour(text) from error
    if len(found) != 3 or not all(0 <= part <= 255 for part in found):
        raise _bad_colour(text)
    return found[0], found[1], found[2]


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file for reading, and nothing that could block or act when opened.

    Raises SdopsError: image-missing, or image-unreadable for a folder or device.
    """
    try:
        # Before opening, because opening a device may do something (rewind a tape); without blocking,
        # because a pipe may take the file's place in between.
        _check_regular(path, path.stat().st_mode)
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SdopsError("image-missing", f"There is no file {shown(path)}.", "Check its name.") from error
    except PermissionError as error:
        raise SdopsError(
            "image-missing", f"{shown(path)} may not be read.", "Look at its owner and mode with ls -l."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SdopsError("image-missing", f"{shown(path)} cannot be opened: {reason}.") from error
    try:
        _check_regular(path, os.fstat(stream.fileno()).st_mode)
    except SdopsError:
        stream.close()
        raise
    return stream


def shown(path: Any) -> str:
    """A path or name as text that any terminal, log and JSON takes: odd bytes are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def _height(size: tuple[int, int], width: int) -> int:
    """The nearest multiple of 8 to the height that keeps the aspect ratio; a half goes up."""
    return (2 * width * size[1] + 8 * size[0]) // (16 * size[0]) * 8


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise SdopsError("image-unreadable", f"{shown(path)} is {what}.", "Name an image file.")


def _read(path: Path) -> bytes:
    with open_file(path) as stream:
        try:
            data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise SdopsError(
                "image-unreadable", f"{shown(path)} cannot be read: {error.strerror}.", "Copy it again."
            ) from error
    if not data:
        raise SdopsError("image-unreadable", f"{shown(path.name)} is empty.", "Copy it again.")
    if len(data) > MAX_BYTES:
        raise SdopsError(
            "image-too-large",
            f"{shown(path.name)} has more than {MAX_BYTES // 2**20:,} MiB.",
            "Scale it down first; the model works at 512 pixels or so.",
        )
    return data


def _decode(data: bytes, name: str, background: _Colour) -> tuple[Image.Image, list[str]]:
    """The first frame, upright RGB, and notices about it."""
    Image.init()
    formats = [one for one in FORMATS if one in Image.OPEN]
    image: Image.Image = Image.open(BytesIO(data), formats=formats)
    _check_pixels(image, name)
    if image.format == "BMP" and image.width * image.height > 256 * len(data):
        # Two bytes make 255 pixels at most. Pillow unpacks them in Python, a minute for a damaged width.
        raise ValueError("fewer bytes than the size needs")
    tags: dict[int, Any] = getattr(image, "tag_v2", None) or {}
    raw = str(image.tile[0][3]) if isinstance(image, PngImageFile) and image.tile else ""
    inverted, turned = tags.get(_TAG_PHOTOMETRIC) == 0, _TAG_ORIENTATION in tags
    image.load()
    _check_pixels(image, name)  # Again, for an icon's real size stands inside of it.
    # Pillow turns a TIFF itself while loading it if its tag says so; the guide's keeps the tag even then.
    turn = None if turned else _exif_orientation(image) or _xmp_orientation(image)

    notices: list[str] = []
    count = _frames(data, formats)
    if count > 1:
        notices.append(f"{name} holds {count} frames; the first is used.")
    elif count == 0:
        notices.append(f"{name} holds a great many frames; the first is used.")
    if image.mode[0] in "IF":
        image = _to_8_bits(image, _white(image, tags), inverted, name, notices)
    elif "transparency" in image.info:
        image.info["transparency"] = _scaled_key(image.info["transparency"], image.mode, raw)
    image = _flatten(image, background, name, notices)
    return (image.transpose(_TURNS[turn]) if turn in _TURNS else image), notices


def _frames(data: bytes, formats: list[str]) -> int:
    """How many frames the file has; 0 for more than are worth counting."""
    try:
        with Image.open(BytesIO(data), formats=formats) as image:
            # A Photoshop file's frames are the layers of one picture.
            if image.format == "PSD" or not getattr(image, "is_animated", False):
                return 1
            if image.format == "GIF" and len(data) > _MAX_COUNTED_BYTES:
                return 0
            if image.format != "TIFF":
                return int(getattr(image, "n_frames", 1))
            for number in range(1, _MAX_PAGES):
                try:
                    image.seek(number)
                except EOFError:
                    return number
            return 0
    except _DECODER_ERRORS:
        return 1  # Later frames are damaged, and not wanted.


def _exif_orientation(image: Image.Image) -> Optional[int]:
    try:
        found = image.getexif().get(_TAG_ORIENTATION)
    except _DECODER_ERRORS:
        return None
    return found if isinstance(found, int) else None


def _xmp_orientation(image: Image.Image) -> Optional[int]:
    """The orientation in XMP alone, from the first of the places where the two Pillows keep the packet.

    Only the first: where today's has turned the picture by it, it is struck out there but not in the tag.
    """
    places = [image.info.get("xmp"), image.info.get("XML:com.adobe.xmp")]
    places += [
        data for _, data in getattr(image, "applist", ()) if data.startswith(b"http://ns.adobe.com/xap/")
    ]
    places.append((getattr(image, "tag_v2", None) or {}).get(_TAG_XMP))
    packet = next((one for one in places if one), b"")
    if isinstance(packet, tuple):
        packet = packet[0]
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    found = _XMP_ORIENTATION.search(packet) if isinstance(packet, bytes) else None
    return int(found[1]) if found else None


def _scaled_key(key: Any, mode: str, raw: str) -> Any:
    """A PNG's transparent colour, which stands there in the file's own depth, in Pillow's 8 bits."""
    if isinstance(key, tuple):
        return tuple(part >> 8 for part in key) if raw == "RGB;16B" else key
    if not isinstance(key, int):
        return key
    if mode == "1":
        return 255 if key else 0
    return key * {"L;2": 85, "L;4": 17}.get(raw, 1)


def _white(image: Image.Image, tags: dict[int, Any]) -> Optional[int]:
    """What white is in a picture of more than 8 bits, or None where its format does not say."""
    if image.mode == "I":
        return 65535 if image.format in ("PNG", "PPM") else None
    if image.mode == "F":
        return None
    bits = tags.get(_TAG_BITS) or (16,)
    return int(2 ** bits[0] - 1)


def _to_8_bits(
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
        raise SdopsError(
            "image-unreadable", f"{name} holds values that are infinite or no numbers.", _CONVERT
        )
    if low >= 0:
        for usual in (1.0, 255.0, 65535.0):
            if high <= usual:
                return 0.0, usual
    return low, high if high > low else low + 1


def _flatten(image: Image.Image, background: _Colour, name: str, notices: list[str]) -> Image.Image:
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
    except _DECODER_ERRORS:
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


def _check_pixels(image: Image.Image, name: str) -> None:
    if not image.width or not image.height:
        raise ValueError("no pixels")
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name)


def _too_large(name: str) -> SdopsError:
    return SdopsError(
        "image-too-large",
        f"{name} unpacks to more than is safe to open (at most {MAX_PIXELS // 10**6} million pixels).",
        "Scale it down first; the model works at 512 pixels or so.",
    )


def _unreadable(name: str, data: bytes) -> SdopsError:
    for pattern, what, hint in _LOOKALIKES:
        if re.match(pattern, data[:2000], re.DOTALL | re.IGNORECASE):
            return SdopsError("image-unreadable", f"{name} is {what}.", hint)
    return SdopsError("image-unreadable", f"{name} is not an image that sdops can open.", _CONVERT)


def _bad_colour(text: Any) -> SdopsError:
    return SdopsError(
        "settings-invalid",
        f"Background {text!r} is not an opaque colour.",
        "Use a name such as white, or #rrggbb.",
    )
