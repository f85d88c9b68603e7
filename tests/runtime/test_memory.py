"""What fits, and what happens where it does not: the table, the plan, and every rung of the ladder.

There is no GPU here: doubles.allocator counts the bytes of tensors and refuses more than a limit, as a GPU
would. What only a GPU can show: test_gpu. Python 3.9.
"""

import json
from types import SimpleNamespace

import drawing
import numpy
import pytest
from bench import memory as measuring
from doubles import allocator
from drawing import draws, values
from sdops_runtime import device, dialect, job, memory, pipeline, tiles
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.memory import MIB, Network, Rung
from sdops_runtime.pipeline import Draw, Recipe
from sdops_runtime.protocol import JobRequest, Settings

GUIDE, TODAY = Network(), Network(generation="today")
#: What is free of a 10 GB share of an A100, of which some 600 MB are its own, with the model loaded.
SHARE = 6500 * MIB

RECIPE = Recipe(0.8, 4, 7.5)


def assert_same_pictures(ones, others):
    """Rounding apart: at most one step of 255, in at most 0.1 % of all values (0.02 % were seen)."""
    apart = numpy.abs(values(ones) - values(others))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3


# -- the plan


@pytest.mark.parametrize(
    ("size", "network", "total", "rung"),
    [
        ((512, 512), GUIDE, 1, Rung(1)),
        ((512, 512), GUIDE, 20, Rung(5)),
        ((512, 768), GUIDE, 20, Rung(2)),
        ((768, 768), GUIDE, 20, Rung(1)),
        ((1024, 1024), GUIDE, 20, Rung(1, sliced=True)),
        ((512, 512), TODAY, 20, Rung(8)),
        ((1024, 1024), TODAY, 20, Rung(8)),
        ((2048, 2048), GUIDE, 1, None),
        ((2048, 2048), TODAY, 1, Rung(1, tiled=True)),
    ],
    ids=str,
)
def test_a_share_of_ten_gigabytes_makes_of_each_size_what_fits(size, network, total, rung):
    if rung is None:
        with pytest.raises(SdopsError):
            memory.plan(SHARE, *size, network, total)
        return
    found = memory.plan(SHARE, *size, network, total)
    assert found.rung == rung
    assert found.needed <= memory.usable(SHARE) < SHARE


def test_with_less_and_less_memory_each_rung_is_planned_in_its_turn():
    planned = []
    for free in range(60_000, 1_000, -20):
        try:
            found = memory.plan(free * MIB, 1024, 768, GUIDE, 4)
        except SdopsError:
            break
        assert len(found.notices) == (found.rung.batch < 4) + len(str(found.rung).split(", ")) - (
            not str(found.rung)
        )
        if found.rung not in planned:
            planned.append(found.rung)
    assert planned == [
        Rung(4),
        Rung(3),
        Rung(2),
        Rung(1),
        Rung(1, sliced=True),
        Rung(1, sliced=True, tiled=True),
        Rung(1, sliced=True, halved=True, tiled=True),
    ]


def test_a_size_of_batch_that_was_chosen_before_gives_way_to_its_divisors_only():
    room = [
        memory.plan(free * MIB, 512, 512, GUIDE, 9, batch=6).rung.batch for free in (9000, 6500, 5000, 3000)
    ]
    assert room == [6, 3, 3, 2]


def test_what_ran_out_before_is_not_planned_again():
    ceiling = Rung(2, tiled=True)
    assert memory.plan(80_000 * MIB, 768, 768, GUIDE, 8, ceiling=ceiling).rung == ceiling
    assert memory.plan(80_000 * MIB, 768, 768, GUIDE, 1, ceiling=ceiling).rung == Rung(1, tiled=True)


def test_a_cpu_makes_one_at_a_time_unless_told_otherwise():
    assert memory.plan(None, 512, 512, GUIDE, 9) == memory.Plan(Rung(1))
    assert memory.plan(None, 512, 512, GUIDE, 9, batch=4) == memory.Plan(Rung(4))


