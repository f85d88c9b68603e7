"""One job over three real hosts: the bytes of one, whoever is switched off, cut off or rebooted meanwhile."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import fleet_hosts
import makers
import pytest
from fleet_hosts import Fleet, members
from hosts.fixtures import do_without, need_release
from hosts.lab import Lab
from hosts.machine import UnavailableError
from people import Person, wait_for

pytestmark = pytest.mark.hosts

SMALL = ("--model", "demo", "--width", "96", "--steps", "4", "--strength", "0.5")


@pytest.fixture(scope="module")
def fleet(
    lab: Lab, guide: makers.Guide, fleet_index: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Three hosts, of which the role has made a fleet."""
    need_release("bookworm")
    try:
        with fleet_hosts.gathered(lab, guide, fleet_index, tmp_path_factory.mktemp("jobs")) as found:
            found.run()
            yield found
    except UnavailableError as reason:
        do_without(reason)


@pytest.fixture
def person(lab: Lab, fleet: Fleet, tmp_path: Path, photo: Path) -> Person:
    """Somebody with the fleet in her inventory, when all of its workers are there."""
    one = Person.of(lab, tmp_path / "her", *fleet.hosts, groups={"gpu": list(fleet.hosts)})
    shutil.copy(photo, one.folder / "photo.jpg")
    wait_for(lambda: len(members(fleet.hosts[0])) == 3, "all workers", 120)
    return one


def made(folder: Path) -> dict[str, str]:
    """The digest of each picture."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.png")}


def makers_of(fleet: Fleet, job: str) -> dict[str, str]:
    """Who made each picture, by its name; each is told of once."""
    head = fleet.hosts[0]
    text = (head.root / f"home/sdops/.local/share/sdops/jobs/{job}/events.ndjson").read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may just be written
    told = [one for one in map(json.loads, lines) if one["kind"] == "image"]
    found = {one["name"]: one["worker"] for one in told}
    assert len(found) == len(told)
    return found


def begin(person: Person, fleet: Fleet, images: int, seed: int):
    """A job over the group, when each host has made some of it and some is here; and its name."""
    asked = ("run", "photo.jpg", "a hat", *SMALL, "--images", images, "--seed", seed, "--host", "gpu")
    running = person.start(*asked, "--out", "out")
    wait_for(lambda: list((person.folder / "out").glob("*.png")) or running.ended(), "a picture")
    job = person.tickets()[-1]
    everybody = {f"{host.name}/0" for host in fleet.hosts}
    wait_for(lambda: set(makers_of(fleet, job).values()) == everybody, "everybody had made some")
    assert not running.ended(), running.err
    return running, job


def test_a_group_makes_one_job_with_the_bytes_of_one_host(person: Person, fleet: Fleet) -> None:
    words = ("run", "photo.jpg", "a hat", *SMALL, "--images", "48", "--seed", "7")
    together = person.sdops(*words, "--host", "gpu", "--out", "together")
    assert together.rc == 0, together.stderr
    assert f" on {fleet.hosts[0].name}" in together.stderr
    assert "3 workers" in together.stderr
    assert len(set(makers_of(fleet, person.tickets()[-1]).values())) > 1
    one = fleet.hosts[2]
    alone = person.sdops(*words, "--host", one.name, "--out", "alone")
    assert alone.rc == 0, alone.stderr
    assert made(person.folder / "together") == made(person.folder / "alone")
    assert len(made(person.folder / "alone")) == 48


def test_the_status_shows_all_of_the_fleet(person: Person, fleet: Fleet) -> None:
    shown = person.sdops("status").stderr.replace("\n", " ")
    for host in fleet.hosts:
        assert f"{host.name}/0" in shown
    told = {one["host"]: one["status"]["fleet"] for one in person.json("status")["hosts"]}
    head, *others = fleet.hosts
    assert (told[head.name]["head"], len(told[head.name]["members"])) == (True, 3)
    # Each knows how long its certificate is valid.
    valid = [told[one.name].pop("certificate") for one in fleet.hosts]
    assert [300 < (one["until"] - one["since"]) / 86400 < 400 for one in valid] == [True] * 3
    assert [told[one.name] for one in others] == [{"head": False, "members": []}] * 2


def test_what_the_fleets_services_said_is_in_the_log(person: Person, fleet: Fleet) -> None:
    job = person.sdops("run", "photo.jpg", "a hat", *SMALL, "--host", "gpu", "--detach").stdout.strip()
    shown = person.sdops("logs", job, "--worker", "100").stdout
    assert '"kind": "scheduling"' in shown and '"kind": "working"' in shown


def test_a_worker_without_power_loses_no_picture(person: Person, fleet: Fleet) -> None:
    running, job = begin(person, fleet, 200, 1000)
    gone = fleet.hosts[2]
    gone.kill()
    try:
        assert running.wait(180) == 0, running.err
        assert len(made(person.folder / "out")) == 200
        assert len(makers_of(fleet, job)) == 200
        status = person.sdops("status")
        assert (status.rc, gone.name in status.stderr) == (1, True)
    finally:
        gone.start()


def test_a_worker_that_is_cut_off_is_replaced_and_comes_back(person: Person, fleet: Fleet) -> None:
    running, job = begin(person, fleet, 200, 2000)
    away = fleet.hosts[1]
    away.cut()
    try:
        assert running.wait(180) == 0, running.err
    finally:
        away.restore()
    assert len(made(person.folder / "out")) == len(makers_of(fleet, job)) == 200
    wait_for(lambda: len(members(fleet.hosts[0])) == 3, "it is back", 120)


def test_a_cut_that_is_healed_while_the_job_runs_costs_nothing(person: Person, fleet: Fleet) -> None:
    running, job = begin(person, fleet, 300, 2500)
    away = fleet.hosts[1]
    before = len(makers_of(fleet, job))
    away.cut()
    try:
        wait_for(lambda: len(makers_of(fleet, job)) >= before + 20, "the others had gone on")
        assert not running.ended(), running.err
    finally:
        away.restore()
    assert running.wait(180) == 0, running.err
    assert len(made(person.folder / "out")) == len(makers_of(fleet, job)) == 300


def test_a_job_goes_on_when_the_head_has_rebooted(person: Person, fleet: Fleet) -> None:
    running, job = begin(person, fleet, 200, 3000)
    fleet.hosts[0].reboot()
    assert running.wait(240) == 0, running.err
    assert len(made(person.folder / "out")) == len(makers_of(fleet, job)) == 200


def test_without_its_head_the_fleet_is_said_to_be_away(person: Person, fleet: Fleet) -> None:
    fleet.hosts[0].cut()
    try:
        ran = person.sdops("run", "photo.jpg", "a hat", *SMALL, "--host", "gpu")
    finally:
        fleet.hosts[0].restore()
    assert ran.rc == 1
    said = ran.stderr.replace("\n", " ")
    assert "belongs to a fleet whose head cannot be asked" in said
    assert "fleet_group= on its line of the inventory" in said
