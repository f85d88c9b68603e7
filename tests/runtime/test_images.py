"""Input pictures of every kind, written here as real files, and what is made of them. Python 3.9."""

import errno
import hashlib
import os
import random
import socket
import struct
import zlib
from fractions import Fraction

import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin, TiffImagePlugin
from sdops_runtime import colours, images
from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import MAX_SIDE, MIN_SIDE

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)

#: Three by two squares of 16 pixels, no two alike: shows every turn, and survives JPEG.
SQUARES = (RED, GREEN, BLUE, WHITE, BLACK, (255, 255, 0))


def squares():
    image = Image.new("RGB", (3, 2))
    image.putdata(SQUARES)
    return image.resize((48, 32), Image.Resampling.NEAREST)


def centres(image):
    """The colour in the middle of each of the six squares."""
    return [image.getpixel((x, y)) for y in (8, 24) for x in (8, 24, 40)]


def close(found, wanted, tolerance=0):
    return all(
        abs(one - other) <= tolerance for left, right in zip(found, wanted) for one, other in zip(left, right)
    ) and len(found) == len(wanted)


def saved(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def written(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def pixels(path, background="white"):
    """All pixels of a small picture as opened."""
    image = images.open_image(path, background).image
    assert image.mode == "RGB"
    return [image.getpixel((x, y)) for y in range(image.height) for x in range(image.width)]


def refused(code, path, **more):
    with pytest.raises(SdopsError) as caught:
        images.open_image(path, **more)
    assert caught.value.code == code
    assert path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") in caught.value.message
    return caught.value


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, *chunks):
    """A PNG by hand, for the kinds that Pillow does not write. rows: packed bytes, without filters."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(width, bits, photometric, data, sample_format=1, order="<"):
    """A TIFF of one row of grey by hand, uncompressed."""
    entries = [(256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (277, 1), (278, 1)]
    place = 8 + 2 + 12 * (len(entries) + 3) + 4
    entries += [(273, place), (279, len(data)), (339, sample_format)]
    body = struct.pack(order + "H", len(entries))
    for tag, value in sorted(entries):
        body += struct.pack(order + "HHIHxx", tag, 3, 1, value)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + body + struct.pack(order + "I", 0) + data


# --- what opens, and how it looks


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.jpg", {"quality": 95}, 3),
        ("progressive.jpg", {"quality": 95, "progressive": True}, 3),
        ("a.webp", {"lossless": True}, 0),
        ("a.tif", {}, 0),
        ("deflate.tif", {"compression": "tiff_adobe_deflate"}, 0),
        ("lzw.tif", {"compression": "tiff_lzw"}, 0),
        ("a.gif", {}, 0),
        ("a.bmp", {}, 0),
        ("a.ppm", {}, 0),
        ("a.ico", {"sizes": [(48, 32)]}, 0),
        ("a.jp2", {"irreversible": False}, 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_common_format_opens(tmp_path, name, options, tolerance):
    path = saved(tmp_path, squares(), name, **options)
    opened = images.open_image(path)
    assert (opened.size, opened.image.size, opened.image.mode) == ((48, 32), (48, 32), "RGB")
    assert close(centres(opened.image), SQUARES, tolerance)
    assert opened.notices == ()
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_content_decides_and_not_the_name(tmp_path):
    path = saved(tmp_path, squares(), "a.png")
    path.rename(tmp_path / "photo.txt")
    assert centres(images.open_image(tmp_path / "photo.txt").image) == list(SQUARES)


@pytest.mark.parametrize(
    ("mode", "colour", "wanted"),
    [
        ("1", 255, WHITE),
        ("L", 77, (77, 77, 77)),
        ("P", 9, (9, 9, 9)),
        ("CMYK", (0, 255, 255, 0), RED),
        ("CMYK", (0, 0, 0, 255), BLACK),
        ("CMYK", (51, 102, 153, 51), (163, 122, 82)),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),
        ("RGBX", (1, 2, 3, 0), (1, 2, 3)),
        ("HSV", (85, 255, 255), GREEN),
        ("La", (64, 128), (191, 191, 191)),
        ("RGBa", (128, 0, 0, 128), (255, 127, 127)),
        ("PA", (9, 255), (9, 9, 9)),
    ],
)
def test_every_mode_of_pillow_becomes_rgb(mode, colour, wanted):
    """Without a file, for no format of today gives some of these modes."""
    image = Image.new(mode, (2, 2), colour)
    if mode in ("P", "PA"):
        image.putpalette([part for grey in range(256) for part in (grey, grey, grey)])
    found = colours.flatten(image, WHITE, "a", [])
    assert found.mode == "RGB"
    assert close([found.getpixel((1, 1))], [wanted], 1)


def test_cmyk_jpeg_is_not_shown_inverted(tmp_path):
    path = saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg", quality=95)
    assert b"Adobe" in path.read_bytes()
    assert close([images.open_image(path).image.getpixel((8, 8))], [RED], 3)


def test_lab_tiff_is_converted(tmp_path):
    # sRGB's red is L* 54, a* 81, b* 70 under the D50 of colour profiles.
    path = saved(tmp_path, Image.new("LAB", (4, 4), (round(54 * 2.55), 81 + 128, 70 + 128)), "a.tif")
    assert close(pixels(path), [RED] * 16, 6)


# --- more than 8 bits

RAMP = (0, 128, 129, 256, 257, 1000, 32768, 65534, 65535)
RAMP_8 = [(0,) * 3, (0,) * 3, (1,) * 3, (1,) * 3, (1,) * 3, (4,) * 3, (128,) * 3, (255,) * 3, (255,) * 3]


def sixteen(order):
    return struct.pack(f"{order}{len(RAMP)}H", *RAMP)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", png(9, 1, 16, 0, [sixteen(">")])),
        ("little.tif", tiff(9, 16, 1, sixteen("<"))),
        ("big.tif", tiff(9, 16, 1, sixteen(">"), order=">")),
        ("a.pgm", b"P5 9 1 65535\n" + sixteen(">")),
        ("plain.pgm", b"P2 9 1 65535\n" + " ".join(map(str, RAMP)).encode() + b"\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_16_bit_grey_is_scaled_and_not_cut_off(tmp_path, name, data):
    path = written(tmp_path, name, data)
    assert pixels(path) == RAMP_8
    assert images.open_image(path).notices == ()


def test_16_bit_grey_that_counts_from_white_is_turned_round(tmp_path):
    path = written(tmp_path, "a.tif", tiff(9, 16, 0, sixteen("<")))
    assert close(pixels(path), [tuple(255 - part for part in one) for one in RAMP_8], 1)
    assert pixels(path)[0] == WHITE
    assert pixels(path)[-1] == BLACK


def test_12_bit_grey_is_scaled_by_its_own_white(tmp_path):
    path = written(tmp_path, "a.tif", tiff(4, 12, 1, bytes.fromhex("000fff8007ff")))
    assert pixels(path) == [BLACK, WHITE, (128, 128, 128), (127, 127, 127)]


@pytest.mark.parametrize("kind", [2, 6], ids=["rgb", "rgba"])
def test_16_bit_colour_is_scaled(tmp_path, kind):
    row = struct.pack(">3H", 0, 32896, 65535) + (b"\xff\xff" if kind == 6 else b"")
    assert pixels(written(tmp_path, "a.png", png(1, 1, 16, kind, [row]))) == [(0, 128, 255)]


def test_16_bit_grey_with_alpha_is_scaled_and_flattened(tmp_path):
    row = struct.pack(">4H", 32896, 65535, 0, 0)
    assert pixels(written(tmp_path, "a.png", png(2, 1, 16, 4, [row]))) == [(128, 128, 128), WHITE]


def test_picture_that_uses_the_lowest_of_16_bits_only_is_said_to_be_dark(tmp_path):
    path = written(tmp_path, "a.tif", tiff(2, 16, 1, struct.pack("<2H", 0, 4000)))
    assert pixels(path) == [BLACK, (16, 16, 16)]
    assert images.open_image(path).notices == ("a.tif is very dark: its brightest value is 4000 of 65535.",)


@pytest.mark.parametrize(
    ("format_", "values", "black", "white", "wanted"),
    [
        ("f", (0.0, 0.5, 1.0), 0, 1, (0, 128, 255)),
        ("f", (0.0, 100.0, 200.0), 0, 255, (0, 100, 200)),
        ("f", (0.0, 32768.0, 65535.0), 0, 65535, (0, 128, 255)),
        ("f", (-1.0, 0.0, 3.0), -1, 3, (0, 64, 255)),
        ("f", (5e8, 5e8, 5e8), 5e8, 5e8 + 1, (0, 0, 0)),
        ("i", (0, 100, 255), 0, 255, (0, 100, 255)),
        ("i", (0, 30000, 60000), 0, 65535, (0, 117, 233)),
        ("i", (-1000000, 0, 1000000), -1e6, 1e6, (0, 128, 255)),
    ],
    ids=["unit", "bytes", "words", "signed", "constant", "int-bytes", "int-words", "int-signed"],
)
def test_plain_numbers_are_scaled_and_the_guess_is_said(tmp_path, format_, values, black, white, wanted):
    data = tiff(3, 32, 1, struct.pack("<3" + format_, *values), sample_format=3 if format_ == "f" else 2)
    path = written(tmp_path, "a.tif", data)
    assert close(pixels(path), [(one,) * 3 for one in wanted], 1)
    assert images.open_image(path).notices == (
        f"a.tif does not say what is white; {black:g} was taken for black and {white:g} for white.",
    )


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_values_that_are_no_numbers_are_refused(tmp_path, value):
    data = tiff(2, 32, 1, struct.pack("<2f", float(value), 1.0), sample_format=3)
    assert "no numbers" in refused("image-unreadable", written(tmp_path, "a.tif", data)).message


# --- transparency

HALF = (128, 128, 128)  # of black on white, or of white on black, at alpha 127


@pytest.mark.parametrize(
    ("background", "shown"),
    [("white", WHITE), ("#000", BLACK), ("#00ff00", GREEN), ("rgb(0, 0, 255)", BLUE), ("Red", RED)],
)
def test_transparent_parts_show_the_background(tmp_path, background, shown):
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    image.putpixel((1, 0), (200, 100, 50, 0))
    assert pixels(saved(tmp_path, image, "a.png"), background) == [(10, 20, 30), shown]


def test_half_transparent_parts_are_mixed(tmp_path):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 127))
    image.putpixel((1, 0), (1, 2, 3, 255))
    assert pixels(saved(tmp_path, image, "a.png")) == [HALF, (1, 2, 3)]


def test_grey_with_alpha_is_mixed(tmp_path):
    image = Image.new("LA", (2, 1), (0, 127))
    image.putpixel((1, 0), (9, 255))
    assert pixels(saved(tmp_path, image, "a.png")) == [HALF, (9, 9, 9)]


@pytest.mark.parametrize(
    ("transparency", "wanted"),
    [(1, [RED, WHITE, BLUE]), (b"\xff\x00\x7f", [RED, WHITE, (128, 128, 255)])],
    ids=["one-index", "alpha-for-each"],
)
def test_transparent_palette_colours_show_the_background(tmp_path, transparency, wanted):
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    assert pixels(saved(tmp_path, image, "a.png", transparency=transparency)) == wanted


def test_transparent_gif_shows_the_background(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    assert pixels(saved(tmp_path, image, "a.gif", transparency=2), "black") == [RED, GREEN, BLACK]


@pytest.mark.parametrize(
    ("depth", "row", "key", "wanted"),
    [
        (1, b"\x40", 1, [0, None]),
        (1, b"\x40", 0, [None, 255]),
        (2, b"\x78", 3, [85, None, 170]),
        (4, b"\xf1\x20", 15, [None, 17, 34]),
        (4, b"\xf1\x20", 1, [255, None, 34]),
        (8, b"\x11\x0f", 17, [None, 15]),
        (16, struct.pack(">3H", 257, 256, 258), 257, [None, 1, 1]),
        (16, struct.pack(">3H", 65535, 0, 65534), 65535, [None, 0, 255]),
    ],
    ids=["1-white", "1-black", "2", "4-white", "4-dark", "8", "16-exact", "16-white"],
)
def test_transparent_grey_of_any_depth_shows_the_background(tmp_path, depth, row, key, wanted):
    data = png(len(wanted), 1, depth, 0, [row], chunk(b"tRNS", struct.pack(">H", key)))
    shown = [BLUE if grey is None else (grey,) * 3 for grey in wanted]
    assert pixels(written(tmp_path, "a.png", data), "blue") == shown


@pytest.mark.parametrize(
    ("depth", "values", "key"),
    [(8, (*RED, *GREEN), RED), (16, (65535, 0, 0, 0, 65535, 0), (65535, 0, 0))],
    ids=["8-bit", "16-bit"],
)
def test_transparent_colour_shows_the_background(tmp_path, depth, values, key):
    row = struct.pack(">6" + ("B" if depth == 8 else "H"), *values)
    data = png(2, 1, depth, 2, [row], chunk(b"tRNS", struct.pack(">3H", *key)))
    assert pixels(written(tmp_path, "a.png", data)) == [WHITE, GREEN]


def test_picture_that_is_transparent_all_over_keeps_its_colours(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (2, 1), (*RED, 0)), "a.png")
    assert pixels(path) == [RED, RED]
    assert images.open_image(path).notices == ("a.png is transparent all over; its hidden colours are used.",)


@pytest.mark.parametrize("colour", ["nocolour", "", "#ff", "#ff000080", "rgba(1,2,3,4)", "rgb(300,0,0)"])
def test_background_that_is_no_opaque_colour_is_refused(tmp_path, colour):
    path = saved(tmp_path, squares(), "a.png")
    with pytest.raises(SdopsError) as caught:
        images.open_image(path, colour)
    assert (caught.value.code, repr(colour) in caught.value.message) == ("settings-invalid", True)


# --- orientation

#: What a camera does to the picture so that the viewer's turn by this number makes it upright.
UNTURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}"/></x:xmpmeta>'


def unturned(number):
    return squares() if number == 1 else squares().transpose(UNTURNED[number])


def with_xmp(tmp_path, image, kind, packet):
    """A file with this XMP packet and no EXIF, where each format keeps it."""
    if kind == "jpg":
        data = saved(tmp_path, image, "plain.jpg", quality=95).read_bytes()
        body = b"http://ns.adobe.com/xap/1.0/\0" + packet
        return written(
            tmp_path, "a.jpg", data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
        )
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        return saved(tmp_path, image, "a.png", pnginfo=texts)
    if kind == "webp":
        return saved(tmp_path, image, "a.webp", lossless=True, xmp=packet)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = packet
    tags.tagtype[700] = 1
    return saved(tmp_path, image, "a.tif", tiffinfo=tags)


@pytest.mark.parametrize("number", UNTURNED)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 95}),
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.tif", {}),
        ("deflate.tif", {"compression": "tiff_adobe_deflate"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_exif_orientation_is_applied(tmp_path, name, options, number):
    exif = Image.Exif()
    exif[274] = number
    opened = images.open_image(saved(tmp_path, unturned(number), name, exif=exif, **options))
    assert opened.size == (48, 32)
    assert close(centres(opened.image), SQUARES, 3)


@pytest.mark.parametrize("number", UNTURNED)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_orientation_in_xmp_alone_is_applied(tmp_path, kind, number):
    path = with_xmp(tmp_path, unturned(number), kind, XMP.format(number).encode())
    opened = images.open_image(path)
    assert opened.size == (48, 32)
    assert close(centres(opened.image), SQUARES, 3)


def test_orientation_as_an_xmp_element_is_applied(tmp_path):
    packet = b"<tiff:Orientation>6</tiff:Orientation>"
    assert images.open_image(with_xmp(tmp_path, unturned(6), "jpg", packet)).size == (48, 32)


def test_exif_counts_more_than_xmp(tmp_path):
    exif = Image.Exif()
    exif[274] = 1
    path = saved(tmp_path, squares(), "a.webp", lossless=True, exif=exif, xmp=XMP.format(6).encode())
    assert images.open_image(path).size == (48, 32)


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\0\xff", b"Exif\0\0nonsense", bytes(20)],
    ids=["empty", "cut-off", "nonsense", "zeros"],
)
def test_broken_exif_is_passed_over(tmp_path, exif):
    path = saved(tmp_path, squares(), "a.jpg", quality=95, exif=exif)
    assert close(centres(images.open_image(path).image), SQUARES, 3)


@pytest.mark.parametrize("number", [0, 9, 65535])
def test_orientation_without_a_meaning_is_passed_over(tmp_path, number):
    exif = Image.Exif()
    exif[274] = number
    assert images.open_image(saved(tmp_path, squares(), "a.png", exif=exif)).size == (48, 32)


def test_nothing_of_the_files_metadata_stays_on_the_picture(tmp_path):
    exif = Image.Exif()
    exif[271] = "SecretCamera"
    path = saved(tmp_path, squares(), "a.jpg", exif=exif, icc_profile=swapped_profile(), dpi=(300, 300))
    image = images.open_image(path).image
    fitted = images.fit(image, 96)
    assert (image.info, dict(image.getexif()), fitted.info, dict(fitted.getexif())) == ({}, {}, {}, {})


# --- colour profiles, made here by the ICC's specification


def profile(space, connection, tags):
    parts, table, place = b"", struct.pack(">I", len(tags)), 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", place + len(parts), len(data))
        parts += data
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x", place + len(parts), 0x02400000, b"mntr", space, connection, b"acsp"
    )
    head += struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return head + bytes(128 - len(head)) + table + parts


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def description():
    return b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)


PRIMARIES = {b"r": (0.4361, 0.2225, 0.0139), b"g": (0.3851, 0.7169, 0.0971), b"b": (0.1431, 0.0606, 0.7141)}


def rgb_profile(red, green, blue):
    """A monitor with sRGB's colours, but its channels' wires as given, and a gamma of 2.2."""
    tags = {b"desc": description(), b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    for channel, source in ((b"r", red), (b"g", green), (b"b", blue)):
        tags[channel + b"XYZ"] = xyz(*PRIMARIES[source])
        tags[channel + b"TRC"] = gamma(2.2)
    return profile(b"RGB ", b"XYZ ", tags)


def swapped_profile():
    return rgb_profile(b"g", b"r", b"b")


def grey_profile(value):
    tags = {b"desc": description(), b"wtpt": xyz(0.9642, 1.0, 0.8249), b"kTRC": gamma(value)}
    return profile(b"GRAY", b"XYZ ", tags)


def cmyk_profile():
    """A press whose "cyan" prints sRGB's green, and every other ink black."""
    identity = bytes(range(256))
    corners = bytearray()
    for corner in range(16):
        inks = corner  # bits: C M Y K
        lab = {0: (100, 0, 0), 8: (88, -79, 81)}.get(inks, (0, 0, 0))
        corners += bytes((round(lab[0] * 2.55), lab[1] + 128, lab[2] + 128))
    matrix = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + identity * 4 + bytes(corners) + identity * 3
    return profile(
        b"CMYK", b"Lab ", {b"desc": description(), b"wtpt": xyz(0.9642, 1.0, 0.8249), b"A2B0": lut}
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_colour_profile_is_applied(tmp_path, name):
    lossless = {"a.jpg": {"quality": 95}, "a.webp": {"lossless": True}}.get(name, {})
    path = saved(tmp_path, squares(), name, icc_profile=swapped_profile(), **lossless)
    wanted = [GREEN, RED, BLUE, WHITE, BLACK, (255, 255, 0)]
    assert close(centres(images.open_image(path).image), wanted, 4)


def test_pictures_in_srgb_are_left_as_they_are(tmp_path):
    image = Image.effect_noise((64, 64), 90).convert("RGB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path, image, "a.png", icc_profile=srgb)
    assert images.open_image(path).image.tobytes() == image.tobytes()


def test_colour_profile_is_applied_below_transparency(tmp_path):
    image = Image.new("RGBA", (3, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    image.putpixel((2, 0), (*RED, 128))
    path = saved(tmp_path, image, "a.png", icc_profile=swapped_profile())
    assert close(pixels(path, "blue"), [GREEN, BLUE, (0, 128, 127)], 3)


def test_colour_profile_is_applied_to_palettes(tmp_path):
    path = saved(tmp_path, squares().convert("P"), "a.png", icc_profile=swapped_profile())
    assert close(centres(images.open_image(path).image)[:3], [GREEN, RED, BLUE], 3)


def test_grey_profile_is_applied(tmp_path):
    path = saved(tmp_path, Image.new("L", (1, 1), 55), "a.png", icc_profile=grey_profile(1.0))
    assert close(pixels(path), [(128, 128, 128)], 1)  # 55/255 of the light is 128 in sRGB


def test_grey_with_a_colour_profile_stays_grey(tmp_path):
    path = saved(tmp_path, Image.new("L", (1, 1), 128), "a.png", icc_profile=swapped_profile())
    assert close(pixels(path), [(128, 128, 128)], 2)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_profile_is_applied(tmp_path, name):
    image = Image.new("CMYK", (32, 16), (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (16, 0, 32, 16))
    options = {"quality": 95} if name == "a.jpg" else {}
    opened = images.open_image(saved(tmp_path, image, name, icc_profile=cmyk_profile(), **options))
    assert close([opened.image.getpixel((4, 8)), opened.image.getpixel((28, 8))], [WHITE, GREEN], 10)
    assert opened.notices == ()


@pytest.mark.parametrize(
    ("icc", "notice"),
    [
        (b"nonsense", "The colour profile of a.png cannot be used; its colours may be a little off."),
        (
            swapped_profile()[:200],
            "The colour profile of a.png cannot be used; its colours may be a little off.",
        ),
        (cmyk_profile(), "The colour profile of a.png is for other colours than it has; it is ignored."),
        (grey_profile(2.2), "The colour profile of a.png is for other colours than it has; it is ignored."),
    ],
    ids=["nonsense", "cut-off", "cmyk", "grey"],
)
def test_unusable_colour_profile_is_ignored_and_said(tmp_path, icc, notice):
    opened = images.open_image(saved(tmp_path, squares(), "a.png", icc_profile=icc))
    assert centres(opened.image) == list(SQUARES)
    assert opened.notices == (notice,)


# --- several frames


@pytest.mark.parametrize(
    ("name", "count"),
    # The guide's Pillow cannot write more than two into an MPO.
    [("a.gif", 12), ("a.tif", 12), ("a.png", 12), ("a.webp", 12), ("a.mpo", 2)],
    ids=["gif", "tif", "png", "webp", "mpo"],
)
def test_first_frame_is_used_and_said(tmp_path, name, count):
    first, *others = [Image.new("RGB", (16, 16), (grey, grey, grey)) for grey in range(0, 20 * count, 20)]
    opened = images.open_image(saved(tmp_path, first, name, save_all=True, append_images=others))
    assert opened.image.getpixel((8, 8)) == BLACK
    assert opened.notices == (f"{name} holds {count} frames; the first is used.",)


@pytest.mark.parametrize(("name", "limit"), [("a.gif", "_MAX_COUNTED_BYTES"), ("a.tif", "_MAX_PAGES")])
def test_endless_frames_are_not_counted(tmp_path, monkeypatch, name, limit):
    monkeypatch.setattr(images, limit, 3)
    first, *others = [Image.new("L", (4, 4), grey) for grey in range(5)]
    path = saved(tmp_path, first, name, save_all=True, append_images=others)
    assert images.open_image(path).notices == (f"{name} holds a great many frames; the first is used.",)


# --- what is refused


def test_missing_file_is_named(tmp_path):
    error = refused("image-missing", tmp_path / "none.jpg")
    assert error.message == f"There is no file {tmp_path / 'none.jpg'}."


def test_file_below_a_file_is_missing(tmp_path):
    refused("image-missing", written(tmp_path, "a.png", b"x") / "b.png")


def test_broken_link_is_missing(tmp_path):
    (tmp_path / "a.png").symlink_to("none.png")
    refused("image-missing", tmp_path / "a.png")


def test_link_in_a_circle_is_explained(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    assert os.strerror(errno.ELOOP) in refused("image-missing", tmp_path / "a.png").message


def test_link_to_a_picture_is_followed(tmp_path):
    (tmp_path / "b.png").symlink_to(saved(tmp_path, squares(), "a.png"))
    assert images.open_image(tmp_path / "b.png").size == (48, 32)


def test_file_that_may_not_be_read_is_named(tmp_path):
    path = saved(tmp_path, squares(), "a.png")
    path.chmod(0)
    became = os.geteuid() == 0
    if became:
        os.seteuid(65534)  # Root may read anything.
    try:
        error = refused("image-missing", path)
    finally:
        if became:
            os.seteuid(0)
    assert "may not be read" in error.message


def test_folder_is_refused(tmp_path):
    assert refused("image-unreadable", tmp_path).message == f"{tmp_path} is a folder."


def test_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert "not a regular file" in refused("image-unreadable", tmp_path / "a.png").message


def test_pipe_that_takes_the_files_place_does_not_block(tmp_path, monkeypatch):
    path, real = saved(tmp_path, squares(), "a.png"), os.open

    def swap(*arguments):
        path.unlink()
        os.mkfifo(path)
        return real(*arguments)

    monkeypatch.setattr(os, "open", swap)
    assert "not a regular file" in refused("image-unreadable", path).message


def test_socket_and_device_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # A socket's name must be short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.png")
        refused("image-unreadable", tmp_path / "a.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    refused("image-unreadable", tmp_path / "zero.png")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a.png is empty."),
        (b"wearing a christmas hat\n" * 50, "a.png is not an image that sdops can open."),
        (bytes(5000), "a.png is not an image that sdops can open."),
        (b"<!DOCTYPE html><html>", "a.png is a web page, not an image."),
        (b'<?xml version="1.0"?>\n<svg xmlns=""/>', "a.png is an SVG drawing, not an image of pixels."),
        (b"%PDF-1.7\n", "a.png is a PDF document, not an image."),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a.png is a HEIC picture, which sdops cannot open."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a.png is not an image that sdops can open."),
    ],
    ids=["empty", "text", "zeros", "html", "svg", "pdf", "heic", "eps"],
)
def test_file_that_is_no_image_is_called_what_it_is(tmp_path, data, message):
    error = refused("image-unreadable", written(tmp_path, "a.png", data))
    assert error.message == message
    assert error.hint


@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp", "a.jp2"])
def test_cut_off_file_is_refused(tmp_path, name, part):
    image = Image.effect_noise((256, 256), 90).convert("RGB")
    data = saved(tmp_path, image, name).read_bytes()
    error = refused("image-unreadable", written(tmp_path, name, data[: max(16, int(len(data) * part))]))
    assert error.message == f"{name} is damaged, cut off or of a rare kind, and cannot be decoded."


def test_damaged_files_open_or_are_refused_and_nothing_else(tmp_path):
    """Bytes are changed at random places, the same at every run."""
    chance = random.Random(1)
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp", "a.jp2", "a.ico"):
        whole = saved(tmp_path, squares(), name).read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 8)):
                data[chance.randrange(min(len(data), chance.choice((64, 4096))))] = chance.randrange(256)
            path = written(tmp_path, name, bytes(data))
            try:
                assert images.open_image(path).image.mode == "RGB"
            except SdopsError as error:
                assert error.code in ("image-unreadable", "image-too-large")


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (2**31 - 1, 1), (1, 2**28)])
def test_picture_that_unpacks_to_too_many_pixels_is_refused(tmp_path, width, height):
    path = written(tmp_path, "a.png", png(width, height, 8, 2, [bytes(1000)]))
    assert "178 million pixels" in refused("image-too-large", path).message


