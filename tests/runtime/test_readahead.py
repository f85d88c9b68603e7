"""Weights are read while the libraries are imported: the right files, and nothing breaks. Python 3.9."""

import os

import pytest
from sdops_runtime import readahead


@pytest.fixture
def read(monkeypatch):
    """The files that are read, below ``unet``, ``vae`` and so on."""
    found = []
    monkeypatch.setattr(readahead, "_bring", lambda path: found.append("/".join(path.parts[-2:])))
    return found


def model(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_of_each_network_the_better_format_is_read(tmp_path, read):
    model(tmp_path, "unet/a.bin", "unet/a.safetensors", "vae/b.bin", "vae/config.json", "tokenizer/c.bin")
    readahead.begin(str(tmp_path), None).join()
    assert read == ["unet/a.safetensors", "vae/b.bin"]


def test_a_model_of_the_hub_is_found_in_its_cache(tmp_path, read, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    own = tmp_path / "models--someone--sd"
    model(own, f"snapshots/{commit}/unet/a.bin")
    (own / "refs").mkdir()
    (own / "refs" / "fp16").write_text(commit)
    readahead.begin("someone/sd", "fp16").join()
    assert read == ["unet/a.bin"]


@pytest.mark.parametrize("name", ["demo", "someone/else", "/nowhere", "a/b/c/d", "\0"])
def test_what_is_not_there_is_left_alone(name, read, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    readahead.begin(name, None).join()
    assert read == []


def test_a_file_is_read_to_its_end(tmp_path, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(3_000_000))
    monkeypatch.setattr(readahead, "_PIECE", 1_000_000)
    taken, readv = [], os.readv
    monkeypatch.setattr(os, "readv", lambda *words: taken.append(readv(*words)) or taken[-1])
    readahead._bring(file)
    assert sum(taken) == 3_000_000