@pytest.mark.parametrize(
    ("shape", "free"),
    [
        ((2048, 2048), 900),
        ((2048, 2048), 6500),
        ((1024, 1536), 900),
        ((1024, 1536), 2500),
        ((1536, 640), 900),
    ],
    ids=str,
)
def test_a_size_that_does_not_fit_is_refused_with_the_largest_that_does(shape, free):
    with pytest.raises(SdopsError) as caught:
        memory.plan(free * MIB, *shape, GUIDE, 1, name="NVIDIA A100")
    error = caught.value
    assert error.code == "out-of-memory"
    assert error.message.startswith(
        f"A picture of {shape[0]}x{shape[1]} does not fit into the memory of NVIDIA"
    )
    width, height = memory.largest_fit(free * MIB, *shape, GUIDE)
    assert f"Use --width {width} (for {width}x{height})" in error.hint
    assert (width % 8, height % 8) == (0, 0)
    assert abs(height / width - shape[1] / shape[0]) <= 8 / width
    memory.plan(free * MIB, width, height, GUIDE, 1)
    larger = width + 8, round((width + 8) * shape[1] / shape[0] / 8) * 8
    with pytest.raises(SdopsError):
        memory.plan(free * MIB, *larger, GUIDE, 1)


def test_where_nothing_fits_no_size_is_named():
    with pytest.raises(SdopsError) as caught:
        memory.plan(10 * MIB, 512, 512, GUIDE, 1)
    assert caught.value.hint == "Close what else uses the GPU (nvidia-smi lists it)."


def test_of_a_network_that_is_not_known_nothing_is_refused():
    other = Network(exact=False)
    assert memory.plan(500 * MIB, 2048, 2048, other, 3).rung == Rung(1, sliced=True, tiled=True)


# -- the table


@pytest.mark.parametrize("architecture", ["sd1", "demo"])
@pytest.mark.parametrize("size", [(520, 392), (640, 896)], ids=str)
def test_the_table_lies_close_above_what_is_counted(libraries, architecture, size):
    """At sizes between the measured ones, odd ones among them."""
    with measuring.shapes_only():
        engine = measuring.engine_of(architecture, "float16")
        for rung in (Rung(3), Rung(1, sliced=True), Rung(1, sliced=True, halved=True)):
            counted = measuring.sampled(engine, size, rung)
            assert 0.93 <= memory.unet_bytes(engine.network, *size, rung) / counted <= 1.35
        for tiled in {False, tiles.needed(*size)}:
            counted = measuring.coded(engine, size, tiled)
            # The table's tile is 512 pixels both ways; these have smaller ones.
            most = 1.75 if tiled else 1.35
            assert 0.93 <= memory.vae_bytes(engine.network, *size, tiled) / counted <= most


def test_the_count_is_torchs_own(engine, tmp_path):
    """Beside the profiler's account of the CPU's allocator: it has what kernels take for themselves, too."""
    import torch

    sample, text = torch.randn(4, 4, 32, 32), torch.randn(4, 77, 32)
    calls = (
        lambda: engine._pipeline.unet(sample, torch.tensor(10), encoder_hidden_states=text).sample,
        lambda: engine._pipeline.vae.decode(sample[:1]).sample,
    )
    for call in calls:
        with torch.no_grad(), allocator.Memory() as counted:
            call()
        with (
            dialect.quiet(),
            torch.no_grad(),
            torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
            ) as profile,
        ):
            call()
        profile.export_chrome_trace(str(tmp_path / "trace"))
        events = json.loads((tmp_path / "trace").read_text())["traceEvents"]
        live = numpy.cumsum([one["args"]["Bytes"] for one in events if one.get("name") == "[memory]"])
        assert 1.0 <= live.max() / counted.peak <= 1.25


