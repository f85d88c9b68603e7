"""The sampling loop on the real libraries: the seed contract, batches, the filter, overflow."""

import inspect
import shutil
from dataclasses import replace

import numpy
import pytest
from PIL import Image
from sdops_runtime import device, dialect, memory, pipeline
from sdops_runtime.pipeline import Draw, Recipe

#: At 64 pixels the demo's lowest level is one value wide and magnifies rounding a hundredfold.
SIZE = (128, 160)
PROMPT = "wearing a christmas hat"


def gradient(size=SIZE, turn=0):
    """A picture with structure: three ramps in different directions."""
    ramp = Image.linear_gradient("L").resize(size, Image.BILINEAR)
    across = Image.linear_gradient("L").rotate(90).resize(size, Image.BILINEAR)
    bands = [ramp, across, Image.radial_gradient("L").resize(size, Image.BILINEAR)]
    return Image.merge("RGB", bands[turn:] + bands[:turn])


def draw(seed, prompt=PROMPT, turn=0, slot=0, size=SIZE):
    return Draw(gradient(size, turn), f"gradient-{turn}", prompt, seed, slot)


def make(engine, draws, recipe, batch):
    return engine.make(draws, recipe, batch, lambda done, of: None)


def pixels(picture):
    return numpy.asarray(picture.image).astype(int)


def assert_same_pictures(ones, others):
    """At most one step of 255 apart, in at most 0.01 % of all values: rounding, nothing else."""
    ones, others = (numpy.stack([numpy.asarray(one) for one in some]).astype(int) for some in (ones, others))
    apart = numpy.abs(ones - others)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-4


def stock(engine, seed, prompt, recipe, size=SIZE):
    """The library's own pipeline, called for one picture with one seeded generator."""
    import torch

    call = engine._pipeline
    name = "init_image" if "init_image" in inspect.signature(call.__call__).parameters else "image"
    with dialect.quiet():
        result = call(
            prompt=prompt,
            negative_prompt=recipe.negative_prompt or None,
            strength=recipe.strength,
            num_inference_steps=recipe.steps,
            guidance_scale=recipe.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            **{name: gradient(size)},
        )
    return result.images[0]