def test_limit_holds_where_pillows_own_is_off(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    refused("image-too-large", written(tmp_path, "a.png", png(20_000, 20_000, 8, 2, [b""])))


def test_pillows_warning_about_size_is_kept_and_its_error_told(tmp_path, monkeypatch):
    path = saved(tmp_path, squares(), "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 32 - 1)
    assert images.open_image(path).size == (48, 32)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 32 // 2 - 1)
    refused("image-too-large", path)


def test_icon_whose_real_size_stands_inside_is_measured(tmp_path, monkeypatch):
    path = saved(tmp_path, squares(), "a.ico", sizes=[(48, 32)])
    monkeypatch.setattr(images, "MAX_PIXELS", 48 * 32 - 1)
    refused("image-too-large", path)


def test_text_that_unpacks_to_too_much_is_refused(tmp_path):
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**26)))
    refused("image-too-large", written(tmp_path, "a.png", png(1, 1, 8, 2, [b"\0\0\0"], bomb)))


def test_run_length_bitmap_of_an_impossible_size_is_refused_at_once(tmp_path):
    runs = b"\xff\x01" * 100 + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, 8_388_864, 10, 1, 8, 1, len(runs), 0, 0, 256, 0)
    body = head + bytes(1024) + runs
    data = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 40 + 1024) + body
    refused("image-unreadable", written(tmp_path, "a.bmp", data))


