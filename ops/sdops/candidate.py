"""Which host ``sdops init`` is about, and which inventory: from what was told, set and written down before.

Changes nothing, and connects to nobody.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from sdops import inventory, inventory_edit, inventory_source
from sdops.errors import SdopsError
from sdops.inventory import Host, Inventory

#: Where nothing says otherwise.
USUAL = Path("inventory.ini")
#: What stands in a line of an inventory as it is.
_WORD = re.compile(r"[^\s#\"'=]+")


@dataclass(frozen=True)
class Told:
    """What was told on the command line; None and "" for what was not.

    address: with user and port, perhaps. file: the inventory. trust: a fingerprint, or ANY. token: of the
    hub. no_token: whether to leave it out. password: a file with the vault's password.
    """

    address: str = ""
    name: str = ""
    user: str = ""
    port: int | None = None
    key: str = ""
    file: Path | None = None
    trust: str = ""
    token: str = field(default="", repr=False)
    no_token: bool = False
    password: Path | None = None


@dataclass(frozen=True)
class Login:
    """An address, and what was told besides; "" and None for what was not. key: an absolute path."""

    address: str
    user: str = ""
    port: int | None = None
    key: str = ""


def file_to_write() -> Path:
    """The inventory that all commands read, if it is one file; a new one where there is none.

    Raises SdopsError("usage") for one that is not a file, or not alone.
    """
    sources, origin = inventory_source.configured()
    if not origin:
        sources = inventory_source.find() or (str(USUAL),)
        origin = "the working folder"
    told = f"{', '.join(sources)} (named by {origin})"
    if len(sources) > 1 or inventory_source.is_list(sources[0]):
        raise SdopsError(
            "usage",
            f"sdops init extends one file, and the inventory is {told}.",
            "Name the file that is to have the host with -i.",
        )
    file = Path(sources[0]).expanduser()
    if file.is_dir():
        raise SdopsError(
            "usage",
            f"sdops init extends one file, and the inventory {told} is a folder.",
            "Name the file in it that is to have the host with -i.",
        )
    return file


def parse(address: str, told: Told) -> Login:
    """What is told by an address such as ``ubuntu@203.0.113.10:2222`` and by the options together.

    Raises SdopsError("usage"): for what is no address, and where they contradict each other.
    """
    user, at, place = address.rpartition("@")
    port = ""
    bracketed = re.fullmatch(r"\[([^\[\]]+)\](?::(\d+))?", place)
    if bracketed:
        place, port = bracketed[1], bracketed[2] or ""
    elif place.count(":") == 1:
        place, _, port = place.partition(":")
        port = port or "none"
    # More colons are those of an IPv6 address.
    valid = _WORD.fullmatch(place) and not place.startswith("-") and not re.search(r"[\[\]@/]", place)
    if not valid or (at and not user) or (":" in place and not is_address(place.partition("%")[0])):
        raise _no_address(address)
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise _no_address(address)
    if told.user and user and told.user != user:
        raise _twice("--user", told.user, address)
    if told.port and port and told.port != int(port):
        raise _twice("--port", str(told.port), address)
    who = told.user or user
    if who and not _WORD.fullmatch(who):
        raise SdopsError("usage", f"{who!r} cannot be a user's name.", "As in --user ubuntu.")
    key = str(Path(told.key).expanduser().absolute()) if told.key else ""
    return Login(place, who, told.port or (int(port) if port else None), key)


def find(login: Login, name: str, there: Inventory, file: Path) -> Host | None:
    """The host of the inventory that is meant, by its name or its address; None for one that is new.

    Raises SdopsError("usage") where the inventory says otherwise than what was told.
    """
    host = next((one for one in there.hosts if one.name == login.address), None) or _by_address(
        login, there, file
    )
    if host is None:
        return None
    if name not in ("", host.name):
        raise SdopsError(
            "usage",
            f"{host.address} is {host.name} in {file} already.",
            f"Leave out --name, or change {file}.",
        )
    told: Sequence[tuple[str, object, object]] = (
        ("--user", login.user, host.user),
        ("--port", login.port, host.port or 22),
        ("--key", login.key, str(Path(host.key).expanduser().absolute()) if host.key else ""),
    )
    for option, wanted, has in told:
        if wanted and wanted != has:
            raise SdopsError(
                "usage",
                f"{host.name} is in {file} already, and not with {option} {wanted}.",
                f"Change its line in {file}, or leave {option} out.",
            )
    return host.usable()


def name_of(login: Login, name: str, there: Inventory, file: Path) -> str:
    """The name for a host that is new. Raises SdopsError("usage")."""
    taken = {*(one.name for one in there.hosts), *there.groups, inventory.LOCAL}
    chosen = name or inventory_edit.free_name(taken)
    if chosen in taken:
        raise SdopsError("usage", f"{file} has another {chosen} already.", "Give it another --name.")
    if not inventory_edit.is_name(chosen):
        raise SdopsError("usage", f"{chosen!r} cannot be a host's name.", "Use letters, digits, - and _.")
    return chosen


def is_address(text: str) -> bool:
    """Whether it is a number, and not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _by_address(login: Login, there: Inventory, file: Path) -> Host | None:
    """One address may be several machines', behind different ports."""
    found = [one for one in there.hosts if not one.local and _plain(one.address) == _plain(login.address)]
    if login.port:
        return next((one for one in found if (one.port or 22) == login.port), None)
    usual = [one for one in found if one.port in (None, 22)]
    if len(found) > 1 and len(usual) != 1:
        names = ", ".join(f"{one.name} (port {one.port or 22})" for one in found)
        raise SdopsError(
            "usage", f"{login.address} is several hosts of {file}: {names}.", "Name one of them."
        )
    return next(iter(usual or found), None)


def _plain(address: str) -> str:
    return str(ip_address(address)) if is_address(address) else address.lower()


def _no_address(address: str) -> SdopsError:
    return SdopsError(
        "usage",
        f"{address!r} is no address.",
        "As in 203.0.113.10, gpu.example.com, ubuntu@203.0.113.10:2222 or [2001:db8::7]:2222.",
    )


def _twice(option: str, value: str, address: str) -> SdopsError:
    return SdopsError("usage", f"{option} {value} and {address} contradict each other.", "Leave one out.")