RECIPES = {
    "defaults": Recipe(0.8, 10, 7.5),
    "negative": Recipe(0.5, 10, 7.5, "blurry"),
    "full strength": Recipe(1.0, 6, 7.5),
    "no guidance": Recipe(0.6, 10, 1.0),
    "two steps": Recipe(0.5, 2, 5.0),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_picture_is_the_stock_pipelines_own_for_its_seed(engine, recipe):
    seeds = range(40, 48)
    draws = [draw(seed, slot=seed % 4) for seed in seeds]
    made = make(engine, draws[:4], recipe, 4) + make(engine, draws[4:], recipe, 4)
    assert_same_pictures(
        [picture.image for picture in made], [stock(engine, seed, PROMPT, recipe) for seed in seeds]
    )


def test_with_the_defaults_too_it_is_the_stock_pipelines_own(engine):
    """Many steps and more pixels: rounding that differs shows here first (0.024 % were seen)."""
    size, recipe = (256, 320), Recipe(0.8, 50, 7.5)
    made = make(engine, [draw(2**63 - 1, size=size)], recipe, 1)[0]
    assert_same_pictures([made.image], [stock(engine, 2**63 - 1, PROMPT, recipe, size)])


@pytest.mark.parametrize("text", ["hat " * 90, "x" * 90], ids=["words", "letters"])
@pytest.mark.parametrize("where", ["prompt", "negative"])
def test_too_long_a_prompt_is_cut_as_the_stock_pipeline_cuts_it(engine, text, where):
    recipe = Recipe(0.6, 4, 7.5, text if where == "negative" else "")
    prompt = text if where == "prompt" else PROMPT
    seeds = range(8)
    made = [make(engine, [draw(seed, prompt)], recipe, 1)[0].image for seed in seeds]
    assert_same_pictures(made, [stock(engine, seed, prompt, recipe) for seed in seeds])


def test_what_a_too_long_prompt_loses_is_named(engine):
    assert engine.dropped(PROMPT) == ""
    guide = dialect.is_guide_generation()
    # 77 tokens hold a start mark, and the end mark only where the library keeps it.
    kept = 76 if guide else 75
    words = " ".join(["hat"] * 70 + ["cat", "dog", "man", "red", "sky", "one", "two"])
    tokens = engine._pipeline.tokenizer(words).input_ids[1:-1]
    assert engine.dropped(words).replace(" ", "") == engine._pipeline.tokenizer.decode(tokens[kept:]).replace(
        " ", ""
    )
    assert engine.dropped(words, negative=True).endswith("two")


def test_a_batch_changes_rounding_only(engine):
    recipe = RECIPES["defaults"]
    draws = [draw(seed, turn=seed % 3, slot=seed) for seed in range(8)]
    singles = [make(engine, [replace(one, slot=0)], recipe, 1)[0] for one in draws]
    together = make(engine, draws, recipe, 8)
    assert_same_pictures([one.image for one in singles], [one.image for one in together])


@pytest.mark.parametrize(
    "cut",
    [[[0, 1, 2], [3, 4]], [[0], [1], [2], [3], [4]], [[4, 3], [2, 0, 1]], [[2, 4], [3], [1, 0]]],
    ids=["full and rest", "one by one", "shuffled", "across windows"],
)
@pytest.mark.parametrize("size", [SIZE, (128, 88), (136, 200)], ids=str)
def test_with_a_fixed_batch_bytes_do_not_depend_on_how_a_job_is_cut(engine, cut, size):
    recipe = RECIPES["negative"]
    draws = [
        draw(seed, prompt=f"{PROMPT} {seed % 2}", turn=seed % 3, slot=seed % 3, size=size)
        for seed in range(5)
    ]
    reference = [make(engine, [one], recipe, 3)[0].image.tobytes() for one in draws]
    for part in cut:
        made = make(engine, [draws[number] for number in part], recipe, 3)
        assert [picture.image.tobytes() for picture in made] == [reference[number] for number in part]


@pytest.mark.parametrize(
    "other",
    [
        (draw(8), RECIPES["defaults"]),
        (draw(7, "a cat"), RECIPES["defaults"]),
        (draw(7, turn=1), RECIPES["defaults"]),
        (draw(7), Recipe(0.8, 10, 7.5, "ugly")),
        (draw(7), Recipe(0.7, 10, 7.5)),
        (draw(7), Recipe(0.8, 12, 7.5)),
        (draw(7), Recipe(0.8, 10, 2.0)),
    ],
    ids=["seed", "prompt", "image", "negative prompt", "strength", "steps", "guidance"],
)
def test_every_setting_changes_the_picture(engine, other):
    base = make(engine, [draw(7)], RECIPES["defaults"], 1)[0]
    changed = make(engine, [other[0]], other[1], 1)[0]
    share = (pixels(base) != pixels(changed)).mean()
    assert share > 0.05


def test_every_step_is_reported(engine):
    seen = []
    engine.make([draw(1)], Recipe(0.5, 8, 7.5), 1, lambda done, of: seen.append((done, of)))
    assert seen == [(number, 5) for number in range(1, 6)]


def test_a_run_that_is_stopped_leaves_the_engine_usable(engine):
    def stop(done, of):
        if done == 3:
            raise KeyboardInterrupt

    recipe = RECIPES["defaults"]
    before = make(engine, [draw(5)], recipe, 1)[0]
    with pytest.raises(KeyboardInterrupt):
        engine.make([draw(6)], recipe, 1, stop)
    assert make(engine, [draw(5)], recipe, 1)[0].image.tobytes() == before.image.tobytes()


@pytest.fixture
def altered(demo_folder, tmp_path):
    """Loads a copy of the demo model after ``change`` has altered one component's tensors."""
    import torch

    def alter(component, change, dtype=torch.float32):
        folder = tmp_path / "altered"
        shutil.copytree(demo_folder, folder)
        file = next((folder / component).glob("*.bin"))
        tensors = torch.load(file)
        change(tensors)
        torch.save(tensors, file)
        return pipeline.load(folder, device.pick("cpu"), dtype)

    return alter


def test_a_flagged_picture_is_black_and_says_so(altered):
    engine = altered("safety_checker", lambda tensors: tensors["concept_embeds_weights"].fill_(-2.0))
    picture = make(engine, [draw(1)], RECIPES["two steps"], 1)[0]
    assert picture.flagged is True
    assert picture.image.getextrema() == ((0, 0),) * 3


def test_the_filter_sees_a_batch_at_once_and_judges_each_picture(engine, monkeypatch):
    """Its verdicts are those that each picture alone gets; empty slots are told of nothing."""
    recipe, seen = RECIPES["two steps"], []
    wanted = [draw(seed, turn=seed % 3, slot=slot) for slot, seed in ((0, 1), (1, 2), (3, 3))]
    checker = engine._pipeline.safety_checker
    forward = checker.forward

    def judge(clip_input, images):
        seen.append(clip_input)
        _, verdicts = forward(clip_input=clip_input, images=images)
        assert not any(verdicts)
        return images, [bool(abs(float(row.mean()) - mark) < 1e-6) for row in clip_input]

    mark = float("nan")
    monkeypatch.setattr(checker, "forward", judge)
    plain = make(engine, wanted, recipe, 4)
    assert [len(rows) for rows in seen] == [4]
    assert (seen[0][2] == seen[0][0]).all()  # nobody's slot
    mark = float(seen[0][3].mean())
    flagged = make(engine, wanted, recipe, 4)
    assert [one.flagged for one in plain] == [False] * 3
    assert [one.flagged for one in flagged] == [False, False, True]
    assert flagged[2].image.getextrema() == ((0, 0),) * 3
    assert [one.image.tobytes() for one in flagged[:2]] == [one.image.tobytes() for one in plain[:2]]
    alone = make(engine, [replace(wanted[2], slot=0)], recipe, 1)
    assert alone[0].flagged is True


def test_each_text_and_each_input_is_encoded_once(demo_folder, monkeypatch):
    import torch

    engine = pipeline.load(demo_folder, device.pick("cpu"), torch.float32)
    stock, counts = engine._pipeline, {"texts": 0, "inputs": 0}
    encode_text, encode = stock.text_encoder.forward, stock.vae.encode

    def texts(*words, **named):
        counts["texts"] += 1
        return encode_text(*words, **named)

    def inputs(*words, **named):
        counts["inputs"] += 1
        return encode(*words, **named)

    monkeypatch.setattr(stock.text_encoder, "forward", texts)
    monkeypatch.setattr(stock.vae, "encode", inputs)
    for first in range(0, 6, 2):
        wanted = [draw(first + slot, f"a hat {slot}", slot, slot) for slot in range(2)]
        make(engine, wanted, RECIPES["two steps"], 2)
    # Two prompts and what is not wanted (nothing); two inputs.
    assert counts == {"texts": 3, "inputs": 2}


def test_an_unflagged_picture_says_so(engine):
    picture = make(engine, [draw(1)], RECIPES["two steps"], 1)[0]
    assert (picture.flagged, picture.retried, picture.failure) == (False, False, None)
    assert picture.image.size == SIZE


def test_a_picture_of_no_numbers_is_a_failure_and_not_black(altered):
    engine = altered("vae", lambda tensors: tensors["decoder.conv_out.bias"].fill_(float("nan")))
    picture = make(engine, [draw(1)], RECIPES["two steps"], 1)[0]
    assert picture.image is None
    assert picture.flagged is None
    assert picture.failure.code == "image-not-finite"
    assert "seed 1" in picture.failure.message


def test_overflow_in_half_precision_is_made_again_in_float32(altered, engine):
    import torch

    if not dialect.computes_half_on_cpu():
        pytest.skip("the guide's torch has no half precision kernels for the CPU")

    def overflow(tensors):
        # Normalised values reach 3 and more: beyond float16 (65,504), nothing special in float32.
        tensors["decoder.conv_norm_out.weight"].fill_(6e4)

    recipe = RECIPES["two steps"]
    half = altered("vae", overflow, torch.float16)
    picture = make(half, [draw(1)], recipe, 1)[0]
    assert (picture.retried, picture.failure) == (True, None)
    assert picture.image.getextrema() == ((0, 255),) * 3
    assert half.dtype == "float16"
    assert half._pipeline.unet.dtype is torch.float16


def test_what_overflowed_is_made_in_float32_with_less_memory_or_said_to_lack_it(engine, monkeypatch):
    """Overflow by decree, for the guide's torch has no half precision on a CPU."""
    import torch

    recipe, wanted = RECIPES["two steps"], [draw(seed, slot=seed) for seed in range(2)]
    decode, predict = pipeline.Engine._decode, pipeline.Engine._predict

    def overflow(self, *words):
        self._stage = memory.UNET
        return None if self._working_dtype is half else decode(self, *words)

    def refuse(self, sample, *words):
        if self._working_dtype is not half and len(sample) > most:
            raise RuntimeError("CUDA out of memory.")
        return predict(self, sample, *words)

    # A number format of another name, in which the same is computed.
    half = object()
    monkeypatch.setattr(engine, "_dtype", half)
    monkeypatch.setattr(engine, "_working_dtype", half)
    monkeypatch.setattr(pipeline.Engine, "dtype", "float16")
    monkeypatch.setattr(
        pipeline.Engine, "_convert", lambda self, dtype: setattr(self, "_working_dtype", dtype)
    )
    monkeypatch.setattr(pipeline.Engine, "_encode_input", _encoded)
    monkeypatch.setattr(pipeline.Engine, "_decode", overflow)
    monkeypatch.setattr(pipeline.Engine, "_predict", refuse)
    most = 1
    made = make(engine, wanted, recipe, 2)
    assert [(one.retried, one.failure, one.rung.batch) for one in made] == [(True, None, 1)] * 2
    most = 0
    made = make(engine, wanted, recipe, 2)
    assert [one.failure.code for one in made] == ["out-of-memory"] * 2
    assert "seed 1 overflowed in float16, and there is too little memory" in made[1].failure.message
    assert engine._working_dtype is half

    # Where not even the weights fit, nothing is computed with half of them, whatever ran last.
    def run_out(self, dtype):
        asked.append(dtype)
        self._working_dtype = dtype
        if dtype is torch.float32:
            raise RuntimeError("CUDA out of memory.")

    asked, most = [], 2
    monkeypatch.setattr(pipeline.Engine, "_convert", run_out)
    made = make(engine, wanted, recipe, 2)
    assert [one.failure.code for one in made] == ["out-of-memory"] * 2
    assert asked == [torch.float32, half] * 2
    assert torch.float32 not in (engine._dtype, engine._working_dtype)


def _encoded(self, draw, tiled):
    import torch

    shape = (1, 4, draw.image.height // 8, draw.image.width // 8)
    return torch.zeros(shape), torch.ones(shape)


def test_a_model_without_a_filter_says_that_nothing_is_checked(demo_folder, tmp_path):
    import json

    import torch

    folder = tmp_path / "unfiltered"
    shutil.copytree(demo_folder, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))
    engine = pipeline.load(folder, device.pick("cpu"), torch.float32)
    assert [code for code, _ in engine.notices] == ["no-filter"]
    assert make(engine, [draw(1)], RECIPES["two steps"], 1)[0].flagged is None


def test_a_damaged_model_is_named_with_the_librarys_reason(demo_folder, tmp_path):
    import torch
    from sdops_runtime.errors import SdopsError

    folder = tmp_path / "damaged"
    shutil.copytree(demo_folder, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.bin"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(SdopsError) as caught:
        pipeline.load(folder, device.pick("cpu"), torch.float32)
    assert caught.value.code == "model-broken"
    assert caught.value.message.startswith("The model in damaged cannot be loaded: ")
    assert caught.value.hint.startswith(f"Replace {folder} ")


def test_memory_that_runs_out_below_the_last_rung_is_said_in_words(engine, monkeypatch):
    from sdops_runtime.errors import SdopsError

    def refuse(*arguments, **named):
        raise RuntimeError("CUDA out of memory. Tried to allocate 8.00 GiB")

    monkeypatch.setattr(engine, "_sample", refuse)
    with pytest.raises(SdopsError) as caught:
        make(engine, [draw(1)], RECIPES["two steps"], 2)
    assert caught.value.code == "out-of-memory"
    assert "A picture of 128x160 does not fit" in caught.value.message
    assert caught.value.hint.startswith("Use --width 104 (for 104x128)")
