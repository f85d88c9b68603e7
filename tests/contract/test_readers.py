"""Our pictures are read by programs of others: two from the package index, as their users call them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from sd_parsers import ParserManager
from sdops_runtime import png
from sdops_runtime.record import Record

RECORD = Record(
    model="CompVis/stable-diffusion-v1-4",
    revision="0123456789abcdef0123456789abcdef01234567",
    stack="guide",
    versions={},
    device="NVIDIA A100",
    dtype="float16",
    batch=4,
    prompt="wearing a christmas hat, smiling",
    negative_prompt="a beard, blurry",
    seed=2**40 + 7,
    index=3,
    strength=0.35,
    guidance=7.5,
    steps=50,
    width=64,
    height=72,
    background="white",
    input_sha256="ab" * 32,
    input_size=(1500, 1000),
    flagged=False,
    retried_float32=False,
)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "photo-7.png"
    png.save_png(Image.linear_gradient("L").resize((64, 72)).convert("RGB"), path, RECORD)
    return path


def test_sd_parsers_reads_them(picture):
    found = ParserManager().parse(picture)
    (sampler,) = found.samplers
    assert [one.value for one in found.prompts] == [RECORD.prompt]
    assert [one.value for one in found.negative_prompts] == [RECORD.negative_prompt]
    assert sampler.name == "PLMS"
    assert sampler.parameters == {"cfg_scale": "7.5", "seed": str(RECORD.seed), "steps": "50"}
    assert sampler.model.name == RECORD.model
    assert (found.metadata["Size"], found.metadata["Denoising strength"]) == ("64x72", "0.35")


def test_sd_geninfo_reads_them(picture):
    program = Path(sys.executable).parent / "sd-geninfo"
    ran = subprocess.run([program, "-i", picture], capture_output=True, text=True, check=True)
    told = json.loads(ran.stdout)["generation_metadata"]
    assert told.pop("Version").startswith("sdops ")
    assert told == {
        "Positive prompt": RECORD.prompt,
        "Negative prompt": RECORD.negative_prompt,
        "Steps": 50,
        "Sampler": "PLMS",
        "CFG scale": 7.5,
        "Seed": RECORD.seed,
        "Size": "64x72",
        "Model": RECORD.model,
        "Denoising strength": 0.35,
    }