def test_the_demos_table_holds_for_real_pictures(engine, monkeypatch):
    """A plan with so much free memory, and no margin, is one that so much suffices for."""
    monkeypatch.setattr(memory, "SPARE", 0)
    monkeypatch.setattr(memory, "USABLE", 0.99)
    size = (768, 512)
    most = memory.needed(engine.network, *size, Rung(1))
    least = memory.needed(engine.network, *size, Rung(1, tiled=True))
    seen = set()
    for free in (int(1.02 * most), (most + least) // 2):
        monkeypatch.setattr(device, "free_bytes", lambda chosen, free=free: free)
        rung = engine.plan(size, 1, RECIPE.guidance).rung
        engine._inputs.clear()
        with allocator.Memory(free) as held:
            pictures = make(engine, draws(size, 1), rung.batch, recipe=Recipe(0.5, 2, 7.5))
        assert held.refused == 0
        assert pictures[0].rung == rung
        seen.add(rung)
    assert seen == {Rung(1), Rung(1, tiled=True)}


# -- the ladder


def make(engine, wanted, batch, told=None, recipe=RECIPE):
    return drawing.make(engine, wanted, batch, recipe, told)


@pytest.fixture
def forgetful(engine):
    """The demo's engine, which forgets afterwards what ran out."""
    yield engine
    engine._ladder.ceilings.clear()
    engine._ladder.rungs.clear()
    engine._inputs.clear()


@pytest.fixture(scope="module")
def steep(engine):
    """A small network whose UNet takes the most memory by far, as the real one does."""
    import torch

    return pipeline.Engine(drawing.steep(engine._pipeline), device.pick("cpu"), torch.float32)


def test_every_rung_is_reached_and_every_picture_made(steep):
    wanted, recipe = draws((192, 192), 4), Recipe(0.5, 2, 7.5)
    rungs = [Rung(4), Rung(2), Rung(1)]
    if dialect.is_guide_generation():
        rungs += [Rung(1, sliced=True), Rung(1, sliced=True, halved=True)]
    else:
        rungs += [Rung(1, halved=True)]
    peaks, pictures = [], []
    for rung in rungs:
        lower_to(steep, rung)
        with allocator.Memory() as held:
            pictures.append(make(steep, wanted, 4, recipe=recipe))
        peaks.append(held.peak)
    assert peaks == sorted(peaks, reverse=True)
    for number, rung in enumerate(rungs):
        lower_to(steep, None)
        told = []
        with allocator.Memory(peaks[number]) as held:
            made = make(steep, wanted, 4, told, recipe)
        assert {one.rung for one in made} == {rung}
        # One rung after the other, each of them told.
        assert len(told) == held.refused == number
        assert [one.image.tobytes() for one in made] == [one.image.tobytes() for one in pictures[number]]
        assert_same_pictures(made, pictures[0])
    lower_to(steep, None)
    with allocator.Memory(peaks[-1] - 1), pytest.raises(SdopsError) as caught:
        make(steep, wanted, 4, recipe=recipe)
    assert caught.value.code == "out-of-memory"
    lower_to(steep, None)


def lower_to(engine, rung):
    """Has an engine begin on a rung, for pictures of 192x192, or forget all it knows."""
    engine._ladder.ceilings.clear()
    engine._ladder.rungs.clear()
    engine._inputs.clear()
    engine._prompts.clear()
    if rung is not None:
        engine._ladder.rungs[(192, 192), 4, True] = rung


def test_what_ran_out_once_is_remembered_for_that_size(steep):
    wanted = draws((128, 128), 4)
    steep._ladder.ceilings.clear()
    steep._ladder.rungs.clear()
    with allocator.Memory() as held:
        make(steep, wanted, 4)
    told = []
    with allocator.Memory(int(held.peak * 0.7)):
        make(steep, wanted, 4, told)
    assert told == ["Pictures of 128x128 are made 2 at a time instead of 4, to fit into memory."]
    assert steep.plan((128, 128), 8, 7.5, 8).rung == Rung(2)
    assert steep.plan((128, 192), 8, 7.5, 8).rung == Rung(8)
    steep._ladder.ceilings.clear()
    steep._ladder.rungs.clear()


@pytest.mark.parametrize("batch", [2, 1])
def test_a_lowered_batch_makes_the_bytes_of_that_batch(steep, batch):
    """A picture's slot is its number modulo the batch, whether that was chosen or came about."""
    wanted = draws((128, 88), 4)
    steep._ladder.ceilings[128, 88] = Rung(batch), None
    steep._ladder.rungs.clear()
    lowered = make(steep, wanted, 4)
    single = make(steep, wanted[1:2], 4)[0]
    steep._ladder.ceilings.clear()
    chosen = []
    for start in range(0, 4, batch):
        part = [
            Draw(one.image, one.key, one.prompt, one.seed, one.slot % batch)
            for one in wanted[start : start + batch]
        ]
        chosen += make(steep, part, batch)
    assert [one.rung.batch for one in lowered] == [batch] * 4
    assert [one.image.tobytes() for one in lowered] == [one.image.tobytes() for one in chosen]
    assert single.image.tobytes() == lowered[1].image.tobytes()


@pytest.mark.parametrize("rung", [Rung(1, sliced=True), Rung(1, halved=True), Rung(1, True, True)], ids=str)
@pytest.mark.parametrize("recipe", [RECIPE, Recipe(0.6, 10, 1.0)], ids=["guided", "unguided"])
def test_a_rung_changes_rounding_only(forgetful, rung, recipe):
    wanted = draws((128, 160), 4)
    plain = make(forgetful, wanted, 4, recipe=recipe)
    forgetful._ladder.ceilings[128, 160] = rung, None
    for guided in (True, False):
        forgetful._ladder.rungs[(128, 160), 4, guided] = rung
    made = make(forgetful, wanted, 4, recipe=recipe)
    assert {one.rung for one in made} == {rung}
    assert_same_pictures(made, plain)
    # Sliced attention is undone for the next.
    forgetful._ladder.rungs.clear()
    forgetful._ladder.ceilings.clear()
    again = make(forgetful, wanted, 4, recipe=recipe)
    assert [one.image.tobytes() for one in again] == [one.image.tobytes() for one in plain]


def test_the_vae_falls_to_tiles_and_says_so(forgetful):
    wanted, recipe = draws((768, 512), 1), Recipe(0.5, 2, 7.5)
    with allocator.Memory() as held:
        plain = make(forgetful, wanted, 1, recipe=recipe)
    forgetful._inputs.clear()
    told = []
    with allocator.Memory(held.peak - 1):
        made = make(forgetful, wanted, 1, told, recipe)
    assert made[0].rung == Rung(1, tiled=True)
    assert told == [
        "Pictures of 768x512 are encoded and decoded in tiles, to fit into memory: they may differ a little "
        "from whole ones, most at the tiles' borders."
    ]
    apart = numpy.abs(values(made) - values(plain))
    # Of the demo's random weights, whose pictures are noise.
    assert apart.mean() <= 5.0


def test_below_the_last_rung_a_size_is_named_that_fits(forgetful, monkeypatch):
    monkeypatch.setattr(memory, "SPARE", 0)
    monkeypatch.setattr(memory, "USABLE", 0.97)
    network, size = forgetful.network, (256, 320)
    limit = memory.needed(network, *size, memory.last_rung(network, *size, True)) * 2 // 3
    told = []
    with allocator.Memory(limit), pytest.raises(SdopsError) as caught:
        make(forgetful, draws(size, 1), 1, told)
    monkeypatch.setattr(device, "free_bytes", lambda chosen: limit)
    with pytest.raises(SdopsError) as before:
        forgetful.plan(size, 1, 7.5)
    assert (caught.value.code, before.value.code) == ("out-of-memory", "out-of-memory")
    width, height = memory.largest_fit(limit, *size, network)
    assert before.value.hint.startswith(f"Use --width {width} (for {width}x{height})")
    forgetful.plan((width, height), 1, 7.5)
    with allocator.Memory(limit) as held:
        (made,) = make(forgetful, draws((width, height), 1), 1)
    assert made.image.size == (width, height)
    assert held.refused == 0


def test_an_error_that_is_none_of_memory_is_passed_on(forgetful, monkeypatch):
    def stumble(*arguments, **named):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(forgetful._pipeline.unet, "forward", stumble)
    with pytest.raises(RuntimeError, match="shapes"):
        make(forgetful, draws((128, 128), 1), 1)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA out of memory. Tried to allocate 8.00 GiB",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "Unable to find a valid cuDNN algorithm to run convolution",
        "[enforce fail at alloc_cpu.cpp:66] . DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 9 bytes. Error code 12 (Cannot allocate memory)",
    ],
)
def test_memory_that_runs_out_is_known_by_many_words(said):
    assert device.is_out_of_memory(RuntimeError(said))
    assert device.may_be_out_of_memory(RuntimeError(said))


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_words_of_several_meanings_are_worth_a_try_with_less_memory(forgetful, monkeypatch, said):
    wanted, predict = draws((64, 96), 2), pipeline.Engine._predict

    def refuse(self, sample, *words):
        if len(sample) > most:
            raise RuntimeError(said)
        return predict(self, sample, *words)

    monkeypatch.setattr(pipeline.Engine, "_predict", refuse)
    assert not device.is_out_of_memory(RuntimeError(said))
    most = 1
    assert [one.rung.batch for one in make(forgetful, wanted, 2)] == [1, 1]
    most = 0
    with pytest.raises(RuntimeError, match=said.split()[-1].replace("(", r"\(").replace(")", r"\)")):
        make(forgetful, wanted, 2)