def test_file_of_too_many_bytes_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, squares(), "a.bmp")
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    refused("image-too-large", path)


def test_memory_that_runs_out_is_told_as_a_large_image(tmp_path, monkeypatch):
    """The lack of memory is a stand-in."""

    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(colours, "flatten", fail)
    refused("image-too-large", saved(tmp_path, squares(), "a.png"))


def test_odd_bytes_in_a_name_do_not_reach_the_message(tmp_path):
    path = tmp_path / os.fsdecode(b"b\xe4r.png")
    path.write_bytes(b"")
    assert refused("image-unreadable", path).message == "b\ufffdr.png is empty."


def global_settings():
    return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK


def test_pillows_global_settings_are_left_alone(tmp_path):
    before = global_settings()
    images.open_image(saved(tmp_path, squares(), "a.png"))
    refused("image-unreadable", written(tmp_path, "a.jpg", b"\xff\xd8\xff\xe0"))
    assert global_settings() == before


# --- the size that the model takes


@pytest.mark.parametrize(
    ("size", "width", "wanted"),
    [
        ((512, 512), 512, (512, 512)),
        ((1500, 1000), 512, (512, 344)),
        ((1000, 1500), 512, (512, 768)),
        ((4032, 3024), 512, (512, 384)),
        ((100, 100), 64, (64, 64)),
        ((1, 1), 2048, (2048, 2048)),
        ((512, 508), 512, (512, 512)),
        ((512, 507), 512, (512, 504)),
        ((2048, 64), 2048, (2048, 64)),
        ((2048, 60), 2048, (2048, 64)),
        ((64, 2051), 64, (64, 2048)),
    ],
)
def test_height_follows_the_aspect_ratio(size, width, wanted):
    assert images.fitted_size(size, width) == wanted


