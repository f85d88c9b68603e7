"""What may be asked for, and in which words the rest is refused."""

import pytest
from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import MAX_SEED, Item, JobRequest, Settings, denoising_steps

GOOD = [
    {},
    {"strength": 1.0},
    {"strength": 0.02, "steps": 50},
    {"steps": 2, "strength": 0.5},
    {"steps": 1000, "strength": 0.5},
    {"guidance": 0},
    {"guidance": 100},
    {"width": 64},
    {"width": 2048, "height": 64},
    {"seed": MAX_SEED},
    {"negative_prompt": "", "guidance": 1},
    {"dtype": "float32"},
]
BAD = [
    ({"strength": 1.2}, "Strength 1.2 is not between 0 and 1."),
    ({"strength": -0.1}, "Strength -0.1 is not between 0 and 1."),
    ({"strength": float("nan")}, "Strength nan is not between 0 and 1."),
    ({"strength": 0}, "Strength 0 would leave the picture unchanged but for noise."),
    ({"strength": 0.01}, "50 steps at strength 0.01 leave no step to run."),
    ({"steps": 0}, "Steps 0 is not a whole number from 2 to 1000."),
    ({"steps": 1}, "Steps 1 is not a whole number from 2 to 1000."),
    ({"steps": 1001}, "Steps 1001 is not a whole number from 2 to 1000."),
    ({"steps": 20.0}, "Steps 20.0 is not a whole number from 2 to 1000."),
    (
        {"steps": 1000, "strength": 1.0},
        "1000 steps at strength 1 start beyond the model's 1000 noise levels.",
    ),
    ({"guidance": -1}, "Guidance -1 is not between 0 and 100."),
    ({"guidance": float("inf")}, "Guidance inf is not between 0 and 100."),
    ({"guidance": 1, "negative_prompt": "blurry"}, "A negative prompt has no effect at guidance 1."),
    ({"width": 500}, "Width 500 is not a multiple of 8."),
    ({"width": 32}, "Width 32 is not a whole number from 64 to 2048."),
    ({"height": 4096}, "Height 4096 is not a whole number from 64 to 2048."),
    ({"images": 0}, "Images 0 is not a whole number from 1 to 10000."),
    ({"images": True}, "Images True is not a whole number from 1 to 10000."),
    ({"seed": -1}, f"Seed -1 is not a whole number from 0 to {MAX_SEED}."),
    ({"dtype": "half"}, "Dtype 'half' is not known."),
    ({"model": " "}, "The model has no name."),
]


@pytest.mark.parametrize("settings", GOOD, ids=str)
def test_settings_in_range_are_taken(settings):
    JobRequest(("a.png",), ("a hat",), Settings(**settings)).check()


@pytest.mark.parametrize(("settings", "message"), BAD, ids=[str(settings) for settings, _ in BAD])
def test_settings_out_of_range_are_refused_in_words(settings, message):
    with pytest.raises(SdopsError) as caught:
        JobRequest(("a.png",), ("a hat",), Settings(**settings)).check()
    assert (caught.value.code, caught.value.message) == ("settings-invalid", message)
    assert caught.value.hint


@pytest.mark.parametrize(("wrong", "near"), [(500, "496 or 504"), (65, "64 or 72"), (2047, "2040 or 2048")])
def test_a_width_that_is_no_multiple_of_8_comes_with_its_neighbours(wrong, near):
    with pytest.raises(SdopsError) as caught:
        Settings(width=wrong).check()
    assert caught.value.hint == f"Use {near}."


def test_the_strength_suggested_for_too_few_steps_is_enough():
    for steps in range(2, 200):
        with pytest.raises(SdopsError) as caught:
            Settings(steps=steps, strength=0.9 / steps).check()
        suggested = float(caught.value.hint.split()[3])
        Settings(steps=steps, strength=suggested).check()


@pytest.mark.parametrize("prompts", [(), ("",), ("a hat", "  \n")], ids=["none", "empty", "one blank"])
def test_a_blank_prompt_is_refused(prompts):
    with pytest.raises(SdopsError) as caught:
        JobRequest(("a.png",), prompts, Settings()).check()
    assert caught.value.code == "prompt-empty"


@pytest.mark.parametrize(
    ("prompt", "negative"), [("a h\udce4t", None), ("a hat", "bl\udce4")], ids=["prompt", "negative prompt"]
)
def test_bytes_that_are_no_text_are_refused(prompt, negative):
    with pytest.raises(SdopsError) as caught:
        JobRequest(("a.png",), (prompt,), Settings(negative_prompt=negative)).check()
    assert caught.value.code == "settings-invalid"
    assert caught.value.message.endswith("prompt holds bytes that are no UTF-8 text.")


def test_the_last_seed_has_to_exist_too():
    with pytest.raises(SdopsError) as caught:
        JobRequest(("a.png",), ("a hat",), Settings(seed=MAX_SEED, images=2)).check()
    assert caught.value.hint == f"Use a seed of at most {MAX_SEED - 1}."


def test_items_run_through_inputs_then_prompts_then_copies():
    request = JobRequest(("a", "b"), ("p", "q"), Settings(images=2, seed=5))
    assert request.items() == (
        Item(0, 0, 0, 5),
        Item(1, 0, 0, 6),
        Item(2, 0, 1, 7),
        Item(3, 0, 1, 8),
        Item(4, 1, 0, 9),
        Item(5, 1, 0, 10),
        Item(6, 1, 1, 11),
        Item(7, 1, 1, 12),
    )


@pytest.mark.parametrize(
    ("steps", "strength", "left"), [(50, 0.8, 40), (50, 1, 50), (20, 0.33, 6), (100, 0.75, 75)]
)
def test_strength_shortens_the_steps(steps, strength, left):
    assert denoising_steps(steps, strength) == left
