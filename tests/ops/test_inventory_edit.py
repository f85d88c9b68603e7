"""A host more in an inventory: read back by Ansible's own reader, the rest as it was."""

import pytest
from sdops import inventory
from sdops.inventory_edit import add, create, free_name, is_name, line_of

LINE = "gpu2 ansible_host=203.0.113.11"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[gpu]\ngpu1 a=1\n", f"[gpu]\ngpu1 a=1\n{LINE}\n"),
        ("[gpu]\ngpu1 a=1", f"[gpu]\ngpu1 a=1\n{LINE}\n"),
        ("[gpu]\n\n[gpu:vars]\nx=1\n", f"[gpu]\n{LINE}\n\n[gpu:vars]\nx=1\n"),
        ("[gpu]\ngpu1\n# more\n\n[web]\nw1\n", f"[gpu]\ngpu1\n{LINE}\n# more\n\n[web]\nw1\n"),
        ("[web]\nw1\n", f"[web]\nw1\n\n[gpu]\n{LINE}\n"),
        ("", f"\n[gpu]\n{LINE}\n"),
        ("[gpu:vars]\nx=1\n[gpu]\ngpu1\n", f"[gpu:vars]\nx=1\n[gpu]\ngpu1\n{LINE}\n"),
    ],
)
def test_the_line_comes_behind_the_groups_last_host(before, after, tmp_path):
    assert add(before, LINE) == after
    (tmp_path / "inventory.ini").write_text(after)
    found = inventory.read([tmp_path / "inventory.ini"])
    assert "gpu2" in found.groups["gpu"]
    assert next(host for host in found.hosts if host.name == "gpu2").address == "203.0.113.11"


def test_what_is_set_for_a_host_is_read_back(tmp_path):
    line = line_of("gpu1", "gpu.example.com", "ubuntu", 2222, "/home/me/my keys/id")
    (tmp_path / "inventory.ini").write_text(create(line, "guide"))
    (host,) = inventory.read([tmp_path / "inventory.ini"]).hosts
    assert (host.address, host.user, host.port, host.key) == (
        *("gpu.example.com", "ubuntu", 2222),
        "/home/me/my keys/id",
    )
    assert host.variables["sdops_stack"] == "guide"


def test_names():
    assert free_name({"gpu1", "gpu3", "gpu"}) == "gpu2"
    assert [is_name(text) for text in ("gpu1", "a.b-c_d", "", "-a", "a b", "a[1:3]", "a=b")] == [
        *(True, True),
        *(False,) * 5,
    ]
