"""What only a GPU can show; run where there is one, by make test-gpu. Python 3.9.

Half precision rounds by the kernel, which depends on shapes: pictures of one seed differ a little between
batch sizes, slots of a padded batch and rungs. How much is allowed stands in ``pipeline.HALF``.
"""

import gc

import drawing
import numpy
import pytest
from drawing import draws, values
from sdops_runtime import compiling, device, dialect, job, memory, pipeline, tuning, warm
from sdops_runtime.bench import models
from sdops_runtime.course import Place
from sdops_runtime.memory import MIB, Rung
from sdops_runtime.pipeline import Recipe
from sdops_runtime.protocol import JobRequest, Settings

pytestmark = pytest.mark.gpu

RECIPE = Recipe(0.5, 6, 7.5)
SIZE = (768, 768)


@pytest.fixture(scope="module", autouse=True)
def cuda(libraries):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU that this torch can use")
    return torch.cuda


@pytest.fixture
def demo(demo_folder, cuda):
    import torch

    yield pipeline.load(demo_folder, device.pick("cuda"), torch.float16)
    gc.collect()
    cuda.empty_cache()


@pytest.fixture
def steep(demo):
    """Its rungs are some 100 MiB apart, far more than the pieces in which torch takes memory."""
    import torch

    stock = drawing.steep(demo._pipeline, channels=128)
    for part in (stock.unet, stock.vae):
        part.to("cuda", torch.float16)
    return pipeline.Engine(stock, device.pick("cuda"), torch.float16)


def assert_within_tolerance(ones, others):
    apart = numpy.abs(values(ones) - values(others))
    assert apart.max() <= pipeline.HALF.most
    assert apart.mean() <= pipeline.HALF.mean


def begin_on(engine, rung):
    engine._ladder.ceilings.clear()
    engine._ladder.rungs.clear()
    engine._inputs.clear()
    if rung is not None:
        engine._ladder.rungs[SIZE, 4, True] = rung


def taken(engine, cuda, rung):
    """The pictures of a rung, and the most bytes that torch had taken from the GPU for them."""
    begin_on(engine, rung)
    gc.collect()
    cuda.empty_cache()
    cuda.reset_peak_memory_stats()
    made = drawing.make(engine, draws(SIZE, 4), 4, RECIPE)
    return made, cuda.max_memory_reserved()


def test_with_a_fixed_batch_bytes_depend_on_the_slot_alone(demo):
    """The seed contract, to the bit: whatever else is in the batch."""
    wanted = draws((256, 320), 4)
    together = drawing.make(demo, wanted, 4, RECIPE)
    for number, one in enumerate(wanted):
        (alone,) = drawing.make(demo, [one], 4, RECIPE)
        assert alone.image.tobytes() == together[number].image.tobytes()


def test_other_batch_sizes_and_slots_are_within_the_tolerance(demo):
    wanted = draws((256, 320), 4)
    together = drawing.make(demo, wanted, 4, RECIPE)
    alone = [
        drawing.make(demo, [pipeline.Draw(one.image, one.key, one.prompt, one.seed)], 1, RECIPE)[0]
        for one in wanted
    ]
    assert_within_tolerance(together, alone)


def test_every_rung_is_reached_with_capped_memory_and_no_picture_lost(steep, cuda):
    rungs = [Rung(4), Rung(2), Rung(1)]
    peaks = [taken(steep, cuda, rung) for rung in rungs]
    total = cuda.get_device_properties(0).total_memory
    for number, (_, peak) in enumerate(peaks):
        begin_on(steep, None)
        told = []
        gc.collect()
        cuda.empty_cache()
        try:
            # A little more than this rung took, and less than the one above.
            cuda.set_per_process_memory_fraction((peak + 8 * MIB) / total)
            made = drawing.make(steep, draws(SIZE, 4), 4, RECIPE, told)
        finally:
            cuda.set_per_process_memory_fraction(1.0)
        assert {one.rung.batch for one in made} == {rungs[number].batch}
        assert len(told) >= number
        assert_within_tolerance(made, peaks[0][0])


