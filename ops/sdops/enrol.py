"""Takes a host in: its key, the login, its place in the inventory, the hub's token."""

import os
import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sdops import host_keys, inventory, inventory_edit, inventory_wanted, vault
from sdops.errors import SdopsError
from sdops.host_keys import Shown
from sdops.inventory import Host
from sdops.transport import Session, hint, open_session
from sdops.transport_settings import Way, find_way

#: Seconds for nvidia-smi on the host.
PATIENCE = 30.0
#: For whoever does not want to compare: an answer to ``--trust``.
ANY = "any"


class Ask(Protocol):
    """Somebody who can be asked, or a refusal that names the option instead."""

    def text(self, question: str, option: str) -> str:
        """An answer."""

    def secret(self, question: str) -> str:
        """An answer that is not shown; "" for none, and where nobody can be asked."""

    def trust(self, name: str, keys: Sequence[Shown], option: str) -> bool:
        """Whether these are a host's keys."""


@dataclass(frozen=True)
class Told:
    """What was told on the command line; None and "" for what was not.

    trust: a fingerprint, or ANY. token: of the hub. no_token: whether to leave it out.
    """

    address: str = ""
    name: str = ""
    user: str = "root"
    port: int | None = None
    key: str = ""
    file: Path = Path("inventory.ini")
    trust: str = ""
    token: str = ""
    no_token: bool = False
    password: Path | None = None


@dataclass(frozen=True)
class Enrolled:
    """What was found and done. trusted: where the host's keys were written to, "" for nowhere. gpu: as it
    names itself. added: whether the inventory was changed. next: commands to type now."""

    name: str
    address: str
    file: Path
    trusted: str = ""
    gpu: str = ""
    added: bool = True
    stored: vault.Stored | None = None
    next: tuple[str, ...] = ()


def enrol(told: Told, ask: Ask) -> Enrolled:
    """Does it all. Nothing is written before everything is known, but for a key that was trusted.

    Raises SdopsError: usage, what ``open_session`` raises, host-key-differs, inventory-unreadable,
    file-unwritable, vault-failed.
    """
    if told.key and not Path(told.key).expanduser().is_file():
        raise SdopsError("file-unreadable", f"There is no private key {told.key}.", "Name another --key.")
    text = _read(told.file)
    there = inventory.read([told.file]) if text is not None else inventory.Inventory()
    address = told.address or ask.text("Address of the host (a name of your ssh settings will do)", "ADDRESS")
    name, added = _place(told, address, there)
    host = Host(name=name, address=address, port=told.port, user=told.user, key=told.key)
    session, trusted = _open(host, told.trust, ask)
    try:
        gpu = _gpu(session)
    finally:
        session.close()
    token = _token(told, ask)
    stored = vault.store(token, told.file, told.password) if token else None
    if added:
        _add(told, host, text)
    return Enrolled(name, address, told.file, trusted, gpu, added, stored, _next(told.file, name))


def _place(told: Told, address: str, there: inventory.Inventory) -> tuple[str, bool]:
    """The host's name, and whether it is to be added."""
    for one in there.hosts:
        if one.address == address and (told.port or one.port) == one.port and told.name in ("", one.name):
            return one.name, False
    taken = {*(one.name for one in there.hosts), *there.groups, inventory.LOCAL}
    name = told.name or inventory_edit.free_name(taken)
    if name in taken:
        raise SdopsError("usage", f"{told.file} has another {name} already.", "Give it another --name.")
    if not inventory_edit.is_name(name):
        raise SdopsError("usage", f"{name!r} cannot be a host's name.", "Use letters, digits, - and _.")
    if not re.fullmatch(r"[^\s#\"'=]+", address):
        raise SdopsError("usage", f"{address!r} is no address.", "As in 203.0.113.10 or gpu.example.com.")
    return name, True


