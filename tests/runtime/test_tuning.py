"""Switches: none is on that was not measured, and each leaves the pictures what they are. Python 3.9."""

import numpy
import pytest
from PIL import Image
from sdops_runtime import device, pipeline, tuning
from sdops_runtime.errors import SdopsError
from sdops_runtime.pipeline import Draw, Recipe

RECIPE = Recipe(0.5, 6, 7.5)


@pytest.fixture
def fresh(demo_folder):
    import torch

    return pipeline.load(demo_folder, device.pick("cpu"), torch.float32)


def make(engine, seeds=(1, 2)):
    image = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
    draws = [Draw(image, "ramp", "a hat", seed, slot) for slot, seed in enumerate(seeds)]
    return [
        numpy.asarray(one.image).astype(int)
        for one in engine.make(draws, RECIPE, len(seeds), lambda done, of: None)
    ]


def test_none_is_on_without_a_measurement():
    assert tuning.ON == {"cuda": (), "cpu": ()}


def test_one_that_is_not_there_is_said(fresh):
    with pytest.raises(SdopsError) as caught:
        tuning.turn_on(fresh._pipeline, "cpu", ["cuda_graphs"])
    assert caught.value.code == "settings-invalid"
    assert "channels_last" in caught.value.hint


@pytest.mark.parametrize("name", ["channels_last", "fused_projections"])
def test_a_switch_changes_rounding_only(engine, fresh, name):
    if name not in [one.name for one in tuning.candidates(fresh._pipeline, "cpu")]:
        pytest.skip(f"this stack has no {name}")
    tuning.turn_on(fresh._pipeline, "cpu", [name])
    apart = numpy.abs(numpy.stack(make(engine)) - numpy.stack(make(fresh)))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3


def test_what_is_captured_is_replayed_with_new_values_and_forgotten_when_weights_move(engine, fresh):
    """A stand-in for the GPU's graph: a replay runs the function again, into the first result's memory."""
    captured = []

    def capture(run):
        result = run()
        captured.append(result)

        def replay():
            result.sample.copy_(run().sample)

        return replay, result

    unet = fresh._pipeline.unet
    graphs = tuning.Graphs(unet.forward, capture)
    unet.forward = graphs
    for seeds in ((1, 2), (3, 4), (5,)):
        for one, other in zip(make(engine, seeds), make(fresh, seeds)):
            assert (one == other).all()
    assert len(captured) == 2
    graphs.forget()
    make(fresh)
    assert len(captured) == 3


def test_steps_do_not_wait_for_the_device(engine, monkeypatch):
    """Whatever brings a value from the device to Python makes it wait; between steps nothing may."""
    import torch

    asked = []
    for name in ("item", "cpu", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__"):
        original = getattr(torch.Tensor, name)

        def watched(self, *words, _name=name, _original=original, **named):
            asked.append(_name)
            return _original(self, *words, **named)

        monkeypatch.setattr(torch.Tensor, name, watched)
    made, counts = [], []
    tensor = torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda *words, **named: made.append(1) or tensor(*words, **named))
    image = Image.new("RGB", (128, 128))
    engine.make(
        [Draw(image, "black", "a hat", 1)], RECIPE, 1, lambda done, of: counts.append((len(asked), len(made)))
    )
    assert len(counts) == 4
    assert len(set(counts)) == 1
