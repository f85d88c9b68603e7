"""Result pictures and what stands in them: real files in a real file system. Python 3.9."""

import errno
import hashlib
import json
import os
import re
import struct
import threading
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image, ImageCms, PngImagePlugin
from sdops_runtime import png
from sdops_runtime.errors import SdopsError
from sdops_runtime.record import SCHEMA, Record, parameters

RECORD = Record(
    model="CompVis/stable-diffusion-v1-4",
    revision="0123456789abcdef0123456789abcdef01234567",
    stack="guide",
    versions={"python": "a", "torch": "b", "diffusers": "c", "transformers": "d", "pillow": "e"},
    device="NVIDIA A100",
    dtype="float16",
    batch=4,
    prompt="wearing a christmas hat",
    negative_prompt=None,
    seed=7,
    index=3,
    strength=0.8,
    guidance=7.5,
    steps=50,
    width=512,
    height=344,
    background="white",
    input_sha256="ab" * 32,
    input_size=(1500, 1000),
    flagged=False,
    retried_float32=False,
)
PICTURE = Image.linear_gradient("L").resize((64, 72)).convert("RGB")


def refused(code, action, *arguments, **more):
    with pytest.raises(SdopsError) as caught:
        action(*arguments, **more)
    assert caught.value.code == code
    return caught.value


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def chunks(path):
    """Kind and content of each of a PNG's chunks."""
    data, place, found = path.read_bytes(), 8, []
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += length + 12
    return found


def write_chunks(path, content):
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in content:
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(out)


def with_text(path, *texts):
    """A whole small PNG with these text chunks."""
    png.save_png(PICTURE, path, RECORD, overwrite=True)
    plain = [one for one in chunks(path) if one[0] in (b"IHDR", b"IDAT", b"IEND")]
    write_chunks(path, plain[:1] + list(texts) + plain[1:])
    return path


# --- what is written


def test_record_and_pixels_come_back(tmp_path):
    digest = png.save_png(PICTURE, tmp_path / "a.png", RECORD)
    assert digest == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    assert png.read_record(tmp_path / "a.png") == RECORD
    with Image.open(tmp_path / "a.png") as image:
        assert (image.mode, image.size, image.tobytes()) == ("RGB", PICTURE.size, PICTURE.tobytes())
    assert names(tmp_path) == ["a.png"]


def test_same_picture_and_record_give_the_same_bytes(tmp_path):
    first = png.save_png(PICTURE, tmp_path / "a.png", RECORD)
    second = png.save_png(PICTURE.copy(), tmp_path / "b.png", replace(RECORD))
    assert first == second
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("an oil painting", id="plain"),
        pytest.param('a "hat", red: (very:1.2), 50% \\ <lora>', id="punctuation"),
        pytest.param("first line\nSteps: 3, Sampler: x, CFG scale: 1, Seed: 2\nthird", id="lines"),
        pytest.param("Märchenwald, 雪の森, 🎄", id="unicode"),
        pytest.param("odd \ud800 \x00 \x1b[31m \r\n", id="surrogate-and-control"),
        pytest.param("long " * 20_000, id="long"),
    ],
)
def test_any_prompt_comes_back_exactly(tmp_path, prompt):
    record = replace(RECORD, prompt=prompt, negative_prompt=prompt[::-1])
    png.save_png(PICTURE, tmp_path / "a.png", record)
    assert png.read_record(tmp_path / "a.png") == record


def test_json_has_sorted_keys_and_nothing_beyond_the_record(tmp_path):
    png.save_png(PICTURE, tmp_path / "a.png", RECORD)
    with Image.open(tmp_path / "a.png") as image:
        assert sorted(image.text) == ["parameters", "sdops"]
        data = json.loads(image.text["sdops"])
    assert list(data) == sorted(asdict(RECORD))
    assert data == dict(asdict(RECORD), input_size=[1500, 1000], schema=SCHEMA)
    assert [kind for kind, _ in chunks(tmp_path / "a.png")] == [b"IHDR", b"tEXt", b"iTXt", b"IDAT", b"IEND"]


