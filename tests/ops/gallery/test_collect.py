"""What is found in a folder: pictures, what made them, and what they were made from."""

import shutil

import pytest
from sdops.errors import SdopsError
from sdops.gallery.collect import collect
from sdops.gallery.sweep import sweeps


def names(found):
    return [one.path.name for one in found.pictures]


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


def test_what_is_no_picture_of_ours_is_counted_and_what_is_damaged_is_named(folder):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder.path / "other.png")
    (folder.path / "text.png").write_text("no picture")
    (folder.path / "empty.png").touch()
    folder.add(7)
    data = bytearray(folder.add(8).read_bytes())
    place = data.index(b'"seed"')
    whole = bytes(data)
    # The chunk's own check sum says that it is damaged: to a reader there is none.
    data[place + 1 : place + 5] = b"SEED"
    (folder.path / "photo-8.png").write_bytes(data)
    (folder.path / "cut.png").write_bytes(whole[: len(whole) // 3])
    (folder.path / "folder.png").mkdir()
    found = collect(folder.path, deep=False)
    assert names(found)[:1] == ["photo-7.png"]
    assert found.others + len(found.broken) + len(found.pictures) == 6


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