def test_given_height_is_taken():
    assert images.fitted_size((1500, 1000), 512, 512) == (512, 512)
    assert images.fitted_size((9999, 1), 512, 64) == (512, 64)


@pytest.mark.parametrize(
    ("size", "width", "message", "hint"),
    [
        (
            (3000, 300),
            512,
            "An image of 3000x300 would be 48 pixels high at width 512; the model takes 64 to 2048.",
            "Use --width 600 or more.",
        ),
        (
            (300, 3000),
            512,
            "An image of 300x3000 would be 5120 pixels high at width 512; the model takes 64 to 2048.",
            "Use --width 200 or less.",
        ),
        (
            (5000, 10),
            512,
            "An image of 5000x10 would be 0 pixels high at width 512; the model takes 64 to 2048.",
            "Crop it until it is less than 32 times as wide as it is high.",
        ),
        (
            (10, 5000),
            64,
            "An image of 10x5000 would be 32000 pixels high at width 64; the model takes 64 to 2048.",
            "Crop it until it is less than 32 times as high as it is wide.",
        ),
    ],
    ids=["flat", "tall", "far-too-flat", "far-too-tall"],
)
def test_shape_that_the_model_cannot_take_is_refused_with_what_would_do(size, width, message, hint):
    with pytest.raises(SdopsError) as caught:
        images.fitted_size(size, width)
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("image-shape", message, hint)