def test_a_job_with_capped_memory_ends_with_all_its_pictures(steep, cuda, tmp_path, photo):
    _, peak = taken(steep, cuda, Rung(1))
    begin_on(steep, None)
    about = {"model": "steep", "revision": None, "stack": None, "versions": {}, "device": "GPU"}
    settings = Settings("demo", width=SIZE[0], height=SIZE[1], steps=6, strength=0.5, images=6, seed=1)
    request = JobRequest(("photo.jpg",), ("a hat",), settings, batch=4)
    told = []
    try:
        cuda.set_per_process_memory_fraction((peak + 8 * MIB) / cuda.get_device_properties(0).total_memory)
        last = job.run(
            request,
            [photo],
            Place(tmp_path / "out", "cuda"),
            told.append,
            loader=lambda *words: (steep, {**about, "dtype": "float16"}),
        )
    finally:
        cuda.set_per_process_memory_fraction(1.0)
    assert (last.kind, last.data["images"], last.data["failed"]) == ("done", 6, 0)
    assert any("to fit into memory" in event.data.get("message", "") for event in told)


def test_the_plan_takes_no_less_than_the_full_model_does(cuda, tmp_path_factory):
    """memory.json was counted without a GPU; this is what it says of one. 2.6 GB of random weights."""
    import torch

    place = models.ensure(tmp_path_factory.mktemp("full"), True, "cuda")
    gc.collect()
    cuda.empty_cache()
    engine = pipeline.load(place, device.pick("cuda"), torch.float16)
    for batch in (1, 4):
        engine.plan((512, 512), batch, 7.5, batch)
        gc.collect()
        cuda.empty_cache()
        before = cuda.memory_allocated()
        cuda.reset_peak_memory_stats()
        drawing.make(engine, draws((512, 512), batch), batch, Recipe(0.5, 4, 7.5))
        took = cuda.max_memory_allocated() - before
        planned = memory.needed(engine.network, 512, 512, Rung(batch))
        print(f"batch {batch}: planned {planned / MIB:.0f} MiB, took {took / MIB:.0f} MiB")
        assert took <= planned + memory.SPARE
        assert took >= planned / 2  # else the table wastes half of the GPU


@pytest.mark.parametrize("name", [one.name for one in tuning.SWITCHES])
def test_a_switch_keeps_the_pictures_within_the_tolerance(demo_folder, cuda, name):
    import torch

    wanted = draws((256, 320), 2)
    plain = pipeline.load(demo_folder, device.pick("cuda"), torch.float16)
    switched = pipeline.load(demo_folder, device.pick("cuda"), torch.float16)
    if name not in [one.name for one in tuning.candidates(switched._pipeline, "cuda")]:
        pytest.skip(f"this stack has no {name}")
    tuning.turn_on(switched._pipeline, "cuda", [name])
    before = drawing.make(plain, wanted, 2, RECIPE)
    for _ in range(2):  # captured or compiled, and used again
        assert_within_tolerance(drawing.make(switched, wanted, 2, RECIPE), before)
    compiling.forget()


def test_overflow_in_half_precision_is_made_again_in_float32(demo):
    import torch

    with torch.no_grad():
        demo._pipeline.vae.decoder.conv_norm_out.weight.fill_(6e4)
    (made,) = drawing.make(demo, draws((256, 320), 1), 1, RECIPE)
    assert (made.retried, made.failure) == (True, None)
    assert demo._pipeline.unet.dtype is torch.float16


def test_the_memory_comes_back_when_the_model_is_dropped(demo_folder, cuda):
    gc.collect()
    cuda.empty_cache()
    before = cuda.memory_allocated()
    one = warm.Warm()
    settings = Settings("demo", width=256)
    engine, _ = one.load(settings, Place(demo_folder, "cuda"), lambda event: None)
    drawing.make(engine, draws((256, 320), 2), 2, RECIPE)
    assert cuda.memory_allocated() > before
    del engine
    one.drop()
    assert cuda.memory_allocated() - before < MIB


def test_weights_are_on_the_gpu_and_in_half_precision(demo):
    import torch

    for part in (demo._pipeline.unet, demo._pipeline.vae, demo._pipeline.text_encoder):
        assert {(value.device.type, value.dtype) for value in part.parameters()} == {("cuda", torch.float16)}
    assert dialect.generation() in ("guide", "today")
