"""Ansible's own inventory: what is read of it, what is remembered, and what is said when it cannot be."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from doubles.vultr import KEY, Vultr, instance
from sdops import inventory, inventory_cache, inventory_pattern, inventory_wanted
from sdops.errors import SdopsError
from sdops.facts.wanted import Wanted
from sdops.inventory import THIS_MACHINE, Host, Inventory
from sdops_runtime import stack
from sdops_runtime.protocol import PROTOCOL

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "ansible" / "roles"

INI = """
[gpu]
gpu1 ansible_host=203.0.113.10 ansible_port=2222
gpu2 ansible_host=2001:db8::1 sdops_stack=cu124
gpu10 ansible_ssh_private_key_file=~/.ssh/other
[cpu]
cpu1 sdops_expect_gpu=no ansible_user=debian
[all:vars]
ansible_ssh_common_args=-J bastion -o 'UserKnownHostsFile=/known hosts'
base=/opt
[gpu:vars]
miniconda_prefix={{ base }}/{{ sdops_user }}/conda
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder, and nothing of the person's own settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")] + ["SDOPS_INVENTORY"]:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """How often Ansible was asked."""
    calls = []
    ask = inventory_cache._ask
    monkeypatch.setattr(inventory_cache, "_ask", lambda sources: calls.append(sources) or ask(sources))
    return calls


def refused(call):
    with pytest.raises(SdopsError) as error:
        call()
    return error.value


def names(hosts):
    return [host.name for host in hosts]


# -- what is read


def test_hosts_are_read_as_ansible_would_reach_them(place):
    (place / "inventory.ini").write_text(INI)
    found = inventory.read()
    args = ("-J", "bastion", "-o", "UserKnownHostsFile=/known hosts")
    prefix = {"miniconda_prefix": "/opt/sdops/conda"}
    assert found.hosts == (
        Host("gpu1", "203.0.113.10", 2222, ssh_args=args, groups=("gpu",), variables=prefix),
        Host(
            "gpu2",
            "2001:db8::1",
            ssh_args=args,
            groups=("gpu",),
            variables={**prefix, "sdops_stack": "cu124"},
        ),
        Host("gpu10", "gpu10", key="~/.ssh/other", ssh_args=args, groups=("gpu",), variables=prefix),
        Host(
            "cpu1",
            "cpu1",
            user="debian",
            ssh_args=args,
            groups=("cpu",),
            variables={"sdops_expect_gpu": "no"},
        ),
    )
    assert (found.sources, found.words) == (("inventory.ini",), ("-i", "inventory.ini"))


def test_yaml_and_variables_beside_it(place):
    (place / "inventory.yml").write_text("gpu: {hosts: {gpu1: {ansible_host: 203.0.113.10}}}\n")
    (place / "group_vars").mkdir()
    (place / "group_vars" / "gpu.yml").write_text("sdops_user: jo\nsdops_env: env2\n")
    (place / "host_vars").mkdir()
    (place / "host_vars" / "gpu1.yml").write_text("sdops_env: env3\n")
    (host,) = inventory.read().hosts
    assert (host.address, host.variables) == ("203.0.113.10", {"sdops_user": "jo", "sdops_env": "env3"})


def test_several_inventories_and_a_list_of_hosts(place):
    (place / "a.ini").write_text("[gpu]\ngpu1\n")
    (place / "b.ini").write_text("[gpu]\ngpu2\n")
    assert names(inventory.read([Path("a.ini"), Path("b.ini")]).hosts) == ["gpu1", "gpu2"]
    assert names(inventory.read(["gpu7,gpu8"]).hosts) == ["gpu7", "gpu8"]


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ({}, "usual"),
        ({"cfg": True}, "cfg"),
        ({"cfg": True, "ANSIBLE_INVENTORY": "ansible.ini"}, "ansible"),
        ({"ANSIBLE_INVENTORY": "ansible.ini", "SDOPS_INVENTORY": "ours.ini"}, "ours"),
        ({"SDOPS_INVENTORY": "ours.ini", "named": ["named.ini"]}, "named"),
    ],
    ids=["usual file", "ansible.cfg", "ANSIBLE_INVENTORY", "SDOPS_INVENTORY", "option"],
)
def test_which_inventory_counts(place, monkeypatch, setting, wanted):
    for name in ("usual", "cfg", "ansible", "ours", "named"):
        (place / f"{name}.ini").write_text(f"{name}\n")
    (place / "usual.ini").rename(place / "inventory.ini")
    (place / "inventory.ini").write_text("usual\n")
    if "cfg" in setting:
        (place / "ansible.cfg").write_text("[defaults]\ninventory = cfg.ini ; mine\n")
    for name in ("ANSIBLE_INVENTORY", "SDOPS_INVENTORY"):
        if name in setting:
            monkeypatch.setenv(name, setting[name])
    assert names(inventory.read(setting.get("named", ())).hosts) == [wanted]


