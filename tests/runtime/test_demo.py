"""The demo model: small, the same every time, of the real model's parts, and nowhere to put it."""

import errno
import hashlib
import json
import os

import pytest
from sdops_runtime import demo
from sdops_runtime.errors import SdopsError


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_is_built_once_and_small(demo_folder):
    assert demo.ensure() == demo_folder
    # Nothing that was built aside is left, whatever else is kept there.
    assert [path.name for path in demo_folder.parent.glob(f"{demo_folder.name}*")] == [demo_folder.name]
    assert sum(path.stat().st_size for path in demo_folder.rglob("*") if path.is_file()) < 5e6


def test_every_build_is_the_same_to_the_byte(libraries, tmp_path):
    """By the same libraries: the folder that all tests share may have been built by others."""
    for name in ("one", "other"):
        demo.build(tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "other")


def test_it_has_the_parts_of_the_guides_model(demo_folder):
    index = json.loads((demo_folder / "model_index.json").read_text())
    assert {name: value for name, value in index.items() if not name.startswith("_")} == {
        "feature_extractor": ["transformers", "CLIPFeatureExtractor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk-full"), (errno.EROFS, "cache-unwritable")],
    ids=["full", "read-only"],
)
def test_a_cache_that_does_not_take_it_is_named(libraries, tmp_path, monkeypatch, number, code):
    """The disk's refusal is a stand-in: as root one may write almost anywhere."""

    def refuse(folder):
        raise OSError(number, "refused")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "build", refuse)
    with pytest.raises(SdopsError) as caught:
        demo.ensure()
    assert caught.value.code == code
    assert str(tmp_path / "cache" / "sdops") in caught.value.message
    assert list((tmp_path / "cache" / "sdops").iterdir()) == []


def test_a_disk_that_fills_up_while_it_is_built_is_called_full(libraries, small_disk, monkeypatch):
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 2**20))
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    with pytest.raises(SdopsError) as caught:
        demo.ensure()
    assert caught.value.code == "disk-full"
    assert list((small_disk / "sdops").iterdir()) == []
