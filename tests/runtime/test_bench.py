"""The measurement itself, on the CPU with the demo model: it runs, compares, says what fails. Python 3.9."""

import json

import pytest
from sdops_runtime.bench import measure, models, table


@pytest.fixture(autouse=True)
def _libraries(libraries):
    pass


def test_both_ways_are_measured_and_compared(tmp_path, own_cache):
    plan = measure.Plan("cpu", False, 1, True, tmp_path / "bench", 128, 4, 2, (2, 2000))
    said = []
    told = json.loads(json.dumps(measure.measure(plan, said.append)))
    rows = {row["name"]: row for row in told["rows"]}
    assert list(rows)[:6] == [
        "guide's script, 1 picture",
        "guide's script, 2 pictures",
        "1 picture",
        "2 pictures",
        "2 pictures, batch 2",
        "2 pictures, batch 2000",
    ]
    assert "2 pictures, channels_last" in rows
    one = rows["1 picture"]
    assert (one["batch"], one["difference"], one["vram_gib"]) == (1, 0, None)
    assert min(one[key] for key in ("images_per_second", "unet_ms", "cold_s", "warm_s", "faster")) > 0
    assert rows["2 pictures, batch 2"]["difference"] <= 1
    assert "not a whole number" in rows["2 pictures, batch 2000"]["error"]
    assert told["machine"]["matmul_tflops"] > 0
    assert "torch" in told["machine"]["versions"]
    lines = table.text(told).splitlines()
    assert lines[0].split()[0] == "batch"
    assert len([line for line in lines if "picture" in line]) >= 7
    assert not list((tmp_path / "bench").glob("tmp*"))


def test_a_process_that_ends_is_said(tmp_path):
    plan = measure.Plan("cpu", False, 1, False, tmp_path, 128, 4, 2, ())
    with measure.Process("ours", plan, tmp_path, tmp_path) as one:
        assert "error" in one.ask("make", images=1, out=str(tmp_path))
        one._process.kill()
        one._process.wait(30)
        with pytest.raises(measure.SdopsError) as caught:
            one.ask("make", images=1, out=str(tmp_path))
    assert caught.value.code == "internal-error"


def test_the_full_size_is_that_of_stable_diffusion(libraries):
    """Values of each network, as counted in CompVis/stable-diffusion-v1-4's files."""
    from sdops_runtime import dialect

    vocabulary = dict(models.FULL.text, vocab_size=49408, max_position_embeddings=77)
    state = dialect.empty_state("unet", models.FULL.unet, fast=True)
    assert sum(like.numel() for like in state.values()) == 859_520_964
    state = dialect.empty_state("vae", models.FULL.vae, fast=True)
    assert sum(like.numel() for like in state.values()) == 83_653_863
    state = dialect.empty_state("text_encoder", vocabulary, fast=True)
    assert sum(like.numel() for like in state.values() if like.dtype.is_floating_point) == 123_060_480


def test_a_model_in_the_form_of_the_full_size_is_loaded(tmp_path, monkeypatch):
    """The files that are drawn on the device in float16, from small networks."""
    import torch
    from sdops_runtime import demo, device, pipeline

    monkeypatch.setattr(models, "FULL", demo.DEMO)
    folder = models.ensure(tmp_path, True, "cpu")
    engine = pipeline.load(folder, device.pick("cpu"), torch.float32)
    assert engine.filters