def test_without_any_inventory_there_is_this_machine(place):
    found = inventory.read()
    assert (found, found.select(), found.select(["local"])) == (Inventory(), (THIS_MACHINE,), (THIS_MACHINE,))
    error = refused(lambda: found.select(["gpu1"]))
    assert (error.code, "no inventory was found" in error.message) == ("host-unknown", True)


def test_a_connection_without_ssh_is_this_machine(place):
    (place / "inventory.ini").write_text("localhost ansible_connection=local\n")
    (host,) = inventory.read().select()
    assert host.local


# -- secrets


def test_vaulted_values_and_files_are_passed_over(place):
    vault = "$ANSIBLE_VAULT;1.1;AES256\n3061626364\n"
    (place / "inventory.yml").write_text(
        "gpu:\n  hosts:\n    gpu1:\n      ansible_host: 203.0.113.10\n      hub_token_value: !vault |\n"
        + "".join(f"        {line}\n" for line in vault.split())
    )
    (place / "group_vars" / "gpu").mkdir(parents=True)
    (place / "group_vars" / "gpu" / "vault.yml").write_text(vault)
    (place / "group_vars" / "gpu" / "plain.yml").write_text("sdops_env: env2\n")
    found = inventory.read()
    assert found.hosts == (Host("gpu1", "203.0.113.10", groups=("gpu",), variables={"sdops_env": "env2"}),)
    assert [Path(name).name for name in found.vaulted] == ["vault.yml"]


def test_an_address_that_is_vaulted_is_said(place):
    vault = "!vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        3061\n"
    (place / "inventory.yml").write_text(f"all:\n  hosts:\n    gpu1:\n      ansible_host: {vault}")
    error = refused(lambda: inventory.read().select())
    assert (error.code, error.message) == (
        "inventory-unreadable",
        "ansible_host of gpu1 has no value: it is vaulted.",
    )


def test_no_secret_is_remembered_and_nobody_else_may_read_it(place, monkeypatch):
    monkeypatch.setenv("VULTR_API_KEY", "canary-of-the-environment")
    (place / "inventory.ini").write_text(
        "gpu1 ansible_password=canary-a ansible_become_pass=canary-b hub_token_value=canary-c "
        "sdops_pip_index_url=https://jo:canary-d@mirror.example ansible_host=203.0.113.10\n"
    )
    inventory.read()
    folder = inventory_cache.folder()
    (kept,) = folder.iterdir()
    assert "203.0.113.10" in kept.read_text()
    assert "canary" not in kept.read_text()
    assert (folder.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)


# -- what is remembered


def test_the_second_time_ansible_is_not_asked(place, asked):
    (place / "inventory.ini").write_text(INI)
    assert inventory.read() == inventory.read()
    assert len(asked) == 1