def test_metadata_of_the_picture_object_is_not_written(tmp_path):
    image = PICTURE.copy()
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    image.info = {
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "exif": exif.tobytes(),
        "transparency": (0, 0, 0),
        "dpi": (72, 72),
        "XML:com.adobe.xmp": "SecretPlace",
    }
    assert png.save_png(image, tmp_path / "a.png", RECORD) == png.save_png(
        PICTURE, tmp_path / "b.png", RECORD
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("CompVis/stable-diffusion-v1-4", "CompVis/stable-diffusion-v1-4"),
        ("demo", "demo"),
        ("/home/anna/models/mine", "mine"),
        ("/home/anna/models/mine/", "mine"),
        ("./models/mine", "mine"),
        ("../mine", "mine"),
        ("~/mine", "mine"),
        ("a/b/c", "c"),
        ("C:\\Users\\Anna\\mine", "mine"),
        ("/", "local"),
    ],
)
def test_model_folder_is_recorded_by_its_own_name_only(given, kept):
    assert replace(RECORD, model=given).model == kept


# --- the form that other programs read


def test_parameters_are_in_the_form_of_the_stable_diffusion_world(tmp_path):
    record = replace(RECORD, negative_prompt="blurry, ugly")
    png.save_png(PICTURE, tmp_path / "a.png", record)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["parameters"] == (
            "wearing a christmas hat\n"
            "Negative prompt: blurry, ugly\n"
            "Steps: 50, Sampler: PLMS, CFG scale: 7.5, Seed: 7, Size: 512x344, "
            "Model: CompVis/stable-diffusion-v1-4, Denoising strength: 0.8, "
            f"Version: sdops {record.sdops}"
        )


@pytest.mark.parametrize("negative", [None, "", " \n"], ids=["none", "empty", "blank"])
def test_no_negative_prompt_gives_no_such_line(negative):
    assert "Negative" not in parameters(replace(RECORD, negative_prompt=negative))


def test_values_that_could_be_taken_for_several_are_quoted():
    text = parameters(replace(RECORD, model='/m/odd, "name": 1', model_hash="abc", guidance=7.0))
    assert 'CFG scale: 7, Seed: 7, Size: 512x344, Model hash: abc, Model: "odd, \\"name\\": 1", ' in text


def test_a_prompt_of_many_lines_is_read_back_by_the_rules_of_that_form():
    record = replace(RECORD, prompt='one,\n"two": ünï\nthree', negative_prompt="four\nfive", model="/m/a, b")
    *lines, last = parameters(record).split("\n")
    cut = next(place for place, line in enumerate(lines) if line.startswith("Negative prompt:"))
    assert "\n".join(lines[:cut]) == record.prompt
    assert "\n".join(lines[cut:])[len("Negative prompt: ") :] == record.negative_prompt
    # The settings line as those programs split it: key, colon, value in quotes or without a comma.
    pairs = re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)
    assert dict(pairs) == {
        "Steps": "50",
        "Sampler": "PLMS",
        "CFG scale": "7.5",
        "Seed": "7",
        "Size": "512x344",
        "Model": '"a, b"',
        "Denoising strength": "0.8",
        "Version": f"sdops {record.sdops}",
    }


def test_characters_that_a_text_chunk_cannot_hold_are_replaced(tmp_path):
    png.save_png(PICTURE, tmp_path / "a.png", replace(RECORD, prompt="a\x00b\ud800c ü 🎄"))
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["parameters"].split("\n")[0] == "a\ufffdb?c ü 🎄"


# --- how it gets onto the disk


