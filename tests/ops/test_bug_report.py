"""``sdops bug-report`` without hosts: what is in the archive where things are broken, and what never is."""

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from sdops import bug_report
from sdops.errors import SdopsError

CANARY = "hf_canaryCanaryCanaryCanaryCanary00"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder, and nothing of the person's own settings."""
    for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "SDOPS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def report(place="report.zip"):
    with zipfile.ZipFile(place) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def nothing(names):
    """In the place of doctor, who is tried elsewhere."""
    return {"hosts": []}, {"hosts": []}


def test_secrets_of_the_environment_are_taken_out_however_short(sdops, monkeypatch):
    monkeypatch.setenv("ANSIBLE_BECOME_PASS", "hunter2")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD", "two words")
    monkeypatch.setenv("ANSIBLE_SSH_PASSWORD", "ab")
    monkeypatch.setenv("ANSIBLE_BECOME_ASK_PASS", "True")
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "False")
    Path("password").write_text("canary-of-a-file\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "password")
    monkeypatch.setenv("SDOPS_NOTE", "is it canary-of-a-file or hunter2?")
    bug_report.write((), (), Path("report.zip"), nothing)
    lines = report()["versions.txt"].splitlines()
    assert [line for line in lines if line.startswith(("ANSIBLE_", "SDOPS_"))] == [
        "ANSIBLE_BECOME_ASK_PASS=True",
        "ANSIBLE_BECOME_PASS=<secret>",
        "ANSIBLE_HOST_KEY_CHECKING=False",
        "ANSIBLE_SSH_PASSWORD=<secret>",
        "ANSIBLE_VAULT_PASSWORD=<secret>",
        "ANSIBLE_VAULT_PASSWORD_FILE=password",
        "SDOPS_NOTE=is it <secret> or <secret>?",
    ]


def test_an_inventory_that_cannot_be_read_is_said_and_gives_nothing_away(sdops):
    Path("inventory.ini").write_text(
        "[jane_lab]\njane-box ansible_host=203.0.113.10 ansible_user=jane hub_token_value=canary'quote\n"
        f"[jane_lab:vars\nhub_token_value={CANARY}\n"
    )
    ran = sdops("bug-report", "--out", "report.zip", "jane-box")
    assert ran.code == 0, ran.err
    texts = report()
    assert set(texts) == {"README.txt", "versions.txt"}
    assert "inventory-unreadable: Ansible cannot read the inventory" in texts["README.txt"]
    assert "Left out: Ansible cannot read the inventory" in ran.err
    whole = "".join(texts.values())
    assert not [word for word in ("jane", "203.0.113.10", "canary") if word in whole]
    document = json.loads(sdops("bug-report", "--out", "other.zip", "--json").out)
    assert [one["code"] for one in document["missed"]] == ["inventory-unreadable"]


def test_an_inventory_that_a_variable_names_and_is_not_there_is_said_and_one_of_an_option_is_refused(
    sdops, monkeypatch
):
    assert sdops("bug-report", "-i", "nowhere.ini", "--out", "report.zip").code == 2
    assert not Path("report.zip").exists()
    monkeypatch.setenv("SDOPS_INVENTORY", "nowhere.ini")
    assert sdops("bug-report", "--out", "report.zip").code == 0
    assert "inventory-missing: There is no inventory nowhere.ini" in report()["README.txt"]


def test_a_setting_without_sense_leaves_out_what_needs_it_and_no_more(sdops):
    Path("inventory.ini").write_text("[lab]\none ansible_host=203.0.113.9 sdops_expect_gpu=perhaps\n")
    ran = sdops("bug-report", "--out", "report.zip")
    assert ran.code == 0, ran.err
    texts = report()
    assert set(texts) == {"README.txt", "versions.txt", "inventory.json"}
    assert "sdops_expect_gpu of <host-1> is 'perhaps'" in texts["README.txt"]
    assert json.loads(texts["inventory.json"]) == [
        {
            "host": "<host-1>",
            "groups": ["<group-1>"],
            "port": None,
            "user": "root",
            "set": {"sdops_expect_gpu": "perhaps"},
        }
    ]


def test_names_of_jump_hosts_and_the_vaults_password_are_known(sdops):
    Path(".vault-password").write_text("canary-of-the-vault\n")
    Path("inventory.ini").write_text(
        "one ansible_host=203.0.113.9 ansible_ssh_common_args='-o ProxyJump=jane@castle:2222,tower -v'\n"
    )

    def judge(names):
        said = "jane@castle or tower says canary-of-the-vault"
        return {"said": said}, {}

    bug_report.write((), ("inventory.ini",), Path("report.zip"), judge)
    assert "castle" not in report()["facts.json"] and "tower" not in report()["facts.json"]
    assert "jane" not in report()["facts.json"] and "canary" not in report()["facts.json"]


@pytest.fixture(autouse=True)
def no_hosts(monkeypatch):
    """No host is asked for its jobs."""
    monkeypatch.setattr(bug_report, "_of_hosts", lambda found, missed: iter(()))


def test_what_waits_under_the_name_of_the_unfinished_archive_is_not_followed(sdops, monkeypatch):
    precious = Path("precious")
    precious.write_text("mine")
    made = []
    link = os.open

    def watching(path, flags, mode=0o777, **more):
        if str(path).endswith(".part"):
            made.append((flags & os.O_EXCL, mode))
        return link(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", watching)
    Path(".report.zip.part").symlink_to(precious)
    bug_report.write((), (), Path("report.zip"), nothing)
    assert (precious.read_text(), made) == ("mine", [(os.O_EXCL, 0o600)])
    assert stat.S_IMODE(Path("report.zip").stat().st_mode) == 0o600
    assert sorted(path.name for path in Path().iterdir()) == [".report.zip.part", "precious", "report.zip"]


def test_an_archive_that_cannot_be_written(sdops):
    with pytest.raises(SdopsError, match="nowhere") as refused:
        bug_report.write((), (), Path("nowhere/report.zip"), nothing)
    assert refused.value.code == "file-unwritable"