CHANGES = {
    "the file": lambda place: (place / "inventory.ini").write_text("gpu9\n"),
    "a variable": lambda place: (place / "group_vars" / "all.yml").write_text("sdops_user: jo\n"),
    "a new file of variables": lambda place: (place / "host_vars" / "gpu1").write_text("sdops_user: jo\n"),
    "ansible's settings": lambda place: (place / "ansible.cfg").write_text("[defaults]\nforks = 2\n"),
    "what is remembered": lambda place: next(inventory_cache.folder().iterdir()).write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_at_once(place, asked, change):
    (place / "inventory.ini").write_text("gpu1\n")
    for name in ("group_vars", "host_vars"):
        (place / name).mkdir()
    (place / "group_vars" / "all.yml").write_text("sdops_user: al\n")
    inventory.read()
    change(place)
    inventory.read()
    assert len(asked) == 2


def test_a_template_that_asks_others_is_asked_again_soon(place, monkeypatch):
    (place / "inventory.ini").write_text("gpu1 sdops_user=\"{{ lookup('env', 'WHO') }}\"\n")
    monkeypatch.setenv("WHO", "jo")
    assert inventory.read().hosts[0].variables == {"sdops_user": "jo"}
    (kept,) = inventory_cache.folder().iterdir()
    until = json.loads(kept.read_text())["until"]
    assert 0 < until - time.time() <= inventory_cache.DYNAMIC


def test_a_clouds_answer_is_good_for_a_minute(place, monkeypatch, asked):
    monkeypatch.setenv("VULTR_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "*")
    with Vultr([instance("gpu1", "203.0.113.10"), instance("gpu2", "203.0.113.11")]) as api:
        monkeypatch.setenv("VULTR_API_ENDPOINT", api.endpoint)
        source = [ROOT / "ansible" / "inventory.vultr.yml"]
        found = inventory.read(source)
        assert [(host.name, host.address) for host in found.select(["gpu"])] == [
            ("gpu1", "203.0.113.10"),
            ("gpu2", "203.0.113.11"),
        ]
        inventory.read(source)
        assert len(asked) == 1
        inventory.read(source, fresh=True)
        assert len(asked) == 2
    now = time.time()
    monkeypatch.setattr(inventory_cache.time, "time", lambda: now + inventory_cache.DYNAMIC + 1)
    assert refused(lambda: inventory.read(source)).code == "inventory-unreadable"


def test_a_folder_that_cannot_be_written_is_no_error(place, monkeypatch):
    (place / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "file"))
    (place / "inventory.ini").write_text("gpu1\n")
    assert names(inventory.read().hosts) == ["gpu1"]


def test_many_at_once_read_whole_answers(place):
    (place / "inventory.ini").write_text(INI)
    found = []
    threads = [threading.Thread(target=lambda: found.append(inventory.read())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2]


def test_this_process_does_not_import_ansible(place):
    (place / "inventory.ini").write_text("gpu1\n")
    script = "import sys; from sdops import inventory; inventory.read(); print('ansible' in sys.modules)"
    path = os.pathsep.join([str(ROOT / "ops"), str(ROOT / "runtime")])
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert ran.stdout == "False\n", ran.stderr


# -- what is said


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.ini", "[gpu\ngpu1\n", "values to unpack"),
        ("a.yml", "all:\n  hosts: {a: {b: ]}\n", "YAML parsing failed"),
        ("b.yml", 'all: {hosts: {"a[b": {}}}\n', "values to unpack"),
        ("a.vultr.yml", "plugin: nobody.cloud.none\n", "unknown plugin"),
    ],
)
def test_an_inventory_that_cannot_be_read_says_why_in_one_line(place, name, text, words):
    (place / name).write_text(text)
    error = refused(lambda: inventory.read([name]))
    assert error.code == "inventory-unreadable"
    assert name in error.message and words in error.message and "\n" not in error.message
    assert len(error.message) < 300


def test_an_inventory_that_is_not_there(place, monkeypatch):
    assert refused(lambda: inventory.read(["none.ini"])).code == "inventory-missing"
    monkeypatch.setenv("SDOPS_INVENTORY", "none.ini")
    assert "SDOPS_INVENTORY" in refused(inventory.read).message


def test_without_ansible_the_command_that_installs_it_is_named(place, monkeypatch):
    (place / "inventory.ini").write_text("gpu1\n")
    monkeypatch.setattr(inventory_cache, "pythons", lambda: iter(()))
    error = refused(inventory.read)
    assert (error.code, error.hint.endswith("-m pip install ansible")) == ("ansible-missing", True)


def test_ansible_may_be_installed_elsewhere(place, monkeypatch):
    """As with pipx: its programs are on the PATH, its library is not in this Python."""
    program = place / "bin" / "ansible-playbook"
    program.parent.mkdir()
    program.write_text(f"#!{place}/elsewhere/python\n")
    program.chmod(0o755)
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (place / "elsewhere" / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(inventory_cache, "find_spec", lambda name: None)
    (place / "inventory.ini").write_text("gpu1\n")
    assert list(inventory_cache.pythons()) == [place / "elsewhere" / "python"]
    assert names(inventory.read().hosts) == ["gpu1"]


HOSTS = ("gpu1", "gpu2", "gpu10", "cpu1", "web.example.com", "2001:db8::1")
GROUPS = {
    "all": HOSTS,
    "ungrouped": ("web.example.com", "2001:db8::1"),
    "gpu": ("gpu1", "gpu2", "gpu10"),
    "cpu": ("cpu1",),
    "old": ("gpu2", "cpu1"),
}
PATTERNS = [
    ["all"], ["*"], ["gpu"], ["gpu1"], ["gpu*"], ["gpu?"], ["gpu:!gpu2"], ["gpu,!gpu2"], ["gpu", "!gpu2"],
    ["gpu:&old"], ["!gpu"], ["&old"], ["gpu[0]"], ["gpu[-1]"], ["gpu[1:]"], ["gpu[0:1]"], ["~gpu\\d$"],
    ["cpu", "gpu"], ["gpu2,gpu1"], ["*.example.com"], ["2001:db8::1"], ["gpu[!1]"], ["ungrouped"],
    ["old:gpu"],
    ["gpu:!old:!gpu1"], ["all:!*"],
]  # fmt: skip


def test_patterns_mean_what_they_mean_to_ansible(tmp_path):
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump(
            {
                "ungrouped": {"hosts": {name: {} for name in GROUPS["ungrouped"]}},
                **{name: {"hosts": {one: {} for one in GROUPS[name]}} for name in ("gpu", "cpu", "old")},
            },
            sort_keys=False,
        )
    )
    script = """
import json, sys
from ansible.parsing.dataloader import DataLoader
from ansible.inventory.manager import InventoryManager
found = InventoryManager(loader=DataLoader(), sources=[sys.argv[1]])
groups = {name: [host.name for host in group.get_hosts()] for name, group in found.groups.items()}
patterns = json.loads(sys.argv[2])
hosts = [[host.name for host in found.get_hosts(pattern)] for pattern in patterns]
print(json.dumps([groups, [host.name for host in found.get_hosts("all")], hosts]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "hosts.yml"), json.dumps(PATTERNS)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    groups, everyone, theirs = json.loads(ran.stdout)
    ours = [list(inventory_pattern.select(pattern, everyone, groups)) for pattern in PATTERNS]
    assert dict(zip(map(str, PATTERNS), ours, strict=True)) == dict(
        zip(map(str, PATTERNS), theirs, strict=True)
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gpu3"], "Did you mean"),
        (["gqu"], "Did you mean gpu"),
        (["localhost"], "local"),
        (["xyz"], "sdops hosts"),
        (["gpu[9]"], "Did you mean gpu"),
        (["gpu:!gpu"], "sdops hosts"),
        (["~("], "sdops hosts"),
    ],
)
def test_nobody_is_meant(words, said):
    found = Inventory(tuple(Host(name) for name in HOSTS), GROUPS, ("inventory.ini",))
    error = refused(lambda: found.select(words))
    assert (error.code, said in error.hint) == ("host-unknown", True), error.hint


# -- what is wanted


def test_defaults_are_those_of_the_roles():
    """The installed package cannot read them, so it has its own."""
    role = {
        **yaml.safe_load((ROLES / "sdops" / "defaults" / "main.yml").read_text()),
        **yaml.safe_load((ROLES / "stack_env" / "defaults" / "main.yml").read_text()),
        **yaml.safe_load((ROLES / "miniconda" / "defaults" / "main.yml").read_text()),
    }
    assert {name: role[name] for name in inventory_wanted.DEFAULTS} == inventory_wanted.DEFAULTS
    assert role["miniconda_prefix"].replace("{{ sdops_user }}", "sdops") == Wanted().prefix
    assert role["ansible_user"] == Host.user
    assert stack.load().name == Wanted().stack


def test_what_is_wanted_of_a_host():
    host = Host(
        "gpu1",
        "203.0.113.10",
        user="debian",
        variables={
            "sdops_user": "jo",
            "sdops_stack": "cu124",
            "sdops_expect_gpu": "no",
            "stack_env_torch_by_pip": True,
            "sdops_model_revision": "main",
        },
    )
    found = Inventory((host,), {}, ("my inventory.ini",))
    site = ROOT / "ansible" / "site.yml"
    assert inventory_wanted.wanted_of(host, found) == Wanted(
        user="jo",
        stack="cu124",
        expect_gpu=False,
        torch_by_pip=True,
        revision="main",
        prefix="/home/jo/miniconda3",
        address="203.0.113.10",
        login="debian",
        playbook=(inventory_wanted.program(), "-i", "my inventory.ini", str(site), "-l", "gpu1"),
        digest=inventory_wanted.digest(),
        protocol=PROTOCOL,
    )


def test_a_command_is_as_short_as_it_can_be(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert inventory_wanted.playbook(Host("gpu1"), Inventory())[1:] == ("ansible/site.yml", "-l", "gpu1")


def test_this_machine_needs_no_playbook():
    wanted = inventory_wanted.wanted_of(THIS_MACHINE, Inventory())
    assert (wanted.playbook, wanted.address, wanted.python) == ((), "", sys.executable)
    assert wanted.stack in stack.names()


def test_a_value_that_is_neither_true_nor_false():
    host = Host("gpu1", variables={"sdops_expect_gpu": "perhaps"})
    assert "perhaps" in refused(lambda: inventory_wanted.wanted_of(host, Inventory())).message


def test_the_digest_is_that_of_the_archive_which_the_playbook_builds(tmp_path):
    ran = subprocess.run(
        [sys.executable, ROOT / "runtime" / "build_pyz.py", tmp_path / "x.pyz"],
        capture_output=True,
        check=True,
    )
    assert json.loads(ran.stdout)["digest"] == inventory_wanted.digest()


def test_an_installed_sdops_knows_the_same_digest(tmp_path):
    import zipfile

    script = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, check=True, timeout=120
    )
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    script = "from sdops import inventory_wanted as one; print(one.__file__, one.digest(), one.site())"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    place, digest, site = ran.stdout.split()
    assert place.startswith(str(tmp_path)), ran.stderr
    assert (digest, site) == (inventory_wanted.digest(), "ansible/site.yml")
