"""Facts go to JSON and come back the same."""

import json
import re
from dataclasses import dataclass

import pytest
from sdops.facts.data import from_data, to_data
from sdops.facts.host import HostFacts
from sdops.facts.unknown import Unknown

NO = Unknown("no")


@dataclass(frozen=True)
class Inner:
    number: int | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    inner: tuple[Inner, ...] = ()
    size: float | Unknown = 1.0
    one: Inner | Unknown = NO


@pytest.mark.parametrize(
    "value",
    [
        Outer("a"),
        Outer("b", (Inner(1), Inner(None)), Unknown("why"), Inner(2)),
        Outer("c", size=2.5, one=Inner()),
    ],
    ids=lambda value: value.name,
)
def test_a_record_comes_back(value):
    assert from_data(Outer, json.loads(json.dumps(to_data(value)))) == value


def test_fields_that_are_missing_take_their_default_and_others_are_passed_over():
    assert from_data(Outer, {"name": "a", "later": 1}) == Outer("a")


def test_a_whole_number_does_for_a_fraction():
    assert from_data(Outer, {"name": "a", "size": 2}).size == 2.0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"name": 1}, "name: 1 is no str"),
        ({}, "missing 1 required positional argument: 'name'"),
        ({"name": "a", "inner": [{"number": "x"}]}, "inner: number: 'x' is no int"),
        ([], "[] is no Outer"),
    ],
)
def test_what_does_not_fit_is_named(data, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        from_data(Outer, data)


def test_facts_of_a_host_come_back():
    facts = HostFacts("gpu1")
    assert from_data(HostFacts, json.loads(json.dumps(to_data(facts)))) == facts