def _open(host: Host, trust: str, ask: Ask) -> tuple[Session, str]:
    """A session, once the host's key is trusted; where that was written, "" if it was before."""
    way = find_way(host.address, user=host.user, port=host.port, key=host.key)
    try:
        return open_session(host), ""
    except SdopsError as error:
        direct = not way.jumps and not way.proxy and way.known and str(way.known[0]) != "/dev/null"
        if error.code != "host-key-unknown" or not direct:
            raise
    trusted = host_keys.remember(way, _trusted(way, host.name, trust, ask))
    return open_session(host), trusted


def _trusted(way: Way, name: str, trust: str, ask: Ask) -> list[Shown]:
    keys = host_keys.scan(way, name)
    if trust and trust != ANY:
        same = [one for one in keys if one.fingerprint == trust]
        if not same:
            shown = ", ".join(one.fingerprint for one in keys)
            raise SdopsError(
                "host-key-differs",
                f"{name} shows other keys than {trust}: {shown}.",
                "Do not go on: the address is another host's, or somebody is in between.",
            )
        return same
    if not trust and not ask.trust(name, keys, "--trust FINGERPRINT"):
        raise SdopsError(
            "host-key-unknown",
            f"The key of {name} is not trusted, and nothing was changed.",
            "The provider's console shows the host's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return keys


def _gpu(session: Session) -> str:
    ran = session.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], timeout=PATIENCE)
    lines = ran.stdout.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if ran.status == 0 and lines else ""


def _token(told: Told, ask: Ask) -> str:
    if told.no_token or vault.place(told.file).exists():
        return told.token  # which is left out, and that is said
    token = (
        told.token
        or os.environ.get("HF_TOKEN", "")
        or ask.secret("Access token of the model hub, hf_… (not shown; Enter for none)")
    )
    token = token.strip()
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise SdopsError("usage", "That is no access token: it has blanks or letters that none has.")
    return token


def _read(file: Path) -> str | None:
    """The inventory's text; None where there is none yet. Raises SdopsError for what is no INI file."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SdopsError("inventory-unreadable", f"{file} cannot be read as a text.") from error
    if file.suffix in (".yml", ".yaml", ".json") or os.access(file, os.X_OK):
        raise SdopsError(
            "usage",
            f"sdops init extends inventories in INI form, and {file} is another.",
            "Name one with -i.",
        )
    return text


def _add(told: Told, host: Host, text: str | None) -> None:
    """Writes the inventory, whole or not at all, and reads it back."""
    line = inventory_edit.line_of(host.name, host.address, host.user, host.port, host.key)
    stack = str(inventory_wanted.DEFAULTS["sdops_stack"])
    new = inventory_edit.create(line, stack) if text is None else inventory_edit.add(text, line)
    aside = told.file.with_name(f".{told.file.name}.{secrets.token_hex(4)}")
    try:
        aside.write_text(new, encoding="utf-8")
        if text is not None:
            aside.chmod(told.file.stat().st_mode & 0o777)
        aside.replace(told.file)
    except OSError as error:
        raise SdopsError("file-unwritable", f"{told.file} cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)
    found = {one.name: one for one in inventory.read([told.file], fresh=True).hosts}
    if host.name not in found or replace(found[host.name], groups=(), variables={}) != host:
        raise SdopsError(
            "inventory-unreadable",
            f"{told.file} was extended, and Ansible does not read {host.name} as it was meant.",
            hint("See what it reads:", shlex.join(["sdops", "hosts", "-i", str(told.file)])),
        )


def _next(file: Path, name: str) -> tuple[str, ...]:
    found = inventory.read([file])
    words = inventory_wanted.playbook(found.find([name])[0], found)
    plain = () if str(file) in ("inventory.ini",) else ("-i", str(file))
    return (
        shlex.join(words),
        shlex.join(["sdops", "doctor", name, *plain]),
        shlex.join(["sdops", "run", "photo.jpg", "wearing a christmas hat", "--host", name, *plain]),
    )
