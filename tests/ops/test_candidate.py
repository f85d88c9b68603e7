"""Which host and which inventory ``sdops init`` is about: addresses, what is written down, what is set."""

import os
from pathlib import Path

import pytest
from sdops import candidate, enrol
from sdops.candidate import Login, Told
from sdops.errors import SdopsError
from sdops.inventory import Host, Inventory

FILE = Path("inventory.ini")
THERE = Inventory(
    (
        Host("gpu1", "203.0.113.10", port=2222, user="ubuntu", key="/keys/one"),
        Host("gpu2", "2001:db8::7"),
        Host("left", "203.0.113.20", port=2201),
        Host("right", "203.0.113.20", port=2202),
        Host("here", "here", connection="local"),
    ),
    {"gpu": ("gpu1", "gpu2")},
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder, and nothing of the person's own settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "SDOPS_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def refused(call):
    with pytest.raises(SdopsError) as error:
        call()
    assert error.value.code == "usage"
    return error.value


@pytest.mark.parametrize(
    ("address", "login"),
    [
        ("203.0.113.10", Login("203.0.113.10")),
        ("gpu.example.com", Login("gpu.example.com")),
        ("my_alias", Login("my_alias")),
        ("ubuntu@203.0.113.10", Login("203.0.113.10", "ubuntu")),
        ("203.0.113.10:2222", Login("203.0.113.10", "", 2222)),
        ("ubuntu@gpu.example.com:2222", Login("gpu.example.com", "ubuntu", 2222)),
        ("jane@corp@gpu.example.com", Login("gpu.example.com", "jane@corp")),
        ("2001:db8::7", Login("2001:db8::7")),
        ("::1", Login("::1")),
        ("fe80::1%eth0", Login("fe80::1%eth0")),
        ("root@2001:db8::7", Login("2001:db8::7", "root")),
        ("[2001:db8::7]", Login("2001:db8::7")),
        ("root@[2001:db8::7]:2222", Login("2001:db8::7", "root", 2222)),
    ],
)
def test_an_address_may_have_a_user_and_a_port(address, login):
    assert candidate.parse(address, Told()) == login


@pytest.mark.parametrize(
    "address",
    [
        *("a b", "", "@203.0.113.10", "root@", "203.0.113.10:", ":22", "203.0.113.10:ssh", "203.0.113.10:0"),
        *("203.0.113.10:65536", "[2001:db8::7]:", "[2001:db8::7", "2001:db8::7::8", "a:b:c", "ssh://gpu1"),
        *("-oProxyCommand=x", "a=b", "a#b", "203.0.113.10:\u0662\u0662"),
    ],
)
def test_what_is_no_address_is_said(address):
    assert "is no address" in refused(lambda: candidate.parse(address, Told())).message


def test_an_option_and_the_address_say_the_same_or_are_refused():
    told = Told(user="ubuntu", port=2222)
    assert candidate.parse("ubuntu@x:2222", told) == Login("x", "ubuntu", 2222)
    assert candidate.parse("x", told) == Login("x", "ubuntu", 2222)
    assert "--user ubuntu and root@x contradict" in refused(lambda: candidate.parse("root@x", told)).message
    assert "--port 2222 and x:22 contradict" in refused(lambda: candidate.parse("x:22", told)).message
    assert "cannot be a user's name" in refused(lambda: candidate.parse("x", Told(user="a b"))).message


def test_a_key_has_an_absolute_path(place):
    assert candidate.parse("x", Told(key="keys/id")).key == str(place / "keys/id")
    assert candidate.parse("x", Told(key="~/id")).key == str(place / "id")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("gpu1", "gpu1"),
        ("ubuntu@gpu1:2222", "gpu1"),
        ("203.0.113.10", "gpu1"),
        ("203.0.113.10:2222", "gpu1"),
        ("2001:0DB8:0::7", "gpu2"),
        ("root@[2001:db8::7]:22", "gpu2"),
        ("203.0.113.20:2202", "right"),
        ("here", "here"),
        ("203.0.113.10:22", None),
        ("203.0.113.20:2203", None),
        ("203.0.113.11", None),
        ("gpu3", None),
    ],
)
def test_a_host_of_the_inventory_is_found_by_its_name_and_by_its_address(address, name):
    found = candidate.find(candidate.parse(address, Told()), "", THERE, FILE)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("address", "told", "name", "said"),
    [
        ("root@gpu1", Told(), "", "not with --user root"),
        ("gpu1:22", Told(), "", "not with --port 22"),
        ("root@203.0.113.10", Told(), "", "not with --user root"),
        ("gpu1", Told(key="/keys/other"), "", "not with --key /keys/other"),
        ("203.0.113.10", Told(), "other", "is gpu1 in inventory.ini already"),
        ("203.0.113.20", Told(), "", "left (port 2201), right (port 2202)"),
    ],
)
def test_an_inventory_that_says_otherwise_is_not_overruled(address, told, name, said):
    login = candidate.parse(address, told)
    assert said in refused(lambda: candidate.find(login, name, THERE, FILE)).message


