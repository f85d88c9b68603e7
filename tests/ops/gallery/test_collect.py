"""What is found in a folder: pictures, what made them, and what they were made from."""

import os
import shutil
import struct
import zlib

import pytest
from PIL import Image
from sdops.errors import SdopsError
from sdops.gallery.collect import collect
from sdops.gallery.sweep import sweeps
from sdops.jobs import manifest


def names(found):
    return [one.path.name for one in found.pictures]


def rewrite(path, before, after):
    """Changes what a picture tells of itself, check sum and all."""
    data = path.read_bytes()
    start = data.index(b"iTXt")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    chunk = data[start : start + 4 + length].replace(before, after)
    assert after in chunk
    size, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[: start - 4] + size + chunk + check + data[start + 8 + length :])


def test_pictures_are_found_with_what_the_manifest_tells(folder):
    folder.add(7)
    folder.add(8, noted=False)
    found = collect(folder.path, deep=False)
    assert names(found) == ["photo-7.png", "photo-8.png"]
    assert [one.item and one.item.output.seconds for one in found.pictures] == [1.5, None]
    (source,) = found.sources.values()
    assert (source.name, source.path) == ("photo.jpg", folder.source)
    assert (found.others, found.broken) == (0, {})


def test_an_empty_folder_holds_nothing(tmp_path):
    found = collect(tmp_path, deep=True)
    assert (found.pictures, found.sources, found.others) == ((), {}, 0)


def test_a_folder_that_is_none_is_said_in_words(tmp_path):
    with pytest.raises(SdopsError, match="No such file") as error:
        collect(tmp_path / "none", deep=False)
    assert error.value.code == "folder-unreadable"


def test_what_is_no_picture_of_ours_is_counted_and_what_is_broken_is_named_with_the_reason(folder):
    # Healthy and somebody else's, whatever their names.
    Image.new("RGB", (8, 8)).save(folder.path / "other.png")
    Image.new("RGB", (8, 8)).save(folder.path / "damaged.png")
    (folder.path / "text.png").write_text("no picture")
    (folder.path / "empty.png").touch()
    os.mkfifo(folder.path / "pipe.png")
    (folder.path / "gone.png").symlink_to("nowhere")
    folder.add(7)
    whole = folder.add(8).read_bytes()
    # The chunk's own check sum says that it is damaged.
    (folder.path / "photo-8.png").write_bytes(whole.replace(b'"seed"', b'"SEED"'))
    (folder.path / "cut.png").write_bytes(whole[: whole.index(b'"seed"')])
    rewrite(folder.add(9), b'"schema": 1', b'"schema": 99')
    rewrite(folder.add(10), b'"strength": 0.8', b'"strength": 1e999')
    (folder.path / "folder.png").mkdir()
    found = collect(folder.path, deep=False)
    assert names(found) == ["photo-7.png"]
    assert found.others == 2
    assert found.broken == {
        "cut.png": "cut.png is cut off.",
        "empty.png": "empty.png is empty.",
        "gone.png": f"There is no file {folder.path}/gone.png.",
        "photo-10.png": "photo-10.png holds settings that are damaged.",
        "photo-8.png": "photo-8.png is damaged.",
        "photo-9.png": "photo-9.png was made by a newer sdops, whose settings this one cannot read.",
        "pipe.png": f"{folder.path}/pipe.png is not a regular file.",
        "text.png": "text.png is no PNG.",
    }


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_line_of_the_manifest_with_a_number_that_is_none_is_passed_over(folder, number):
    folder.add(7)
    path = folder.path / manifest.NAME
    path.write_text(path.read_text().replace('"seconds": 1.5', f'"seconds": {number}'))
    (one,) = collect(folder.path, False).pictures
    assert (one.record.seed, one.item) == (7, None)


def test_folders_below_are_taken_when_asked_for_but_for_hidden_ones(folder):
    folder.add(7)
    for name in ("below", ".hidden"):
        (folder.path / name).mkdir()
        shutil.copy(folder.path / "photo-7.png", folder.path / name)
    assert len(collect(folder.path, deep=False).pictures) == 1
    assert len(collect(folder.path, deep=True).pictures) == 2


def test_an_input_that_no_manifest_names_is_found_beside_the_pictures(folder):
    folder.add(7, noted=False)
    assert [source.path for source in collect(folder.path, False).sources.values()] == [None]
    moved = folder.path / "Photo (1).JPG"
    shutil.copy(folder.source, moved)
    assert [source.path for source in collect(folder.path, False).sources.values()] == [moved]


def test_an_input_that_has_changed_is_none(folder):
    folder.add(7)
    folder.source.write_bytes(b"another")
    (source,) = collect(folder.path, False).sources.values()
    assert (source.name, source.path) == ("photo.jpg", None)


def test_a_picture_that_took_anothers_name_has_not_its_line(folder):
    folder.add(7)
    folder.add(8, name="photo-7.png", noted=False)
    (one,) = collect(folder.path, False).pictures
    assert (one.record.seed, one.item) == (8, None)


def test_a_sweep_is_the_same_but_for_strength_and_guidance(folder):
    for number, (strength, guidance) in enumerate([(0.3, 5), (0.3, 10), (0.7, 5)]):
        folder.add(7, name=f"{number}.png", strength=strength, guidance=guidance)
    folder.add(8)
    found = collect(folder.path, False)
    (one,) = sweeps(found.pictures)
    assert (one.strengths, one.guidances) == ((0.3, 0.7), (5, 10))
    files = [[None if cell is None else names(found)[cell] for cell in row] for row in one.cells]
    assert files == [["0.png", "1.png"], ["2.png", None]]
