"""What makes a folder loadable, and how each kind of damage is told."""

import pytest
from doubles.model_files import BOTH, UNET, content, tensors_file, write_model
from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import layout


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "whole")


def check(folder, weights=(".bin",)):
    layout.check(folder, weights, "here", "Mend it.")


def refused(folder, weights=(".bin",)):
    with pytest.raises(SdopsError) as caught:
        check(folder, weights)
    assert (caught.value.code, caught.value.hint) == ("model-broken", "Mend it.")
    return caught.value.message


def test_folder_without_an_optional_part_is_whole(folder):
    assert not (folder / "safety_checker").exists()
    check(folder)


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        ("model_index.json", None, "lacks model_index.json, so it is no folder in diffusers' layout"),
        ("model_index.json", b"{", "is damaged: model_index.json is not JSON"),
        ("model_index.json", b"[]", "is damaged: model_index.json is not an object"),
        ("model_index.json", b'{"_class_name": "X"}', "is no pipeline: its model_index.json names no parts"),
        ("model_index.json", b'{"../x": ["a", "b"]}', "has a part with the impossible name '../x'"),
        ("unet/config.json", None, "lacks unet/config.json"),
        ("unet/config.json", b"\xff\xfe", "is damaged: unet/config.json is not JSON"),
        ("scheduler/scheduler_config.json", None, "lacks scheduler/scheduler_config.json"),
        ("tokenizer/vocab.json", None, "lacks tokenizer/vocab.json"),
        (UNET, None, "lacks the weights (.bin) of unet"),
        (UNET, b"", f"is damaged: {UNET} is empty"),
        (UNET, content(UNET)[:-1000], f"is damaged: {UNET} is cut off"),
        (UNET, b"version https://git-lfs.github.com/spec/v1\n", f"is damaged: {UNET} is a git-lfs pointer"),
        (UNET, b"<!DOCTYPE html><html>", f"is damaged: {UNET} is a web page"),
        (UNET, b"what is this?", f"is damaged: {UNET} is not a file of weights"),
    ],
)
def test_folder_that_cannot_be_loaded_is_refused_with_the_part_and_file(folder, file, data, said):
    if data is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(data)
    message = refused(folder)
    assert message.startswith(f"The model here {said}")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tensors_file(5000)[:-1], "is cut off"),
        (tensors_file(5000)[:20], "is cut off"),
        (b"", "is empty"),
        (b"PK too short", "is not a file of weights"),
        (
            (30).to_bytes(8, "little") + b"not JSON at all, but a text of some length",
            "is not a file of weights",
        ),
    ],
)
def test_damaged_safetensors_file_is_told(folder, data, said):
    name = "unet/diffusion_pytorch_model.safetensors"
    (folder / name).write_bytes(data)
    message = refused(folder, BOTH)
    assert message == f"The model here is damaged: {name} {said}."
    check(folder)


def test_folder_with_weights_that_these_libraries_do_not_read_is_refused(folder):
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.safetensors")
    message = refused(folder)
    assert "has no weights (.bin) for unet that are read here, only diffusion_pytorch_model.safetensors" in (
        message
    )


def test_weights_in_the_older_form_of_torch_pass(folder):
    (folder / UNET).write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF")
    check(folder)
