"""What is said of a host's memory before anything is sent to it."""

import pytest
from sdops.errors import SdopsError
from sdops.jobs.fitting import foretell
from sdops_runtime import memory
from sdops_runtime.protocol import JobRequest, Prepared, Settings

#: A 10 GB share of an A100, as its worker finds it.
SHARE = {"name": "GRID A100D-10C", "total": 10240 * memory.MIB, "room": 9100 * memory.MIB}


def request(size=(4000, 4000), **settings):
    prepared = (Prepared("0" * 64, "0" * 64, size), Prepared(failure=("image-unreadable", "No.", "")))
    return JobRequest(("a.jpg", "b.jpg"), ("a hat",), Settings(seed=1, **settings), prepared=prepared)


def said(asked, told=SHARE, stack="guide"):
    return list(foretell(asked, told, stack))


def test_what_fits_is_not_spoken_of():
    assert said(request()) == []
    assert said(request(images=4), stack="cu130") == []


def test_what_the_host_will_lower_is_foretold():
    assert said(request(images=8)) == [
        "Pictures of 512x512 are made 4 at a time instead of 8, to fit into memory."
    ]
    assert said(request(width=1024, images=1))[-1].startswith("Attention is sliced for 1024x1024")
    assert said(request((4000, 3000), width=1024, images=1))[-1].startswith(
        "Attention is sliced for 1024x768"
    )


def test_what_can_never_fit_is_refused_with_a_size_that_would():
    with pytest.raises(SdopsError) as caught:
        said(request(width=2048))
    assert caught.value.code == "out-of-memory"
    assert caught.value.message.startswith(
        "A picture of 2048x2048 does not fit into the memory of GRID A100D-10C"
    )
    width = int(caught.value.hint.split("--width ")[1].split()[0])
    assert 1024 < width < 2048
    said(request(width=width))


def test_what_does_not_fit_beside_others_is_said_and_not_refused():
    (told,) = said(request(), {**SHARE, "room": 2700 * memory.MIB})
    assert told.startswith("As things were when GRID A100D-10C was last looked at: A picture of 512x512")


def test_of_another_model_nothing_is_refused():
    assert said(request(width=2048, model="somebody/other"))


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        "",
        {},
        {"total": None, "room": None},
        {"total": "much", "room": 1},
        {"total": -1, "room": -1},
    ],
    ids=repr,
)
def test_what_a_host_does_not_tell_is_passed_over(told):
    assert said(request(width=2048), told) == []