def test_what_ran_out_is_tried_again_when_much_more_is_free(steep, monkeypatch):
    """It was somebody else who had the memory."""
    free = 8000 * MIB
    monkeypatch.setattr(device, "free_bytes", lambda chosen: free)
    for now, batch in ((free, 2), (int(free * 1.1), 2), (int(free * 1.5), 8)):
        steep._ladder.ceilings[128, 128] = Rung(2), free
        monkeypatch.setattr(device, "free_bytes", lambda chosen, now=now: now)
        assert steep.plan((128, 128), 8, 7.5).rung.batch == batch
    steep._ladder.ceilings.clear()
    steep._ladder.rungs.clear()


def test_a_job_with_too_little_memory_ends_with_all_its_pictures(steep, tmp_path, photo):
    """A whole job, with files and events: what runs out is met where it was planned, and told once."""
    about = dict.fromkeys(("model", "revision", "stack", "device", "dtype"), "some")
    settings = Settings("demo", width=192, height=192, steps=2, strength=0.5, images=5, seed=1)
    told = []
    lower_to(steep, None)
    request = JobRequest(("photo.jpg",), ("a hat",), settings, batch=4)

    def run(out):
        told.clear()
        place = Place(tmp_path / out, "cpu")
        return job.run(
            request, [photo], place, told.append, loader=lambda *words: (steep, {**about, "versions": {}})
        )

    with allocator.Memory() as held:
        assert run("plain").data["images"] == 5
    lower_to(steep, None)
    with allocator.Memory(held.peak // 2):
        last = run("capped")
    lower_to(steep, None)
    assert (last.kind, last.data["images"], last.data["failed"]) == ("done", 5, 0)
    said = [event.data["message"] for event in told if event.kind == "notice"]
    assert "Pictures of 192x192 are made 2 at a time instead of 4, to fit into memory." in said
    assert len(set(said)) == len(said)
    assert len(list((tmp_path / "capped").glob("*.png"))) == 5


# -- the tiles


@pytest.mark.parametrize("size", [(512, 512), (520, 64), (768, 512), (1024, 640), (2048, 904)], ids=str)
def test_tiles_cover_all_of_a_picture_and_fade_into_one(libraries, size):
    """With a VAE that changes nothing, nothing changes, at no border."""
    import torch

    pixels = torch.linspace(0, 1, 3 * size[0] * size[1]).reshape(1, 3, size[1], size[0])
    seen = []

    def encode(tile):
        seen.append(tuple(tile.shape[2:]))
        small = tile[:, :, ::8, ::8]
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=small, std=2 * small))

    def decode(latents):
        return SimpleNamespace(sample=latents.repeat_interleave(8, 2).repeat_interleave(8, 3))

    same = SimpleNamespace(encode=encode, decode=decode)
    mean, deviation = tiles.encode(same, pixels)
    small = pixels[:, :, ::8, ::8]
    assert torch.allclose(mean, small, atol=1e-6)
    assert torch.allclose(deviation, 2 * small, atol=1e-6)
    assert set(seen) == {(min(512, size[1]), min(512, size[0]))}
    whole = small.repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert torch.allclose(tiles.decode(same, small), whole, atol=1e-6)


# -- on a GPU