def test_existing_picture_is_kept(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    error = refused("output-exists", png.save_png, PICTURE, tmp_path / "a.png", RECORD)
    assert (error.message, "--overwrite" in error.hint) == (f"{tmp_path / 'a.png'} is there already.", True)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    assert names(tmp_path) == ["a.png"]


def test_dangling_link_is_not_written_through(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "elsewhere.png")
    refused("output-exists", png.save_png, PICTURE, tmp_path / "a.png", RECORD)
    assert names(tmp_path) == ["a.png"]


def test_overwrite_replaces_the_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    png.save_png(PICTURE, tmp_path / "a.png", RECORD, overwrite=True)
    assert png.read_record(tmp_path / "a.png") == RECORD
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_of_many_writers_at_once_exactly_one_wins(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    start, results = threading.Barrier(8), []

    def write(seed):
        start.wait()
        try:
            results.append((png.save_png(PICTURE, tmp_path / "a.png", replace(RECORD, seed=seed)), seed))
        except SdopsError as error:
            results.append((error.code, seed))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [(digest, seed) for digest, seed in results if digest != "output-exists"]
    assert len(results) == 8
    assert won == [(hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest(), won[0][1])]
    assert png.read_record(tmp_path / "a.png").seed == won[0][1]
    assert names(tmp_path) == ["a.png"]


def test_file_system_without_links_serves_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EOPNOTSUPP))
    png.save_png(PICTURE, tmp_path / "a.png", RECORD)
    refused("output-exists", png.save_png, PICTURE, tmp_path / "a.png", RECORD)
    assert png.read_record(tmp_path / "a.png") == RECORD
    assert names(tmp_path) == ["a.png"]


def test_reserved_name_is_given_back_when_renaming_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(Path, "replace", failing(errno.EIO))
    error = refused("output-unwritable", png.save_png, PICTURE, tmp_path / "a.png", RECORD)
    assert "Input/output error" in error.message
    assert names(tmp_path) == []


def test_new_file_has_the_mode_that_the_umask_leaves(tmp_path):
    old = os.umask(0o027)
    try:
        png.save_png(PICTURE, tmp_path / "a.png", RECORD)
    finally:
        os.umask(old)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


def failing(number):
    def fail(*arguments, **more):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (errno.ENOSPC, "disk-full", "The disk of {} is full."),
        (errno.EDQUOT, "disk-full", "Your disk quota for {} is full."),
        (errno.EACCES, "output-unwritable", "Nothing may be written to {}: Permission denied."),
        (errno.EROFS, "output-unwritable", "Nothing may be written to {}: Read-only file system."),
        (errno.EIO, "output-unwritable", "{}/a.png cannot be written: Input/output error."),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else "",
)
def test_failed_write_is_explained_and_leaves_nothing(tmp_path, monkeypatch, number, code, message):
    """The disk's failure is a stand-in: it comes from fsync, where full disks often tell."""
    monkeypatch.setattr(os, "fsync", failing(number))
    error = refused(code, png.save_png, PICTURE, tmp_path / "a.png", RECORD)
    assert error.message == message.format(tmp_path)
    assert "--out" in error.hint
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_full_device_is_explained(tmp_path, monkeypatch):
    real = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *rest: real("/dev/full" if str(path).endswith(".part") else path, os.O_WRONLY),
    )
    refused("disk-full", png.save_png, PICTURE, tmp_path / "a.png", RECORD)
    assert names(tmp_path) == []


def test_interrupt_leaves_no_half_file(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        png.save_png(PICTURE, tmp_path / "a.png", RECORD)
    assert names(tmp_path) == []


def test_folder_that_may_not_be_written_is_named(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir(mode=0o555)
    became = os.geteuid() == 0
    if became:
        os.seteuid(65534)  # Root may write anywhere.
    try:
        error = refused("output-unwritable", png.save_png, PICTURE, folder / "a.png", RECORD)
    finally:
        if became:
            os.seteuid(0)
    assert str(folder) in error.message
    assert names(folder) == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none/a.png", "There is no folder {}/none."),
        ("file/a.png", "There is no folder {}/file."),
        ("n" * 300 + ".png", "{}/" + "n" * 300 + ".png cannot be written: File name too long."),
    ],
    ids=["no-folder", "file-for-a-folder", "long-name"],
)
def test_impossible_place_is_explained(tmp_path, place, message):
    (tmp_path / "file").write_bytes(b"")
    error = refused("output-unwritable", png.save_png, PICTURE, tmp_path / place, RECORD)
    assert error.message == message.format(tmp_path)
    assert names(tmp_path) == ["file"]


