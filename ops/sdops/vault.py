"""Keeps the hub's token in a file that Ansible Vault encrypts, beside an inventory."""

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sdops.errors import SdopsError
from sdops.inventory_edit import GROUP

#: Beside the inventory; a password that nobody has to know.
PASSWORD = ".vault-password"  # noqa: S105
#: Seconds for ansible-vault, which is slow to start.
PATIENCE = 60.0


@dataclass(frozen=True)
class Stored:
    """Where the token is, and the file with the password. kept: whether there was a vault, which was left."""

    file: Path
    password: Path
    kept: bool = False


def place(inventory: Path) -> Path:
    """Where the vault is."""
    return inventory.parent / "group_vars" / GROUP / "vault.yml"


def store(token: str, inventory: Path, password: Path | None) -> Stored:
    """Encrypts a token; a vault that is there is left as it is. password: file with it; made if None.

    Raises SdopsError: vault-failed, file-unwritable.
    """
    file = place(inventory)
    chosen = password or inventory.parent / PASSWORD
    if file.exists():
        return Stored(file, chosen, kept=True)
    try:
        if password is None and not chosen.exists():
            _write(chosen, secrets.token_urlsafe(32) + "\n")
        _ignore(chosen)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, _encrypt(f"hub_token_value: {token}\n", chosen))
    except OSError as error:
        raise SdopsError(
            "file-unwritable", f"{error.filename or file} cannot be written: {error.strerror}."
        ) from error
    return Stored(file, chosen)


def _encrypt(text: str, password: Path) -> str:
    """By Ansible's own program, in a process of its own; the text goes through a pipe."""
    beside = Path(sys.executable).with_name("ansible-vault")
    program = str(beside) if beside.exists() else shutil.which("ansible-vault")
    if program is None:
        raise SdopsError(
            "ansible-missing", "ansible-vault is not here.", "Install Ansible: pip install ansible"
        )
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_VAULT_PASSWORD_FILE"}
    command = [program, "encrypt", "--vault-password-file", str(password.absolute()), "--output", "-", "-"]
    try:
        ran = subprocess.run(
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
    if ran.returncode or not ran.stdout.startswith("$ANSIBLE_VAULT;"):
        said = (ran.stderr.strip().splitlines() or ["no reason"])[-1]
        raise SdopsError("vault-failed", f"The token cannot be encrypted: {said}.")
    return ran.stdout


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
