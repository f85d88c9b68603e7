"""Opens any picture a person may have and makes it fit for the model: upright, opaque, 8-bit sRGB.

Reads files, writes none. Never follows a name into a device or a pipe, never
starts another program, and leaves Pillow's global settings as they are. Works
with the guide's Pillow and today's alike, so it uses what both have.
"""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Optional

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sdops_runtime import colours
from sdops_runtime.errors import SdopsError
from sdops_runtime.hush import hush
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
_TAG_PHOTOMETRIC, _TAG_ORIENTATION, _TAG_XMP = 262, 274, 700
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")

#: What Pillow says, as plain ValueErrors, of compressed texts that unpack to gigabytes.
_BOMB_SIGNS = ("decompressed data too large", "too much memory used in text")

#: First bytes of what is often taken for a picture that can be opened here, and what to do instead.
_LOOKALIKES: tuple[tuple[bytes, str, str], ...] = (
    (rb"....ftyp(hei|hev|mif1|msf1)", "a HEIC picture, which sdops cannot open", colours.CONVERT),
    (rb"....ftypavi[fs]", "an AVIF picture, which this Pillow cannot open", colours.CONVERT),
    (
        rb"\s*(<\?xml.{0,1000}?)?(<!--.{0,1000}?)?<svg",
        "an SVG drawing, not an image of pixels",
        colours.CONVERT,
    ),
    (rb"\s*<(!doctype html|html)", "a web page, not an image", "Save the image itself, not its page."),
    (rb"%PDF", "a PDF document, not an image", "Convert the page to PNG."),
    (
        rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|II\*\0|MM\0\*|BM|8BPS|qoif|\0\0\0\x0cjP|\xff\x4f\xff\x51",
        "damaged, cut off or of a rare kind, and cannot be decoded",
        f"Copy it again. {colours.CONVERT}",
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
    colour = colours.parse_colour(background)
    data = _read(path)
    name = shown(path.name)
    try:
        # What Pillow warns about (odd metadata, large sizes) is either harmless or refused below.
        with hush():
            image, notices = _decode(data, name, colour)
    except (Image.DecompressionBombError, MemoryError) as error:
        raise _too_large(name) from error
    except colours.DECODER_ERRORS as error:
        if any(sign in str(error).lower() for sign in _BOMB_SIGNS):
            raise _too_large(name) from error
        raise _unreadable(name, data) from error
    # Nothing of the input but its pixels may reach a result: place, camera, owner.
    image.info = {}
    return Opened(image, image.size, hashlib.sha256(data).hexdigest(), tuple(notices))


def fit(image: Image.Image, width: int, height: Optional[int] = None, name: str = "") -> Image.Image:
    """The RGB ``image``, scaled to ``fitted_size``; nothing is cropped."""
    return image.resize(fitted_size(image.size, width, height, name), Image.Resampling.LANCZOS)


def fitted_size(
    size: tuple[int, int], width: int, height: Optional[int] = None, name: str = ""
) -> tuple[int, int]:
    """Width and height, multiples of 8, at which the model takes a picture of ``size``.

    Without ``height`` it follows from the aspect ratio, to the nearest multiple
    of 8. Raises SdopsError: settings-invalid if a wanted side is none,
    image-shape, with the file's ``name``, if the height that follows is outside MIN_SIDE..MAX_SIDE.
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
        f"{shown(name) or 'An image'} of {size[0]}x{size[1]} would be {found} pixels high at width {width}; "
        f"the model takes {MIN_SIDE} to {MAX_SIDE}.",
        hint,
    )


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


def _decode(data: bytes, name: str, background: colours.Colour) -> tuple[Image.Image, list[str]]:
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
        image = colours.to_8_bits(image, colours.white_value(image, tags), inverted, name, notices)
    elif "transparency" in image.info:
        image.info["transparency"] = colours.scaled_key(image.info["transparency"], image.mode, raw)
    image = colours.flatten(image, background, name, notices)
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
    except colours.DECODER_ERRORS:
        return 1  # Later frames are damaged, and not wanted.


def _exif_orientation(image: Image.Image) -> Optional[int]:
    try:
        found = image.getexif().get(_TAG_ORIENTATION)
    except colours.DECODER_ERRORS:
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
    return SdopsError("image-unreadable", f"{name} is not an image that sdops can open.", colours.CONVERT)