def test_folder_of_that_name_is_never_replaced(tmp_path):
    (tmp_path / "a.png").mkdir()
    refused("output-exists", png.save_png, PICTURE, tmp_path / "a.png", RECORD)
    refused("output-unwritable", png.save_png, PICTURE, tmp_path / "a.png", RECORD, overwrite=True)
    assert names(tmp_path) == ["a.png"]


# --- reading what may be anything


def itxt(text, keyword=b"sdops", packed=False):
    data = zlib.compress(text) if packed else text
    return b"iTXt", keyword + b"\0" + (b"\1\0" if packed else b"\0\0") + b"\0\0" + data


GOOD = RECORD.to_json().encode()


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(itxt(GOOD), id="iTXt"),
        pytest.param(itxt(GOOD, packed=True), id="iTXt-packed"),
        pytest.param((b"tEXt", b"sdops\0" + GOOD), id="tEXt"),
        pytest.param((b"zTXt", b"sdops\0\0" + zlib.compress(GOOD)), id="zTXt"),
    ],
)
def test_record_is_read_from_whatever_chunk_another_program_made_of_it(tmp_path, chunk):
    assert png.read_record(with_text(tmp_path / "a.png", itxt(b"x", b"other"), chunk)) == RECORD


def test_record_behind_the_pixels_is_read(tmp_path):
    path = with_text(tmp_path / "a.png")
    content = chunks(path)
    write_chunks(path, [*content[:-1], itxt(GOOD), content[-1]])
    assert png.read_record(path) == RECORD


def test_unknown_fields_are_ignored_and_missing_ones_with_a_default_are_filled(tmp_path):
    data = dict(asdict(RECORD), future=[1, {"a": None}])
    del data["model_hash"]
    assert png.read_record(with_text(tmp_path / "a.png", itxt(json.dumps(data).encode()))) == RECORD


def changed(**values):
    return json.dumps(dict(asdict(RECORD), **values)).encode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut-off"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"{}", id="no-fields"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"a":' * 100_000, id="deep-objects"),
        pytest.param(b"9" * 1_000_000, id="a-million-digits"),
        pytest.param(GOOD.replace(b"7.5", b"NaN"), id="not-a-number"),
        pytest.param(GOOD.replace(b"7.5", b"Infinity"), id="infinity"),
        pytest.param(GOOD.replace(b"7.5", b"1e999"), id="more-than-a-number-holds"),
        pytest.param(GOOD.replace(b"0.8", b"-1e999"), id="less-than-a-number-holds"),
        pytest.param(changed(schema="1"), id="schema-text"),
        pytest.param(changed(schema=None), id="schema-null"),
        pytest.param(changed(prompt=5), id="prompt-number"),
        pytest.param(changed(prompt=None), id="prompt-null"),
        pytest.param(changed(seed=True), id="seed-bool"),
        pytest.param(changed(seed=1.5), id="seed-fraction"),
        pytest.param(changed(flagged=0), id="flag-number"),
        pytest.param(changed(input_size=[1]), id="size-short"),
        pytest.param(changed(input_size=[1, "2"]), id="size-text"),
        pytest.param(changed(versions={"torch": 1}), id="version-number"),
        pytest.param(changed(versions=[]), id="versions-list"),
    ],
)
def test_damaged_record_is_refused(tmp_path, text):
    error = refused("metadata-damaged", png.read_record, with_text(tmp_path / "a.png", itxt(text)))
    assert error.message == "a.png holds settings that are damaged."


def test_record_of_a_newer_schema_is_refused(tmp_path):
    path = with_text(tmp_path / "a.png", itxt(changed(schema=SCHEMA + 1)))
    assert "newer sdops" in refused("metadata-newer", png.read_record, path).message


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([], id="none"),
        pytest.param([itxt(GOOD, b"other")], id="other-keyword"),
        pytest.param([(b"tEXt", b"sdops\0" + bytes(png._MAX_RECORD))], id="huge"),
    ],
)
def test_picture_without_a_record_is_refused(tmp_path, texts):
    error = refused("metadata-missing", png.read_record, with_text(tmp_path / "a.png", *texts))
    assert error.message == "a.png carries no settings of sdops."


