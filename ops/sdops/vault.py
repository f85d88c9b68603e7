"""Keeps the hub's token in a file that Ansible Vault encrypts, beside an inventory."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sdops import inventory_source
from sdops.errors import SdopsError
from sdops.inventory_edit import GROUP

#: Beside the inventory: a password that nobody has to know, or a link to the file that has it.
PASSWORD = ".vault-password"  # noqa: S105
#: What tells Ansible the file with the password.
VARIABLE = "ANSIBLE_VAULT_PASSWORD_FILE"
#: Seconds for ansible-vault, which is slow to start.
PATIENCE = 60.0


@dataclass(frozen=True)
class Stored:
    """Where the token is, and the file with the password, None for one that is not known here.

    kept: whether there was a vault, which was left.
    """

    file: Path
    password: Path | None
    kept: bool = False


def place(inventory: Path) -> Path:
    """Where the vault is."""
    return inventory.parent / "group_vars" / GROUP / "vault.yml"


def beside(inventory: Path) -> Path:
    """Where the password is looked for."""
    return inventory.parent / PASSWORD


def configured() -> Path | None:
    """The file with the password that Ansible finds by itself, by its variable or its ansible.cfg."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    value, folder = inventory_source.setting("vault_password_file")
    return folder / Path(value).expanduser() if value else None


def opens_by_itself() -> bool:
    """Whether Ansible has a password without being told on its command line."""
    named = (
        os.environ.get("ANSIBLE_VAULT_IDENTITY_LIST") or inventory_source.setting("vault_identity_list")[0]
    )
    return bool(named or configured())


def same(one: Path, other: Path | None) -> bool:
    """Whether both are one file, which is there."""
    return other is not None and one.exists() and other.exists() and one.samefile(other)


def known(inventory: Path) -> Path | None:
    """The file with the password: that beside the inventory, else the configured one, else None."""
    return beside(inventory) if beside(inventory).is_file() else configured()


def check(inventory: Path, password: Path | None) -> None:
    """Whether the vault can be stored or opened with a password's file that was named; changes nothing.

    Raises SdopsError: file-unreadable, usage, vault-failed.
    """
    if password is None:
        return
    if not password.is_file():
        raise SdopsError(
            "file-unreadable", f"There is no file {password} with the vault's password.", "Name another one."
        )
    link = beside(inventory)
    if os.path.lexists(link) and not same(link, password):
        raise SdopsError(
            "usage",
            f"{link} is there already, and is what everybody would take for the vault's password.",
            "Leave --vault-password-file out to use it, or move it away.",
        )
    if place(inventory).exists():
        ran = _run("view", password, str(place(inventory)))
        if ran.returncode:
            raise SdopsError(
                "vault-failed", f"{password} does not open {place(inventory)}.", "Name another file."
            )


def store(token: str, inventory: Path, password: Path | None) -> Stored:
    """Encrypts a token; a vault that is there is left as it is. password: file with it; None for any.

    Raises SdopsError: vault-failed, file-unwritable.
    """
    file = place(inventory)
    chosen = password or known(inventory)
    if file.exists():
        return Stored(file, chosen, kept=True)
    try:
        if chosen is None:
            chosen = beside(inventory)
            _write(chosen, secrets.token_urlsafe(32) + "\n")
        if password is not None or chosen == beside(inventory):
            _ignore(chosen)
        file.parent.mkdir(parents=True, exist_ok=True)
        # As a text in quotes, whatever is in it; and nothing that Ansible would take for a template.
        kind = "!unsafe " if "{" in token else ""
        _write(file, _encrypt(f"hub_token_value: {kind}{json.dumps(token)}\n", chosen))
    except OSError as error:
        raise _unwritable(error, file) from error
    return Stored(file, chosen)


def remember(inventory: Path, password: Path | None) -> None:
    """Links a password's file that was named to the place where it is looked for later.

    Raises SdopsError("file-unwritable").
    """
    link = beside(inventory)
    if password is None or same(password, configured()) or os.path.lexists(link):
        return
    try:
        link.symlink_to(password.absolute())
        _ignore(link)
    except OSError as error:
        raise _unwritable(error, link) from error


def _unwritable(error: OSError, file: Path) -> SdopsError:
    return SdopsError("file-unwritable", f"{error.filename or file} cannot be written: {error.strerror}.")


def _encrypt(text: str, password: Path) -> str:
    ran = _run("encrypt", password, "--encrypt-vault-id", "default", "--output", "-", "-", text=text)
    if ran.returncode or not ran.stdout.startswith("$ANSIBLE_VAULT;"):
        said = (ran.stderr.strip().splitlines() or ["no reason"])[-1]
        raise SdopsError("vault-failed", f"The token cannot be encrypted: {said}.")
    return ran.stdout


def _run(does: str, password: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Ansible's own program, in a process of its own; the text goes through a pipe."""
    beside = Path(sys.executable).with_name("ansible-vault")
    program = str(beside) if beside.exists() else shutil.which("ansible-vault")
    if program is None:
        raise SdopsError(
            "ansible-missing", "ansible-vault is not here.", "Install Ansible: pip install ansible"
        )
    # That password and no other.
    others = (VARIABLE, "ANSIBLE_VAULT_IDENTITY_LIST")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    command = [program, does, "--vault-password-file", str(password.absolute()), *words]
    try:
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SdopsError("vault-failed", f"ansible-vault did not end within {PATIENCE:g} s.") from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for this account alone."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _ignore(password: Path) -> None:
    """Sees to it that git does not take the password in, where there is git."""
    if shutil.which("git") is None:
        return

    def git(*words: str) -> int:
        command = ["git", "-C", str(password.parent), *words]
        return subprocess.run(command, capture_output=True, check=False).returncode

    if git("rev-parse", "--is-inside-work-tree") == 0 and git("check-ignore", "-q", password.name) == 1:
        ignored = password.parent / ".gitignore"
        text = ignored.read_text(encoding="utf-8") if ignored.exists() else ""
        gap = "" if text.endswith("\n") or not text else "\n"
        ignored.write_text(f"{text}{gap}{password.name}\n", encoding="utf-8")
