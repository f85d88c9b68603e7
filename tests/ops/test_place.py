"""Which of several hosts a job goes to. The hosts are doubles: what they answer is all that decides."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from sdops.errors import SdopsError
from sdops.jobs.place import choose

AWAY = SdopsError("host-unreachable", "gpu1 does not answer.", "Switch it on.")


class Place:
    """A host that says how many jobs wait and which place it has in a fleet; or why it cannot be asked."""

    def __init__(self, name, waiting=0, fleet=None, error=None):
        self.name, self.error = name, error
        self.told = {"waiting": waiting, "fleet": fleet}
        self.wanted = SimpleNamespace(playbook=("ansible-playbook", "ansible/site.yml", "-l", name))

    @contextmanager
    def conversation(self):
        if self.error:
            raise self.error
        yield self

    def demand_same_runtime(self):
        pass

    def hello(self):
        return SimpleNamespace(data=self.told)


HEAD, MEMBER = {"head": True, "members": []}, {"head": False, "members": []}


def chosen(*places):
    """The name of the host, and what was told of those that were left out."""
    told = []
    return choose(places, told.append).name, told


def test_the_head_has_the_jobs_of_its_fleet_however_many_wait():
    assert chosen(Place("gpu2", 0, MEMBER), Place("gpu1", 5, HEAD), Place("gpu3")) == ("gpu1", [])


def test_without_a_fleet_it_is_the_one_with_the_least_to_do():
    assert chosen(Place("gpu1", 2), Place("gpu2", 1), Place("gpu3", 1)) == ("gpu2", [])


def test_whoever_cannot_be_asked_is_told_of_with_a_fleet_too():
    assert chosen(Place("gpu1", 0, HEAD), Place("other", error=AWAY)) == ("gpu1", [AWAY])


def test_a_host_that_works_alone_comes_before_a_fleet_without_its_head():
    places = (Place("gpu1", error=AWAY), Place("gpu2", 0, MEMBER), Place("gpu9", 3))
    assert chosen(*places) == ("gpu9", [AWAY])


def test_a_fleet_without_its_head_is_refused_with_what_helps():
    with pytest.raises(SdopsError) as refused:
        choose([Place("gpu1", error=AWAY), Place("gpu2", 0, MEMBER)], lambda error: None)
    error = refused.value
    assert error.code == "fleet-head-away"
    assert error.message == "gpu2 belongs to a fleet whose head cannot be asked: gpu1 does not answer."
    assert error.hint == (
        "Switch it on. Until then gpu2 makes pictures once it is out of the fleet: fleet_group= on its line "
        "of the inventory, and ansible-playbook ansible/site.yml -l gpu2 --tags fleet"
    )