def test_the_same_as_in_the_inventory_may_be_told_again():
    login = candidate.parse("ubuntu@gpu1", Told(user="ubuntu", port=2222, key="/keys/one"))
    assert candidate.find(login, "gpu1", THERE, FILE) == THERE.hosts[0]


def test_without_anything_a_usual_file_is_written(place):
    assert candidate.file_to_write() == Path("inventory.ini")
    (place / "inventory").write_text("")
    assert candidate.file_to_write() == Path("inventory")


@pytest.mark.parametrize("variable", ["SDOPS_INVENTORY", "ANSIBLE_INVENTORY"])
def test_the_file_that_a_variable_names_is_written_there_or_not(place, monkeypatch, variable):
    (place / "inventory.ini").write_text("")
    monkeypatch.setenv(variable, "~/new.ini")
    assert candidate.file_to_write() == place / "new.ini"


def test_the_file_that_ansible_is_set_to_is_written(place):
    (place / "ansible.cfg").write_text("[defaults]\ninventory = hosts/mine.ini\n")
    assert candidate.file_to_write() == Path("hosts/mine.ini")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a.ini,b.ini", "a.ini, b.ini (named by SDOPS_INVENTORY)"),
        ("gpu1,gpu2", "gpu1,gpu2 (named by SDOPS_INVENTORY)"),
        ("folder", "folder (named by SDOPS_INVENTORY) is a folder"),
    ],
)
def test_an_inventory_that_is_not_one_file_is_said(place, monkeypatch, value, said):
    for name in ("a.ini", "b.ini"):
        (place / name).write_text("")
    (place / "folder").mkdir()
    monkeypatch.setenv("SDOPS_INVENTORY", value)
    error = refused(candidate.file_to_write)
    assert said in error.message and "-i" in error.hint


def test_a_usual_folder_is_said(place):
    (place / "inventory").mkdir()
    assert "inventory (named by the working folder) is a folder" in refused(candidate.file_to_write).message


def test_a_token_is_not_shown_by_what_holds_it():
    assert "hf_canary" not in repr(Told(token="hf_canary"))


def test_a_new_host_whose_name_has_no_address_is_in_no_inventory_to_be_corrected(place, monkeypatch):
    def refuse(host):
        raise SdopsError("host-name-unknown", "The name has no address.", "Correct it in the inventory.")

    monkeypatch.setattr(enrol, "open_session", refuse)
    with pytest.raises(SdopsError) as error:
        enrol.enrol(Told(address="gpu.example.com", no_token=True), None)
    assert (error.value.code, error.value.hint) == (
        "host-name-unknown",
        "Type it again as the provider shows it.",
    )
    assert list(place.glob("*.ini")) == []
