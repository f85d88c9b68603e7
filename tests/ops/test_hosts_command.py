"""``sdops hosts`` lists the inventory, as a table or as JSON."""

import json

import pytest

INI = """
[gpu]
gpu1 ansible_host=203.0.113.10 ansible_port=2222
gpu2 ansible_host=2001:db8::1 ansible_port=22 sdops_stack=cu124
[cpu]
cpu1 ansible_user=debian
localhost ansible_connection=local
"""


@pytest.fixture
def listed(sdops, monkeypatch, tmp_path):
    monkeypatch.delenv("ANSIBLE_INVENTORY", raising=False)
    monkeypatch.delenv("SDOPS_INVENTORY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return sdops


def test_a_table(listed, tmp_path):
    (tmp_path / "here" / "inventory.ini").write_text(INI)
    ran = listed("hosts", "gpu", "cpu1")
    lines = [line.split() for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    assert [lines[0], *lines[2:]] == [
        ["host", "address", "user", "stack", "groups"],
        ["gpu1", "203.0.113.10:2222", "root", "guide", "gpu"],
        ["gpu2", "[2001:db8::1]:22", "root", "cu124", "gpu"],
        ["cpu1", "cpu1", "debian", "guide", "cpu"],
    ]


def test_json(listed, tmp_path):
    (tmp_path / "some.ini").write_text(INI)
    ran = listed("hosts", "-i", tmp_path / "some.ini", "gpu1", "--json")
    assert (ran.code, json.loads(ran.out)) == (
        0,
        {
            "ok": True,
            "inventory": [str(tmp_path / "some.ini")],
            "vaulted": [],
            "hosts": [
                {
                    "name": "gpu1",
                    "local": False,
                    "address": "203.0.113.10",
                    "port": 2222,
                    "user": "root",
                    "stack": "guide",
                    "groups": ["gpu"],
                    "problem": None,
                }
            ],
        },
    )


def test_without_an_inventory_there_is_this_machine(listed):
    ran = listed("hosts")
    assert (ran.code, "this machine" in ran.out) == (0, True)
    assert ran.err == "No inventory was found: name one with -i FILE, or make inventory.ini.\n"


def test_what_keeps_a_host_from_being_used_is_a_note(listed, tmp_path):
    (tmp_path / "here" / "inventory.ini").write_text(
        'gpu1 miniconda_prefix="{{ nowhere }}"\ngpu2 ansible_connection=docker\ngpu3\n'
    )
    ran = listed("hosts")
    assert (ran.code, ran.out.count("gpu")) == (0, 6)
    assert ran.err.splitlines() == [
        "Note: miniconda_prefix of gpu1 has no value: 'nowhere' is undefined.",
        "Note: gpu2 is reached by 'docker' (ansible_connection), which sdops cannot use.",
    ]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_nobody_of_that_name(listed, tmp_path, as_json):
    (tmp_path / "here" / "inventory.ini").write_text(INI)
    ran = listed("hosts", "gpu3", *(["--json"] if as_json else []))
    assert ran.code == 2
    if as_json:
        assert json.loads(ran.out)["error"] == {
            "code": "host-unknown",
            "message": "There is no host and no group 'gpu3'.",
            "hint": "Did you mean gpu or gpu2 or gpu1?",
        }
    else:
        assert ran.err == "Error: There is no host and no group 'gpu3'.\nDid you mean gpu or gpu2 or gpu1?\n"


def test_odd_values_do_no_harm(listed, tmp_path):
    (tmp_path / "here" / "inventory.yml").write_text('all: {hosts: {x: {sdops_stack: "[red]x\\e[31m"}}}\n')
    ran = listed("hosts")
    assert (ran.code, "[red]x" in ran.out, "\x1b" in ran.out) == (0, True, False)
