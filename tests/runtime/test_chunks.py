"""How a job is cut: slots follow from numbers, and the next chunk is prepared meanwhile. Python 3.9."""

import threading
from collections import namedtuple
from types import SimpleNamespace

import pytest
from sdops_runtime.chunks import Ahead, Chunk, Slots, cut, even
from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Ready
from sdops_runtime.protocol import Item

Image = namedtuple("Image", "size")
ITEMS = [Item(index, index % 2, 0, index) for index in range(7)]


def inputs(*sizes):
    """Stands for a job's inputs: all that is asked of them is their size."""
    bad = SdopsError("image-unreadable", "No picture.")
    return SimpleNamespace(
        open=lambda number: bad if sizes[number] is None else Ready(Image(sizes[number]), "", (0, 0))
    )


def shape(chunks):
    return [(one.window, [item.index for item in one.items], one.failure is None) for one in chunks]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (0, [(0, [0, 1, 2, 3]), (1, [4, 5, 6])]),
        (1, [(0, [0, 1, 2]), (1, [3, 4, 5, 6])]),
        (3, [(0, [0]), (1, [1, 2, 3, 4]), (2, [5, 6])]),
    ],
)
def test_a_job_is_cut_at_the_ends_of_its_batches(first, expected):
    slots = Slots(4, first)
    made = cut(ITEMS, inputs(8, 8), slots, set(range(7)))
    assert shape(made) == [(*one, True) for one in expected]
    assert [slots.of(index) for index in (0, 1, 4)] == [first, (first + 1) % 4, first]


def test_what_was_made_before_leaves_its_slot_empty():
    assert shape(cut(ITEMS, inputs(8, 8), Slots(4), {1, 6})) == [(0, [1], True), (1, [6], True)]


def test_sizes_are_made_apart_and_bad_inputs_told_alone():
    assert shape(cut(ITEMS[:4], inputs(8, 16), Slots(4), set(range(4)))) == [
        (0, [0, 2], True),
        (0, [1, 3], True),
    ]
    assert shape(cut(ITEMS[:3], inputs(None, 8), Slots(4), set(range(3)))) == [
        (0, [0], False),
        (0, [2], False),
        (0, [1], True),
    ]


@pytest.mark.parametrize(
    ("kinds", "most", "expected"),
    [
        pytest.param("a" * 16, 8, 8, id="full batches"),
        pytest.param("a" * 6, 5, 3, id="two of three, and not of five and one"),
        pytest.param("a" * 9, 8, 3, id="three of three, and not of eight and one"),
        pytest.param("a" * 2, 8, 2, id="no slot that nobody has"),
        pytest.param("abcdefgh", 8, 1, id="nothing alike"),
        pytest.param("a" * 5 + "b" * 5, 8, 5, id="five of each"),
        pytest.param("a" * 11 + "b" * 11, 8, 2, id="no batch that fits exactly"),
        pytest.param("ab" * 8, 8, 8, id="two kinds in turns"),
        pytest.param("", 8, 8, id="nothing"),
    ],
)
def test_a_batch_is_as_large_as_fills_its_slots(kinds, most, expected):
    assert even(kinds, most) == expected


def test_a_job_of_a_million_is_judged_by_its_beginning():
    assert even(["a"] * 10**6, 8) == 8


def test_the_next_chunk_is_prepared_by_a_thread_and_no_more_than_that():
    prepared, threads = [], set()

    def chunks():
        for number in range(3):
            prepared.append(number)
            threads.add(threading.get_ident())
            yield Chunk(number, ())

    ahead = Ahead(chunks())
    assert ahead.take().window == 0
    assert prepared == [0]
    ahead.start()
    ahead.start()
    assert [ahead.take().window, ahead.take().window, ahead.take()] == [1, 2, None]
    ahead.close()
    assert threading.get_ident() not in threads
    assert len(threads) == 1


def test_what_goes_wrong_there_is_raised_here():
    def chunks():
        yield Chunk(0, ())
        raise ZeroDivisionError

    ahead = Ahead(chunks())
    ahead.take()
    with pytest.raises(ZeroDivisionError):
        ahead.take()
    ahead.close()
