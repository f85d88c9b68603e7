"""The page's file: one, with all that it shows, in which nothing that people wrote is markup."""

import errno
import json
import os
import re
from html.parser import HTMLParser

import pytest
from sdops.gallery import page, thumbnails
from sdops.gallery.collect import collect


def document(ran):
    assert ran.err == ""
    return json.loads(ran.out)


class Tags(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def data_of(path):
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL
    )
    return json.loads(found[1])


def test_the_page_says_where_it_is_and_what_it_shows(folder, sdops):
    folder.add(7)
    folder.add(8)
    ran = sdops("gallery", folder.path)
    index = folder.path / "index.html"
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{index}: 2 pictures of 1 input, ")
    assert document(sdops("gallery", folder.path, "--json")) == {
        "ok": True,
        "page": str(index),
        "bytes": index.stat().st_size,
        "pictures": 2,
        "inputs": 1,
        "inputs_missing": 0,
        "others": 0,
        "broken": {},
        "undecodable": [],
    }


def test_it_asks_nobody_for_anything(folder, sdops):
    folder.add(7, prompt="http://example.com/x.png")
    sdops("gallery", folder.path)
    text = (folder.path / "index.html").read_text(encoding="ascii")
    for tag, attributes in Tags(text).found:
        assert not {"src", "srcset", "action", "formaction"} & attributes.keys(), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "base")
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    assert re.findall(r"https?:|//[a-z]+\.", outside) == []
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    "prompt", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028\0\ud800", "{{DATA}}"]
)
def test_a_prompt_is_text_and_no_markup(folder, sdops, prompt):
    folder.add(7, prompt=prompt, name="<script>.png", negative_prompt=prompt)
    assert sdops("gallery", folder.path).code == 0
    index = folder.path / "index.html"
    assert [tag for tag, _ in Tags(index.read_text()).found].count("script") == 2
    assert data_of(index)["prompts"] == [prompt]


def test_names_with_odd_bytes_lead_to_their_files(folder, sdops):
    odd = os.fsdecode(b"a b%20#?'\"&\xff\n.png")
    folder.add(7, name=odd)
    sdops("gallery", folder.path)
    (one,) = data_of(folder.path / "index.html")["pictures"]
    assert one["href"] == "a%20b%2520%23%3F%27%22%26%FF%0A.png"


def test_it_is_written_anew_and_takes_over_what_has_not_changed(folder, sdops, monkeypatch):
    folder.add(7)
    sdops("gallery", folder.path)
    before = data_of(folder.path / "index.html")["pictures"][0]["small"]
    made, small = [], thumbnails._small
    monkeypatch.setattr(thumbnails, "_small", lambda one: made.append(one.path.name) or small(one))
    folder.add(8)
    sdops("gallery", folder.path)
    # The input is not made small again, either.
    assert made == ["photo-8.png"]
    assert data_of(folder.path / "index.html")["pictures"][0]["small"] == before


def test_an_input_that_has_moved_is_taken_over_by_what_it_holds(folder, sdops, monkeypatch):
    folder.add(7)
    sdops("gallery", folder.path)
    before = data_of(folder.path / "index.html")["inputs"][0]["small"]
    folder.source.rename(folder.path / "moved.jpg")
    monkeypatch.setattr(thumbnails, "_small", None)
    assert sdops("gallery", folder.path).code == 0
    (one,) = data_of(folder.path / "index.html")["inputs"]
    assert (one["name"], one["small"]) == ("moved.jpg", before)


def test_a_page_of_an_earlier_sdops_gives_what_it_has(folder, sdops, monkeypatch):
    folder.add(7)
    sdops("gallery", folder.path)
    index = folder.path / "index.html"
    (key,) = [one["key"] for one in data_of(index)["inputs"]]
    index.write_text(index.read_text().replace(f'"key":"{key}",', ""))
    made, small = [], thumbnails._small
    monkeypatch.setattr(thumbnails, "_small", lambda one: made.append(one.path.name) or small(one))
    sdops("gallery", folder.path)
    assert made == ["photo.jpg"]


def test_inputs_are_counted_like_pictures(folder, photo):
    folder.add(7)
    folder.add(8)
    for path in (folder.path / "index.html", folder.path / "index.html"):
        done = []
        page.write(collect(folder.path, False), path, False, lambda done=done: done.append(1))
        assert len(done) == 3


def test_a_number_that_json_has_not_stands_on_no_page():
    with pytest.raises(ValueError, match="JSON"):
        page._page({"strength": float("inf")})


@pytest.mark.parametrize(
    ("recorded", "named", "typed"),
    [
        ("mine", "/srv/models/mine", "/srv/models/mine"),
        ("my own", "models/my own", "'models/my own'"),
        ("mine", "/srv/models/another", "mine"),
        ("mine", None, "mine"),
    ],
)
def test_the_command_names_a_models_folder_as_the_manifest_does(folder, sdops, recorded, named, typed):
    folder.add(7, model=recorded, named=named)
    sdops("gallery", folder.path)
    (one,) = data_of(folder.path / "index.html")["pictures"]
    assert one["command"].endswith(f" --model {typed}")


