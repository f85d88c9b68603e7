"""The measurement itself, on the CPU with the demo model: it runs, compares, says what fails. Python 3.9."""

import json

import pytest
from PIL import Image
from sdops_runtime import gains
from sdops_runtime.bench import measure, models, table
from sdops_runtime.compiling import Load


@pytest.fixture(autouse=True)
def _libraries(libraries):
    pass


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "whole"])
def test_both_ways_are_measured_and_compared(tmp_path, own_cache, monkeypatch, whole):
    kept, switched = [], measure._Run._switched
    monkeypatch.setattr(gains, "keep", kept.extend)
    if not whole:
        # Compiling takes up to a minute each time.
        monkeypatch.setattr(
            measure._Run,
            "_switched",
            lambda self, names, *words: (
                switched(self, names, *words)
                if names == ["channels_last"]
                else [{"name": " + ".join(names), "error": "left out"}]
            ),
        )
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
    assert {"2 pictures, channels_last", "1 picture, channels_last"} < set(rows)
    assert rows["2 pictures"]["faster_than_sessions"] > 2
    assert (rows["2 pictures"]["retried"], rows["2 pictures"]["share_of_floor"]) == (0, None)
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
    # Compiling, where this stack can.
    if not {"compiled_blocks", "2 pictures, compiled_blocks"} & set(rows):
        assert told["compiling"]["error"].endswith(" is missing")
        assert kept == []
        return
    (found,) = kept
    assert found.subject == gains.Subject("CPU", "demo", "float32")
    assert found.load == Load(128, 128, 2)
    assert found.first_s > 2 * found.again_s
    assert told["compiling"]["first_s"] == found.first_s
    assert any(line.startswith("Compiling blocks takes ") for line in lines)


@pytest.mark.parametrize(
    ("faster", "expected"),
    [
        ({}, ()),
        ({"channels_last": 1.21, "cudnn_benchmark": 1.3, "fused_projections": 1.1}, ("cudnn_benchmark",)),
        ({"channels_last": 1.5, "cuda_graphs": 1.3, "compiled_blocks": 1.6, "compile": None},
         ("channels_last", "compiled_blocks")),
    ],
)  # fmt: skip
def test_what_was_worth_it_is_tried_together(faster, expected):
    assert measure._together(faster, 1.2) == expected
    assert measure._together(faster, None) == ()


def test_a_job_whose_pictures_failed_is_no_measurement(tmp_path, monkeypatch):
    """A process of its own measures; what it makes of a job's end is asked here."""
    monkeypatch.setattr("sys.argv", ["", str(tmp_path), str(tmp_path / "in.png"), "cpu", "2"])
    Image.new("RGB", (64, 64)).save(tmp_path / "in.png")
    from sdops_runtime import job
    from sdops_runtime.bench import ours
    from sdops_runtime.protocol import Event

    monkeypatch.setattr(ours, "source", tmp_path / "in.png")
    monkeypatch.setattr(job, "run", lambda *words, **named: Event("done", {"failed": 3}))
    assert ours.Runtime().make(8, str(tmp_path)) == {"error": "3 of 8 pictures could not be made"}


def test_what_cannot_be_prepared_says_why(tmp_path, monkeypatch):
    with pytest.raises(measure.SdopsError) as caught:
        measure.pick("cuda")
    assert caught.value.code == "device-unusable"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "torch.py").write_text("raise SystemExit('no torch today')")
    with pytest.raises(measure.SdopsError) as caught:
        measure.pick("cpu")
    assert "no torch today" in caught.value.message


MEASURED = {"first_s": 61.2, "again_s": 5.0, "plain_ms": 100.0, "compiled_ms": 80.0, "batch": 8}


@pytest.mark.parametrize(
    ("compiling", "said"),
    [
        (None, ""),
        ({"error": "Triton is missing"}, "The model was not compiled: Triton is missing."),
        (
            {**MEASURED, "pays_from": 896},
            "Compiling blocks takes 61.2 s, and 5.0 s from the disk. A UNet call for 8 takes 100.0 ms "
            "without and 80.0 ms with it: jobs of 896 such pictures or more are compiled here now.",
        ),
        ({**MEASURED, "pays_from": None}, "80.0 ms with it: jobs are not compiled here."),
    ],
)
def test_what_compiling_comes_to_is_said(compiling, said):
    machine = dict.fromkeys(["versions", "matmul_tflops", "device", "cpus", "threads", "python"])
    machine.update(load_before=0, load_after=0, matmul_tflops=1.0)
    told = {"rows": [], "machine": machine, "compiling": compiling}
    text = table.text({**told, **dict.fromkeys(["model", "pixels", "steps", "rounds", "date"], "x")})
    assert said in text
    assert ("compiled" in text) is (compiling is not None)


def test_a_process_that_ends_is_said(tmp_path):
    plan = measure.Plan("cpu", False, 1, False, tmp_path, 128, 4, 2, ())
    with measure.Process("ours", plan, tmp_path, tmp_path, tmp_path) as one:
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
