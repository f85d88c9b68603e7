"""Conversations that begin before they are needed: none is lost or kept, errors come to whoever asks."""

import threading
import time
from contextlib import contextmanager

import pytest
from sdops.errors import SdopsError
from sdops.jobs import begun
from sdops.jobs.begun import Begun


class Place:
    """A host whose conversations are counted. gate: lets them begin. error: what comes instead of a hello."""

    name = "gpu1"

    def __init__(self, error=None):
        self.opened, self.closed = [], []
        self.gate = threading.Event()
        self.gate.set()
        self.error = error

    @contextmanager
    def conversation(self):
        self.gate.wait(10)
        self.opened.append(one := Conversation(self.error))
        try:
            yield one
        finally:
            self.closed.append(one)


class Conversation:
    def __init__(self, error):
        self._error = error

    def hello(self):
        if self._error:
            raise self._error


def soon(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_first_one_begins_by_itself_and_is_ended_behind_its_use():
    place = Place()
    with Begun(place) as one:
        soon(lambda: place.opened)
        with one.conversation() as first:
            assert ([first], []) == (place.opened, place.closed)
        assert place.closed == [first]
        with one.conversation() as second:
            assert second is not first
        assert place.opened == place.closed == [first, second]
    assert place.closed == [first, second]


def test_it_is_waited_for():
    place = Place()
    place.gate.clear()
    threading.Timer(0.2, place.gate.set).start()
    with Begun(place) as one, one.conversation() as first:
        assert place.opened == [first]


def test_one_that_nobody_wanted_is_ended():
    place = Place()
    with Begun(place):
        soon(lambda: place.opened)
    soon(lambda: place.closed == place.opened)


def test_one_that_begins_when_nobody_wants_it_any_more_is_ended():
    place = Place()
    place.gate.clear()
    with Begun(place):
        pass
    place.gate.set()
    soon(lambda: place.opened and place.closed == place.opened)


def test_what_went_wrong_is_told_to_whoever_wants_it_and_the_next_one_is_another():
    place = Place(SdopsError("connection-lost", "It broke off.", ""))
    with Begun(place) as one:
        soon(lambda: place.opened)
        with pytest.raises(SdopsError, match="broke off"), one.conversation():
            pass
        assert len(place.closed) == 1
        with one.conversation():
            assert len(place.opened) == 2


def test_one_that_has_become_too_old_is_not_taken(monkeypatch):
    monkeypatch.setattr(begun, "FRESH", 0.0)
    place = Place()
    with Begun(place) as one:
        soon(lambda: place.opened)
        with one.conversation() as second:
            assert place.opened.index(second) == 1
            assert place.closed == place.opened[:1]
    assert len(place.closed) == 2