@pytest.mark.parametrize(
    "text",
    [
        pytest.param((b"iTXt", b"sdops"), id="keyword-alone"),
        pytest.param((b"zTXt", b"sdops\0\0broken"), id="broken-zlib"),
        pytest.param((b"zTXt", b"sdops\0\0" + zlib.compress(GOOD)[:-20]), id="cut-zlib"),
        pytest.param((b"zTXt", b"sdops\0\0" + zlib.compress(bytes(2**27))), id="zip-bomb"),
        pytest.param(itxt(b"\xff\xfe"), id="not-utf-8"),
    ],
)
def test_a_record_that_cannot_be_read_is_damaged_and_not_missing(tmp_path, text):
    path = with_text(tmp_path / "a.png", text)
    refused("metadata-damaged", png.read_record, path)
    # Another one that can be read serves.
    assert png.read_record(with_text(path, text, itxt(GOOD))) == RECORD


SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        pytest.param(b"", "image-unreadable", "a.png is empty.", id="empty"),
        pytest.param(b"\xff\xd8\xff\xe0 a JPEG", "image-unreadable", "a.png is no PNG.", id="jpeg"),
        pytest.param(b"some words", "image-unreadable", "a.png is no PNG.", id="text"),
        pytest.param(SIGNATURE[:5], "metadata-damaged", "a.png is cut off.", id="half-a-signature"),
        pytest.param(SIGNATURE, "metadata-damaged", "a.png is cut off.", id="signature-alone"),
        pytest.param(
            SIGNATURE + b"\xff\xff\xff\xffiTXt", "metadata-damaged", "a.png is damaged.", id="negative-length"
        ),
        pytest.param(
            SIGNATURE + b"\x00\x00\x10\x00iTXtsdops\0",
            "metadata-damaged",
            "a.png is cut off.",
            id="cut-off-chunk",
        ),
        pytest.param(
            SIGNATURE + b"\x00\x00\x10\x00IDAT12",
            "metadata-damaged",
            "a.png is cut off.",
            id="cut-off-pixels",
        ),
        pytest.param(
            SIGNATURE + bytes(12) * 1000, "metadata-damaged", "a.png is damaged.", id="endless-empty-chunks"
        ),
    ],
)
def test_file_that_is_no_whole_png_is_refused_with_the_reason(tmp_path, content, code, message):
    (tmp_path / "a.png").write_bytes(content)
    assert refused(code, png.read_record, tmp_path / "a.png").message == message


def test_chunk_with_a_wrong_checksum_is_not_believed(tmp_path):
    path = with_text(tmp_path / "a.png", itxt(GOOD))
    path.write_bytes(path.read_bytes().replace(b'"seed": 7', b'"seed": 8'))
    assert refused("metadata-damaged", png.read_record, path).message == "a.png is damaged."


def test_a_text_of_another_keyword_is_found_and_a_broken_file_has_none(tmp_path):
    path = with_text(tmp_path / "a.png", (b"tEXt", b"mark\x001"))
    assert (png.carries(path, "mark"), png.carries(path, "other")) == (True, False)
    path.write_bytes(b"")
    assert not png.carries(path, "mark")
    assert not png.carries(tmp_path, "mark")


def test_missing_file_and_folder_are_refused_by_their_own_names(tmp_path):
    refused("image-missing", png.read_record, tmp_path / "none.png")
    refused("image-unreadable", png.read_record, tmp_path)


def test_record_survives_another_programs_resaving_with_its_texts(tmp_path):
    png.save_png(PICTURE, tmp_path / "a.png", RECORD)
    with Image.open(tmp_path / "a.png") as image:
        kept = PngImagePlugin.PngInfo()
        for key, text in image.text.items():
            kept.add_text(key, text, zip=True)
        image.save(tmp_path / "b.png", pnginfo=kept)
    assert png.read_record(tmp_path / "b.png") == RECORD
