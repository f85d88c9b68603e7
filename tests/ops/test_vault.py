"""The vault with the hub's token, by the real ansible-vault; and commands that open it as they are typed."""

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sdops import inventory, inventory_wanted, vault
from sdops.errors import SdopsError

CANARY = "hf_canaryCanaryCanaryCanaryCanary00"
ANSIBLE = Path(sys.executable).parent
INVENTORY = Path("inventory.ini")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder with an inventory, and nothing of the person's own settings."""
    folder = tmp_path / "it's mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{ANSIBLE}:{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "SDOPS_"))]:
        monkeypatch.delenv(name)
    INVENTORY.write_text("[gpu]\ngpu1 ansible_connection=local\n")
    return folder


def view(file, password):
    command = [ANSIBLE / "ansible-vault", "view", "--vault-password-file", password, file]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def playbook():
    found = inventory.read()
    return inventory_wanted.playbook(found.hosts[0], found)


def opened(words):
    """What a printed command sees of the token, typed into a shell, with a small playbook instead of ours."""
    Path("small.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.debug:\n        msg: 'it is {{ hub_token_value | length }} letters'\n"
    )
    line = shlex.join("small.yml" if word.endswith("site.yml") else word for word in words)
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    return ran.returncode == 0 and f"it is {len(CANARY)} letters" in ran.stdout


@pytest.mark.parametrize(
    "token", [CANARY, "123", "yes", "a: b", "a #b", "'x\"y\\z", "{{ hostname }}", "!vault", "*a", "null"]
)
def test_a_token_is_a_text_in_the_vault_whatever_is_in_it(token):
    stored = vault.store(token.replace(" ", "_"), INVENTORY, None)
    text = view(stored.file, stored.password)

    class Loader(yaml.SafeLoader):
        """With Ansible's mark for what is no template."""

    Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    assert yaml.load(text, Loader) == {"hub_token_value": token.replace(" ", "_")}
    assert ("!unsafe" in text) == ("{" in token)


def test_without_a_word_a_password_is_made_and_the_commands_name_it():
    stored = vault.store(CANARY, INVENTORY, None)
    assert stored.password == Path(".vault-password")
    assert stat.S_IMODE(stored.password.stat().st_mode) == 0o600
    words = playbook()
    assert words[1:5] == ("-i", "inventory.ini", "--vault-password-file", ".vault-password")
    assert opened(words)


def test_a_file_that_is_named_is_found_again_by_the_commands(tmp_path, place):
    password = tmp_path / "my password"
    password.write_text("canary-of-the-vault\n")
    vault.check(INVENTORY, password)
    assert vault.store(CANARY, INVENTORY, password).password == password
    vault.remember(INVENTORY, password)
    assert Path(".vault-password").readlink() == password
    assert opened(playbook())
    vault.check(INVENTORY, password)
    vault.remember(INVENTORY, password)
    assert vault.known(INVENTORY) == Path(".vault-password")


@pytest.mark.parametrize("by", ["variable", "ansible.cfg"])
def test_a_configured_password_is_used_and_need_not_be_named(tmp_path, monkeypatch, by):
    password = tmp_path / "password"
    password.write_text("canary-of-the-vault\n")
    if by == "variable":
        monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(password))
    else:
        Path("ansible.cfg").write_text("[defaults]\nvault_password_file = ../password\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    stored = vault.store(CANARY, INVENTORY, None)
    assert not Path(".vault-password").exists()
    # What is hers is hers to keep out of git.
    assert not list(tmp_path.rglob(".gitignore"))
    assert vault.same(stored.password, password)
    words = playbook()
    assert "--vault-password-file" not in words and "--ask-vault-pass" not in words
    assert opened(words)


def test_a_password_beside_the_inventory_is_named_where_another_one_is_configured(tmp_path, monkeypatch):
    vault.store(CANARY, INVENTORY, None)
    (tmp_path / "other").write_text("of other vaults\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "other"))
    words = playbook()
    assert "--vault-password-file" in words and opened(words)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", ".vault-password")
    words = playbook()
    assert "--vault-password-file" not in words and opened(words)


def test_a_password_that_nobody_knows_is_asked_for(tmp_path):
    password = tmp_path / "password"
    password.write_text("canary-of-the-vault\n")
    vault.store(CANARY, INVENTORY, password)
    assert playbook()[1:4] == ("-i", "inventory.ini", "--ask-vault-pass")
    kept = vault.store("other", INVENTORY, None)
    assert (kept.kept, kept.password) == (True, None)


def test_what_is_wrong_with_a_password_is_said_before_anything_is_done(tmp_path):
    def refused(password):
        with pytest.raises(SdopsError) as error:
            vault.check(INVENTORY, password)
        return error.value.code

    assert refused(Path("nowhere")) == "file-unreadable"
    good, other = tmp_path / "good", tmp_path / "other"
    good.write_text("canary-one\n")
    other.write_text("canary-two\n")
    vault.store(CANARY, INVENTORY, good)
    assert refused(other) == "vault-failed"
    vault.remember(INVENTORY, good)
    assert refused(other) == "usage"
    vault.check(INVENTORY, None)
