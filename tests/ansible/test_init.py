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


#: Fails without the token.
OPENS = f"ansible -i inventory.ini gpu1 -m assert -a 'that=hub_token_value|length=={len(CANARY)}'"


def in_one_terminal(person, *lines):
    """What lines print, typed into one shell after each other; all of them have to succeed."""
    environment = {name: value for name, value in person.environment.items() if name != "PYTHONPATH"}
    ran = person.lab.controller.run(
        ["bash", "-ec", "\n".join(lines)], timeout=120, check=False, env=environment, cwd=person.folder
    )
    assert ran.rc == 0, ran.stdout + ran.stderr
    assert "canary" not in (ran.stdout + ran.stderr).lower()
    return ran.stdout


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
    assert opened.stdout == f'hub_token_value: "{CANARY}"\n'
    assert "|1|" in her.known.read_text() and fresh.address not in her.known.read_text()

    # What it says to type next works: nothing is asked any more, and the vault is no obstacle.
    document = her.json("init", fresh.address)
    assert (document["added"], document["host"], document["vault"]) == (False, "gpu1", None)
    exported, playbook, *others = document["next"]
    assert exported == f"export ANSIBLE_VAULT_PASSWORD_FILE={password}"
    assert playbook.split()[1:3] == ["-i", "inventory.ini"]
    assert "vault" not in playbook
    assert others == [
        "sdops doctor gpu1",
        "sdops run photo.jpg 'wearing a christmas hat' --host gpu1",
    ]
    (her.folder / "other").write_text(f"{CANARY}other")
    kept = her.sdops("init", fresh.address, "--token-file", "other")
    assert (kept.rc, "is there already, and was left" in kept.stderr) == (0, True)
    assert her.types(f"ansible-vault view --vault-password-file {password} {vault}").stdout == opened.stdout
    assert "gpu1" in in_one_terminal(her, exported, f"{playbook} --list-hosts")
    assert in_one_terminal(her, exported, OPENS)
    # It is once for each terminal, and then it is no more said.
    exported_before = her.json("init", "gpu1", ANSIBLE_VAULT_PASSWORD_FILE=str(password))
    assert exported_before["next"] == document["next"][1:]
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
        (("{address}", "--no-token", "--token-file", "x.yml"), "exclude each other"),
        (("nobody@{address}", "--user", "root"), "contradict each other"),
        (("{address}:22", "--port", "2222"), "contradict each other"),
        (("{address}", "--vault-password-file", "nowhere"), "no file nowhere"),
        (("{address}", "--trust", "any", "--token-file", "empty"), "empty holds no token"),
        (("--user", "nobody", "{address}", "--trust", "any"), "lets nobody in by none of the keys"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written_but_a_trusted_key(her, fresh, words, said):
    (her.folder / "x.yml").write_text("all:\n")
    (her.folder / "empty").write_text("\n")
    ran = her.sdops("init", *(word.format(address=fresh.address) for word in words))
    assert ran.rc in (1, 2)
    assert said in ran.stderr.replace("\n", " ")
    assert "Traceback" not in ran.stderr
    assert set(her.written()) <= {"x.yml", "empty", ".ssh/known_hosts"}


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


def test_a_password_file_of_hers_is_what_the_printed_commands_open_the_vault_with(her, fresh, tmp_path):
    (her.folder / "my site").mkdir()
    (tmp_path / "pass word").write_text("canary-of-the-vault\n")
    site = ("-i", "my site/inventory.ini")
    words = ("--trust", "any", "--vault-password-file", tmp_path / "pass word", *site)
    document = her.json("init", fresh.address, *words, HF_TOKEN=CANARY)
    link = her.folder / "my site/.vault-password"
    assert document["next"][0] == f"export ANSIBLE_VAULT_PASSWORD_FILE='{link}'"
    opens = OPENS.replace("inventory.ini", "'my site/inventory.ini'")
    in_one_terminal(her, document["next"][0], opens)
    examined = str(her.json("doctor", "gpu1", "--quick", *site))
    assert "--vault-password-file 'my site/.vault-password'" in examined.replace("\\", "")

    # The hint works as it is typed, and so does a vault whose password nobody here knows.
    (her.folder / "other").write_text(f"{CANARY}other")
    again = ("init", "gpu1", "--token-file", "other", *site)
    kept = her.sdops(*again, "--vault-password-file", tmp_path / "pass word")
    hint = next(line for line in kept.stderr.splitlines() if line.startswith("To change"))
    in_one_terminal(her, f"export EDITOR=true\n{hint.partition(': ')[2]}")
    link.unlink()
    lost = her.json(*again)
    assert (lost["vault_password_file"], lost["token"]) == (None, "there")
    assert "--ask-vault-pass" in lost["next"][0]
    assert "vault-password" not in her.sdops(*again).stderr
    wrong = her.sdops("init", "gpu1", *site, "--vault-password-file", "other")
    assert (wrong.rc, "does not open" in wrong.stderr) == (1, True)


@pytest.mark.parametrize("place", [".cache/huggingface/token", "elsewhere"])
def test_a_token_that_the_hubs_libraries_would_find_is_found(her, fresh, place):
    (her.folder / place).parent.mkdir(parents=True, exist_ok=True)
    (her.folder / place).write_text(f"{CANARY}\n")
    more = {"HF_TOKEN_PATH": "elsewhere"} if place == "elsewhere" else {}
    ran = her.sdops("init", fresh.address, "--trust", "any", **more)
    assert ran.rc == 0, ran.stderr
    assert f"{place} is in group_vars/gpu/vault.yml" in ran.stderr
    assert CANARY not in ran.stdout + ran.stderr
    in_one_terminal(her, *(line for line in ran.stdout.splitlines() if "export" in line), OPENS)


def test_without_a_terminal_and_a_token_it_is_said_that_there_is_none(her, fresh):
    ran = her.sdops("init", fresh.address, "--trust", "any")
    assert ran.rc == 0, ran.stderr
    assert "No access token of the model hub is stored." in ran.stderr
    assert "sdops init gpu1 -i inventory.ini --token-file FILE" in ran.stderr
    assert "export" not in ran.stdout
    assert her.json("init", fresh.address)["token"] == "none"
    assert "No access token" not in her.sdops("init", fresh.address, "--no-token").stderr


def test_a_host_of_the_inventory_is_reached_as_it_says_and_not_added_again(her, fresh):
    inventory = her.folder / "inventory.ini"
    before = f"[gpu]\nmine ansible_host={fresh.address} ansible_port=22 ansible_user=root\n"
    inventory.write_text(before)
    for address in ("mine", fresh.address, f"root@{fresh.address}:22"):
        document = her.json("init", address, "--trust", "any", "--no-token")
        assert (document.get("host"), document.get("added")) == ("mine", False), document
    inventory.write_text(before.replace("port=22", "port=1"))
    refused = her.json("init", "mine", "--trust", "any", "--no-token")
    assert refused["error"]["code"] == "ssh-refused"
    other = her.sdops("init", "mine", "--user", "nobody", "--no-token")
    assert (other.rc, "not with --user nobody" in other.stderr) == (2, True)
    # What is set for the group counts for a new host, too.
    group = "[gpu]\n[gpu:vars]\nansible_user=nobody\n"
    inventory.write_text(group)
    assert her.sdops("init", fresh.address, "--no-token").rc == 1
    assert inventory.read_text() == group
    added = her.json("init", f"root@{fresh.address}", "--no-token")
    assert (added["host"], added["added"]) == ("gpu1", True)
    assert f"gpu1 ansible_host={fresh.address} ansible_user=root\n" in inventory.read_text()
    assert sorted(her.written()) == [".ssh/known_hosts", "inventory.ini"]


def test_the_inventory_that_is_set_is_written_and_a_keys_path_is_absolute(her, fresh):
    (her.folder / "site").mkdir()
    (her.folder / "key").write_bytes(her.lab.controller.key.read_bytes())
    (her.folder / "key").chmod(0o600)
    words = (f"{fresh.address}:22", "--trust", "any", "--no-token", "--key", "key")
    document = her.json("init", *words, SDOPS_INVENTORY="site/hosts.ini")
    assert document["inventory"] == "site/hosts.ini"
    assert document["next"][0].split()[1:3] == ["-i", "site/hosts.ini"]
    assert document["next"][1] == "sdops doctor gpu1"
    line = (
        f"gpu1 ansible_host={fresh.address} ansible_port=22 ansible_ssh_private_key_file={her.folder}/key\n"
    )
    assert line in (her.folder / "site/hosts.ini").read_text()
    again = her.json("init", "gpu1", "--no-token", "-i", "site/hosts.ini")
    assert again["next"][1] == "sdops doctor gpu1 -i site/hosts.ini"
    several = her.sdops("init", fresh.address, SDOPS_INVENTORY="site/hosts.ini,site/hosts.ini")
    assert (several.rc, "extends one file" in several.stderr) == (2, True)
