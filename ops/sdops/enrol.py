"""Takes a host in: its key, the login, its place in the inventory, the hub's token."""

import os
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from sdops_runtime.hub import token as hub_token

from sdops import candidate, host_keys, inventory, inventory_edit, inventory_source, inventory_wanted, vault
from sdops.candidate import Login, Told
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


class Kept(Enum):
    """What became of the hub's token."""

    STORED = "stored"
    THERE = "there"
    UNWANTED = "unwanted"
    NONE = "none"


@dataclass(frozen=True)
class Enrolled:
    """What was found and done. trusted: where the host's keys were written to, "" for nowhere. gpu: as it
    names itself. added: whether the inventory was changed. token: what became of it; source: where it was
    found, "" for an answer. next: commands to type now, one after the other in one terminal."""

    name: str
    address: str
    file: Path
    trusted: str = ""
    gpu: str = ""
    added: bool = True
    token: Kept = Kept.NONE
    source: str = ""
    stored: vault.Stored | None = None
    next: tuple[str, ...] = ()


def enrol(told: Told, ask: Ask) -> Enrolled:
    """Does it all. Nothing is written before everything is known, but for a key that was trusted.

    Raises SdopsError: usage, what ``open_session`` raises, host-key-differs, inventory-unreadable,
    file-unreadable, file-unwritable, vault-failed, token-refused.
    """
    if told.no_token and told.token:
        raise SdopsError("usage", "A token and --no-token exclude each other.", "Leave one out.")
    if told.key and not Path(told.key).expanduser().is_file():
        raise SdopsError("file-unreadable", f"There is no private key {told.key}.", "Name another --key.")
    file = told.file.expanduser() if told.file else candidate.file_to_write()
    text = _read(file)
    vault.check(file, told.password)
    kept, token = _token(told, file)
    there = inventory.read([file]) if text is not None else inventory.Inventory()
    address = told.address or ask.text("Address of the host (a name of your ssh settings will do)", "ADDRESS")
    login = candidate.parse(address, told)
    found = candidate.find(login, told.name, there, file)
    new = "" if found else _extended(text, candidate.name_of(login, told.name, there, file), login)
    host = found or _foreseen(file, new, there, login)
    try:
        session, trusted = _open(host, told.trust, ask)
    except SdopsError as error:
        if found is None and error.code == "host-name-unknown":
            # It is in no inventory yet, where doctor would have it corrected.
            raise SdopsError(error.code, error.message, "Type it again as the provider shows it.") from error
        raise
    try:
        gpu = _gpu(session)
    finally:
        session.close()
    source = token.source if token and not told.token else ""
    if kept is Kept.NONE and token is None:
        answer = ask.secret("Access token of the model hub, hf_… (not shown; Enter for none)").strip()
        token = hub_token.find(answer) if answer else None
    stored = vault.store(token.value, file, told.password) if token else None
    if vault.place(file).exists():
        vault.remember(file, told.password)
    if token and kept is Kept.NONE:
        kept = Kept.STORED
    if new:
        _write(file, new)
    done = Enrolled(host.name, host.address, file, trusted, gpu, bool(new), kept, source, stored)
    return replace(done, next=_next(file, host.name))


def _extended(text: str | None, name: str, login: Login) -> str:
    """The inventory with the host, as it is to be."""
    line = inventory_edit.line_of(name, login.address, login.user, login.port, login.key)
    if text is None:
        return inventory_edit.create(line, str(inventory_wanted.DEFAULTS["sdops_stack"]))
    return inventory_edit.add(text, line)


def _foreseen(file: Path, new: str, there: inventory.Inventory, login: Login) -> Host:
    """The new host as Ansible will read it: its group may have a user, a port, options of ssh for it."""
    # Beside the inventory, since the variables beside it count.
    aside = file.with_name(f".{file.stem}.{secrets.token_hex(4)}.ini")
    try:
        aside.write_text(new, encoding="utf-8")
        found = inventory.read([aside], fresh=True)
    except OSError as error:
        raise SdopsError("file-unwritable", f"{file} cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)
    before = {one.name for one in there.hosts}
    hosts = [one for one in found.hosts if one.name not in before]
    told = (login.address, login.user, login.port, login.key)
    for host in hosts:
        has = (host.address, host.user, host.port, host.key)
        if all(has_one == one for has_one, one in zip(has, told, strict=True) if one):
            return host.usable()
    raise SdopsError(
        "inventory-unreadable",
        f"Ansible would not read the new host in {file} as it is meant, and nothing was changed.",
        hint("See what it reads:", shlex.join(["sdops", "hosts", "-i", str(file)])),
    )


def _open(host: Host, trust: str, ask: Ask) -> tuple[Session, str]:
    """A session, once the host's key is trusted; where that was written, "" if it was before."""
    try:
        return open_session(host), ""
    except SdopsError as error:
        way = find_way(host.address, user=host.user, port=host.port, key=host.key, args=host.ssh_args)
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


def _token(told: Told, file: Path) -> tuple[Kept, hub_token.Token | None]:
    """What is known of the token before anybody is asked. Raises SdopsError("token-refused")."""
    given = hub_token.find(told.token) if told.token else None
    if told.no_token:
        return Kept.UNWANTED, None
    if vault.place(file).exists():
        return Kept.THERE, given  # which is left out, and that is said
    return Kept.NONE, given or hub_token.find()


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


def _write(file: Path, text: str) -> None:
    """Writes the inventory, whole or not at all."""
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        aside.write_text(text, encoding="utf-8")
        if file.exists():
            aside.chmod(file.stat().st_mode & 0o777)
        aside.replace(file)
    except OSError as error:
        raise SdopsError("file-unwritable", f"{file} cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)


def _next(file: Path, name: str) -> tuple[str, ...]:
    """What to type now. Once the password's file is in a variable, every later line is a plain one."""
    found = inventory.read([file])
    passwords = inventory_wanted.passwords(found)
    # A password that is configured for other vaults would be lost by it.
    exported = len(passwords) == 1 and not vault.configured()
    words = inventory_wanted.playbook(found.find([name])[0], found, exported)
    plain = () if _is_usual(file) else ("-i", str(file))
    return (
        *((f"export {vault.VARIABLE}={shlex.quote(str(passwords[0]))}",) if exported else ()),
        shlex.join(words),
        shlex.join(["sdops", "doctor", name, *plain]),
        shlex.join(["sdops", "run", "photo.jpg", "wearing a christmas hat", "--host", name, *plain]),
    )


def _is_usual(file: Path) -> bool:
    """Whether all commands read it without being told."""
    try:
        return inventory_source.find() == (str(file),)
    except SdopsError:
        return False