def test_lines_in_a_pipe_are_not_broken(folder, sdops):
    name = "a-long-name-" * 12 + ".png"
    (folder.path / name).touch()
    folder.add(7)
    folder.source.unlink()
    ran = sdops("gallery", folder.path)
    assert ran.err.splitlines() == [
        "Not found: 1 input. Put it beside the pictures.",
        f"Left out: {name} is empty.",
    ]


def test_what_is_left_out_is_named_where_it_is_and_counted_beyond_a_few(folder, sdops):
    (folder.path / "below").mkdir()
    for number in range(7):
        (folder.path / "below" / f"{number}.png").touch()
    ran = sdops("gallery", folder.path, "-r")
    assert ran.err.splitlines()[1:] == [
        *(f"Left out: below/{number}.png is empty." for number in range(5)),
        "Left out: 2 more.",
    ]


def test_what_is_taken_over_is_a_picture(folder, sdops):
    folder.add(7)
    sdops("gallery", folder.path)
    index = folder.path / "index.html"
    good = data_of(index)["pictures"][0]["small"]
    index.write_text(index.read_text().replace(good, "http://example.com/x.png"))
    sdops("gallery", folder.path)
    assert data_of(index)["pictures"][0]["small"] == good
    index.write_text(index.read_text()[:5000])
    sdops("gallery", folder.path)
    assert data_of(index)["pictures"][0]["small"] == good


def test_another_file_of_that_name_stays_unless_told(folder, sdops):
    folder.add(7)
    index = folder.path / "index.html"
    index.write_text("my homepage")
    ran = sdops("gallery", folder.path)
    assert (ran.code, index.read_text()) == (2, "my homepage")
    assert "--overwrite" in ran.err
    assert sdops("gallery", folder.path, "--overwrite").code == 0
    assert data_of(index)["pictures"]


def test_a_page_elsewhere_leads_back_to_the_pictures(folder, sdops, tmp_path):
    folder.add(7)
    (tmp_path / "web").mkdir()
    assert sdops("gallery", folder.path, "--out", tmp_path / "web/page.html").code == 0
    found = data_of(tmp_path / "web/page.html")
    assert found["pictures"][0]["href"] == "../pictures/photo-7.png"
    assert found["inputs"][0]["href"] == "../photo.jpg"
    ran = sdops("gallery", folder.path, "--out", tmp_path / "none/page.html")
    assert ran.code == 1
    assert f"There is no folder {tmp_path / 'none'}." in ran.err


def test_a_folder_without_pictures_is_said_and_has_an_empty_page(folder, sdops):
    ran = sdops("gallery", folder.path)
    assert (ran.code, data_of(folder.path / "index.html")["pictures"]) == (0, [])
    assert "No picture" in ran.err
    ran = sdops("gallery", folder.path / "none")
    assert ran.code == 2
    assert "none" in ran.err


def test_a_picture_that_cannot_be_decoded_stands_there_without_one(folder, sdops):
    whole = folder.add(7).read_bytes()
    (folder.path / "photo-7.png").write_bytes(whole[:-60])
    ran = sdops("gallery", folder.path)
    assert (ran.code, ran.err) == (0, "Cannot be shown: photo-7.png\n")
    assert data_of(folder.path / "index.html")["pictures"][0]["small"] is None


def test_an_input_that_cannot_be_decoded_is_said_too(folder, sdops):
    folder.source.write_bytes(folder.source.read_bytes()[:200])
    folder.add(7)
    assert sdops("gallery", folder.path).err == "Cannot be shown: photo.jpg\n"
    assert document(sdops("gallery", folder.path, "--json"))["undecodable"] == ["photo.jpg"]


def test_an_input_that_is_not_there_is_said(folder, sdops):
    folder.add(7)
    folder.source.unlink()
    ran = sdops("gallery", folder.path)
    assert ran.code == 0
    assert "Not found: 1 input." in ran.err
    (one,) = data_of(folder.path / "index.html")["inputs"]
    assert (one["name"], one["href"], one["small"]) == ("photo.jpg", None, None)


def test_a_full_disk_leaves_the_page_that_was_there(folder, sdops, monkeypatch):
    folder.add(7)
    sdops("gallery", folder.path)
    before = (folder.path / "index.html").read_bytes()
    folder.add(8)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = sdops("gallery", folder.path)
    assert ran.code == 1
    assert "full" in ran.err
    assert (folder.path / "index.html").read_bytes() == before
    assert not list(folder.path.glob(".sdops-*"))


def test_a_page_that_cannot_be_read_is_said(folder, sdops):
    folder.add(7)
    (folder.path / "index.html").mkdir()
    ran = sdops("gallery", folder.path)
    assert (ran.code, ran.err.splitlines()[0]) == (
        1,
        f"Error: {folder.path / 'index.html'} cannot be read: Is a directory.",
    )
