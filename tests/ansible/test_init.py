"""``sdops init`` as it is typed, on a fresh host that is new to the person; real SSH, real Ansible Vault."""

from __future__ import annotations

import stat

import pytest
from people import Newcomer, Terminal

pytestmark = pytest.mark.hosts

#: Looks like a token, opens nothing, and may be printed nowhere.
CANARY = "hf_canaryCanaryCanaryCanaryCanary00"


@pytest.fixture(scope="module")
def fresh(lab):
    """A host as the provider gives it: root may log in with the controller's key."""
    (host,) = lab.hosts("bookworm", packages=False)
    yield host
    lab.remove(host)


@pytest.fixture
def her(lab, tmp_path):
    return Newcomer.of_key(lab, tmp_path / "her")


def fingerprint(host, kind="ed25519"):
    return host.inside(["ssh-keygen", "-lf", f"/etc/ssh/ssh_host_{kind}_key.pub"]).stdout.split()[1]


def test_a_host_is_taken_in_at_a_terminal(her, fresh):
    terminal = Terminal(her, "init")
    terminal.sees("Address of the host")
    terminal.press(f"{fresh.address}\r".encode())
    terminal.sees(fingerprint(fresh), "Are they the same")
    terminal.press(b"y\r")
    terminal.sees("Access token")
    terminal.press(f"{CANARY}\r".encode())
    assert terminal.end() == 0
    shown = terminal.read()
    assert f"The login at {fresh.address} works." in shown
    assert CANARY not in terminal.text.decode(errors="replace")

    begins = f"[gpu]\ngpu1 ansible_host={fresh.address}\n\n#"
    assert (her.folder / "inventory.ini").read_text().startswith(begins)
    vault = her.folder / "group_vars/gpu/vault.yml"
    password = her.folder / ".vault-password"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (vault, password)] == [0o600, 0o600]
    assert not any(CANARY.encode() in data for data in her.written().values())
    opened = her.types(f"ansible-vault view --vault-password-file {password} {vault}")
    assert opened.stdout == f"hub_token_value: {CANARY}\n"
    assert "|1|" in her.known.read_text() and fresh.address not in her.known.read_text()

    # What it says to type next works: nothing is asked any more, and the vault is no obstacle.
    document = her.json("init", fresh.address)
    assert (document["added"], document["host"], document["vault"]) == (False, "gpu1", None)
    assert document["next"][0].split()[1:6] == [
        *("-i", "inventory.ini", "--vault-password-file", ".vault-password"),
        document["next"][0].split()[5],
    ]
    (her.folder / "other").write_text(f"{CANARY}other")
    kept = her.sdops("init", fresh.address, "--token-file", "other")
    assert (kept.rc, "is there already, and was left" in kept.stderr) == (0, True)
    assert her.types(f"ansible-vault view --vault-password-file {password} {vault}").stdout == opened.stdout
    listed = her.types(f"{document['next'][0]} --list-hosts")
    assert "gpu1" in listed.stdout
    assert her.json("hosts")["hosts"][0]["name"] == "gpu1"
    reached = her.types(f"ansible -i inventory.ini --vault-password-file {password} gpu1 -m raw -a true")
    assert CANARY not in reached.stdout
    examined = her.json("doctor", "gpu1", "--quick")
    assert CANARY not in str(examined)
    assert ".vault-password" in str(examined)


def test_another_one_is_added_and_the_rest_of_the_inventory_stays(her, fresh):
    before = "# mine\n[gpu]\n; old\nold ansible_host=192.0.2.1\n\n[gpu:vars]\nsdops_stack=guide\n"
    (her.folder / "inventory.ini").write_text(before)
    words = ("--trust", fingerprint(fresh), "--no-token", "--name", "new")
    document = her.json("init", fresh.address, *words)
    assert (document["added"], document["trusted"]) == (True, str(her.known))
    assert (her.folder / "inventory.ini").read_text() == before.replace(
        "192.0.2.1\n", f"192.0.2.1\nnew ansible_host={fresh.address}\n"
    )
    assert sorted(her.written()) == [".ssh/known_hosts", "inventory.ini"]
    taken = her.sdops("init", "192.0.2.7", "--name", "old", "--no-token")
    assert (taken.rc, "has another old already" in taken.stderr) == (2, True)


def test_a_token_of_the_environment_is_kept_and_git_does_not_get_the_password(her, fresh):
    her.lab.controller.run(["git", "init", "--quiet", her.folder])
    words = ("--trust", "any", "-i", "inventory.ini")
    ran = her.sdops("init", fresh.address, *words, HF_TOKEN=CANARY)
    assert ran.rc == 0, ran.stderr
    assert CANARY not in ran.stdout + ran.stderr
    assert (her.folder / ".gitignore").read_text() == ".vault-password\n"
    listed = her.lab.controller.run(["git", "-C", her.folder, "status", "--short", "-uall"]).stdout
    assert ".vault-password" not in listed and "group_vars/gpu/vault.yml" in listed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Address of the host"),
        (("{address}",), "Give it as --trust FINGERPRINT."),
        (("{address}", "--trust", "SHA256:other"), "shows other keys than SHA256:other"),
        (("{address}", "--trust", "any", "--key", "/nowhere"), "no private key /nowhere"),
        (("{address}", "--trust", "any", "--name", "a b"), "cannot be a host's name"),
        (("a b", "--trust", "any"), "is no address"),
        (("{address}", "--trust", "any", "--token-file", "nowhere"), "nowhere cannot be read"),
        (("{address}", "--trust", "any", "-i", "x.yml"), "INI form"),
        (("--user", "nobody", "{address}", "--trust", "any"), "lets nobody in by none of the keys"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written_but_a_trusted_key(her, fresh, words, said):
    (her.folder / "x.yml").write_text("all:\n")
    ran = her.sdops("init", *(word.format(address=fresh.address) for word in words))
    assert ran.rc in (1, 2)
    assert said in ran.stderr.replace("\n", " ")
    assert "Traceback" not in ran.stderr
    assert set(her.written()) <= {"x.yml", ".ssh/known_hosts"}


def test_a_host_that_is_down_or_another_one_is_not_taken_in(her, fresh):
    fresh.cut()
    try:
        down = her.sdops("init", fresh.address, "--trust", "any", "--no-token")
    finally:
        fresh.restore()
    assert (down.rc, her.written()) == (1, {})
    her.known.parent.mkdir()
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    her.known.write_text(f"{fresh.address} ssh-ed25519 {other}\n")
    before = her.written()
    changed = her.sdops("init", fresh.address, "--trust", "any", "--no-token")
    assert (changed.rc, "another host key than before" in changed.stderr.replace("\n", " ")) == (1, True)
    assert her.written() == before


def test_ctrl_c_in_a_question_leaves_nothing_behind(her, fresh):
    terminal = Terminal(her, "init", fresh.address)
    terminal.sees("Are they the same")
    terminal.press()
    assert terminal.end() == 130
    assert "Traceback" not in terminal.read()
    assert her.written() == {}
    no = Terminal(her, "init", fresh.address)
    no.sees("Are they the same")
    no.press(b"n\r")
    assert no.end() == 1
    assert her.written() == {}


def test_a_folder_that_is_not_there_is_said(her, fresh):
    ran = her.sdops("init", fresh.address, "--trust", "any", "--no-token", "-i", "nowhere/inventory.ini")
    assert (ran.rc, "nowhere" in ran.stderr, "cannot be written" in ran.stderr) == (1, True, True)
