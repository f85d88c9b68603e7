"""Events and pictures on their way: their order, and what is left of them after a failure. Python 3.9."""

import threading

import pytest
from sdops_runtime.errors import SdopsError
from sdops_runtime.outbox import Outbox
from sdops_runtime.protocol import Event

FULL = SdopsError("disk-full", "The disk is full.")


class Disk:
    """Saves when it is told to."""

    def __init__(self):
        self.go = threading.Event()
        self.saved = []

    def write(self, number):
        def save():
            assert self.go.wait(30)
            self.saved.append(number)
            return Event("image", {"index": number})

        return save


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def told():
    return []


@pytest.fixture
def outbox(told):
    one = Outbox(lambda event: told.append((event.kind, *event.data.values())))
    yield one
    one.close()


def test_what_comes_after_a_picture_is_told_after_it(outbox, disk, told):
    outbox.tell(Event("step", {"step": 1}))
    outbox.save(disk.write(0))
    outbox.tell(Event("step", {"step": 2}))
    assert told == [("step", 1)]
    disk.go.set()
    outbox.flush(wait=True)
    assert told == [("step", 1), ("image", 0), ("step", 2)]


def test_after_one_that_cannot_be_saved_none_is(outbox, disk, told):
    def refuse():
        raise FULL

    disk.go.set()
    outbox.save(disk.write(0))
    outbox.save(refuse)
    outbox.save(disk.write(2))
    with pytest.raises(SdopsError):
        outbox.flush(wait=True)
    outbox.settle()
    assert told == [("image", 0)]
    assert disk.saved == [0]


def test_an_interrupt_tells_of_what_is_still_saved_and_not_of_steps(disk):
    told = []

    def emit(event):
        told.append((event.kind, *event.data.values()))
        raise KeyboardInterrupt

    outbox = Outbox(emit)
    outbox.save(disk.write(0))
    outbox.save(disk.write(1))
    outbox.tell(Event("step", {"step": 1}))
    disk.go.set()
    with pytest.raises(KeyboardInterrupt):
        outbox.flush(wait=True)
    outbox.settle()
    outbox.close()
    assert told == [("image", 0), ("image", 1)]


def test_what_cannot_be_told_is_left(disk, told):
    def emit(event):
        if event.data["index"] == 1:
            raise OSError(28, "No space left on device")
        told.append(event.data["index"])

    outbox = Outbox(emit)
    for number in range(3):
        outbox.save(disk.write(number))
    disk.go.set()
    outbox.settle()
    outbox.close()
    assert told == [0]


def test_nothing_is_written_once_it_is_closed(disk, told):
    outbox = Outbox(told.append)
    outbox.save(disk.write(0))
    outbox.save(disk.write(1))
    threading.Timer(0.2, disk.go.set).start()
    outbox.close()
    assert disk.saved == [0]