def test_any_size_is_fitted_to_the_nearest_multiple_of_8_or_refused_with_a_width_that_works():
    chance = random.Random(8)
    fitted = 0
    for _ in range(3000):
        size = (round(10 ** chance.uniform(0, 4.5)), round(10 ** chance.uniform(0, 4.5)))
        width = chance.randrange(MIN_SIDE, MAX_SIDE + 1, 8)
        exact = Fraction(width * size[1], size[0])
        try:
            found = images.fitted_size(size, width)
        except SdopsError as error:
            assert not MIN_SIDE - 4 <= exact < MAX_SIDE + 4
            words = error.hint.split()
            if words[0] == "Use":
                assert MIN_SIDE <= images.fitted_size(size, int(words[2]))[1] <= MAX_SIDE
                beyond = int(words[2]) + (-8 if words[-1] == "more." else 8)
                assert not MIN_SIDE <= images._height(size, beyond) <= MAX_SIDE or beyond < MIN_SIDE
            else:
                assert max(size) > 30 * min(size)
            continue
        fitted += 1
        assert found[0] == width
        assert found[1] % 8 == 0
        assert MIN_SIDE <= found[1] <= MAX_SIDE
        assert abs(found[1] - exact) <= 4
    assert 500 < fitted < 2500


@pytest.mark.parametrize(
    ("width", "height"),
    [(500, None), (0, None), (56, None), (2056, None), (512, 500), (512, 8), (512.0, None)],
)
def test_side_that_the_model_cannot_take_is_refused(width, height):
    with pytest.raises(SdopsError) as caught:
        images.fitted_size((512, 512), width, height)
    assert caught.value.code == "settings-invalid"


@pytest.mark.parametrize("size", [(48, 32), (33, 70), (640, 480), (1000, 999)])
def test_fitted_picture_shows_all_of_the_original(size):
    image = squares().resize(size, Image.Resampling.NEAREST)
    fitted = images.fit(image, 480)
    assert (fitted.mode, fitted.size) == ("RGB", images.fitted_size(size, 480))
    width, height = fitted.size
    middles = [((2 * x + 1) * width // 6, (2 * y + 1) * height // 4) for y in range(2) for x in range(3)]
    assert close([fitted.getpixel(place) for place in middles], SQUARES, 2)


def test_picture_of_the_right_size_is_not_changed():
    image = Image.effect_noise((64, 128), 90).convert("RGB")
    assert images.fit(image, 64).tobytes() == image.tobytes()
