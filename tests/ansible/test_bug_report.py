"""``sdops bug-report`` on real hosts, one of which is down: nothing that is private is in the archive."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile

import pytest
from people import Person

pytestmark = pytest.mark.hosts

#: Opens nothing, and may stand nowhere.
CANARY = "hf_canaryCanaryCanaryCanaryCanary00"
SMALL = ("--model", "demo", "--width", "96", "--steps", "4", "--strength", "0.5")


@pytest.fixture
def person(lab, maker, tmp_path, photo):
    one = Person.of(lab, tmp_path / "jane", maker)
    shutil.copy(photo, one.folder / "holiday.jpg")
    with (one.folder / "inventory.ini").open("a") as inventory:
        inventory.write(f"\n[janes_lab]\ngone9 ansible_host=192.0.2.9 hub_token_value={CANARY}other\n")
        inventory.write("[janes_lab:vars]\nansible_ssh_common_args=-o ConnectTimeout=1\n")
    return one


def test_a_report_has_what_helps_and_nothing_that_is_private(person, maker):
    ran = person.sdops("run", "holiday.jpg", "a very private wish", *SMALL, "--host", maker.name)
    assert ran.rc == 0, ran.stderr
    (person.folder / ".cache/huggingface").mkdir(parents=True)
    (person.folder / ".cache/huggingface/token").write_text(f"{CANARY}file")
    document = person.json("bug-report", "--out", "report.zip", HF_TOKEN=f"{CANARY}variable")
    report = person.folder / "report.zip"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert len(document["missed"]) == 1 and document["taken"]["host"]
    with zipfile.ZipFile(report) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {
        *("README.txt", "versions.txt", "facts.json", "findings.json", "jobs.json", "inventory.json"),
        "worker-<host-1>.log",
    }
    jobs = json.loads(texts["jobs.json"])
    assert (jobs[0]["jobs"][-1]["state"], jobs[1]["error"].partition(":")[0] != "") == ("done", True)
    facts = json.loads(texts["facts.json"])
    assert [host["host"] for host in facts["hosts"]] == ["<host-1>", "<host-2>"]
    whole = "".join(texts.values())
    for private in (
        "canary",
        maker.name,
        maker.address,
        "192.0.2.9",
        "gone9",
        "janes_lab",
        "private wish",
        "holiday",
    ):
        assert private not in whole, private
    assert str(person.folder) not in whole


def test_a_file_that_is_there_is_not_replaced(person):
    (person.folder / "report.zip").write_text("mine")
    ran = person.sdops("bug-report", "--out", "report.zip")
    assert (ran.rc, (person.folder / "report.zip").read_text()) == (1, "mine")
    assert "is there already" in ran.stderr
