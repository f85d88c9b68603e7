"""What is known here to be nobody else's business, for ``scrub``: secrets, and names of all kinds."""

import getpass
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sdops_runtime.hub import token

from sdops import inventory_source, vault
from sdops.inventory import Inventory

#: Variables whose values are secrets have one of these in their names.
_SECRET = ("token", "password", "secret", "pass", "key", "credential")
#: Unless they end like this: then the value is a place, or a word.
_PLACES, _WORDS = ("_FILE", "_PATH"), ("_CHECKING", "_DIR", "_SOCK", "_PROMPT")
#: Bytes: longer files are no secrets in one line, and no inventories.
_SECRET_FILE, _INVENTORY_FILE = 4096, 1_000_000

_JUMP = re.compile(r"(?i)(?:-J\s*|proxyjump[= ]\s*)(\S+)")
_SETTING = re.compile(r"""([\w.-]+)["']?[ \t]*[=:][ \t]*("[^"\n]*"|'[^'\n]*'|[^\s#]+)""")
#: An INI file's groups and hosts; a YAML file's keys that have more below them.
_GROUP = re.compile(r"(?m)^\s*\[([\w.-]+)")
_HOST = re.compile(r"(?m)^[ \t]*([A-Za-z0-9_][\w.-]*)(?:[ \t]+[\w.-]+=.*)?[ \t]*$|^[ \t]+([\w.-]+):[ \t]*$")
_NO_NAME = frozenset({"hosts", "children", "vars", "all", "plugin"})


def is_secret(name: str) -> bool:
    """Whether a variable of this name has a secret as its value."""
    return _sounds(name) and not name.upper().endswith((*_PLACES, *_WORDS))


def secrets(found: Inventory, sources: Sequence[str]) -> Iterator[str]:
    """All that is known to be secret here. sources: of the inventory, which may be unreadable."""
    for name, value in os.environ.items():
        if is_secret(name):
            yield value
        elif _sounds(name) and name.upper().endswith(_PLACES):
            yield from _line(Path(value).expanduser())
    for place in (token.file(), Path.home() / ".cache/huggingface/token"):
        yield from _line(place)
    for host in found.hosts:
        for name, value in host.variables.items():
            if isinstance(value, str) and is_secret(name):
                yield value
    for source in sources:
        yield from _line(Path(source).expanduser().parent / vault.PASSWORD)
    for text in _texts(sources):
        for name, value in _SETTING.findall(text):
            if is_secret(name):
                yield from (value, value.strip("\"'"))


def names(found: Inventory, sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names of hosts, groups, people and folders, each with the word that takes its place."""
    yield str(Path.home()), "~"
    yield str(Path.cwd()), "<folder>"
    yield socket.gethostname(), "<this-machine>"
    if not found.hosts:
        yield from _guessed(sources)
    for number, name in enumerate((one for one in found.groups if one not in ("all", "ungrouped")), 1):
        yield name, f"<group-{number}>"
    for number, host in enumerate(found.hosts, 1):
        for login in _JUMP.findall(" ".join(host.ssh_args)):
            for one in login.strip("\"'").split(","):
                user, _, place = one.rpartition("@")
                yield user, "<user>"
                yield re.sub(r":\d+$", "", place).strip("[]"), f"<jump-of-host-{number}>"
        yield host.address, f"<address-of-host-{number}>"
        yield host.name, f"<host-{number}>"
        yield host.user, "<user>"
    with suppress(OSError, KeyError):  # no name for this uid
        yield getpass.getuser(), "<user>"


def _guessed(sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What looks like a name in inventories that Ansible cannot read: it may say so with a piece of one."""
    for text in _texts(sources):
        for number, name in enumerate(_GROUP.findall(text), 1):
            yield name, f"<group-{number}>"
        for number, found in enumerate(_HOST.finditer(text), 1):
            name = found[1] or found[2]
            if name not in _NO_NAME:
                yield name, f"<host-{number}>"
        for name, value in _SETTING.findall(text):
            if name in ("ansible_host", "ansible_ssh_host"):
                yield value.strip("\"'"), "<address-of-host>"
            elif name in ("ansible_user", "ansible_ssh_user"):
                yield value.strip("\"'"), "<user>"


def _sounds(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)


def _line(path: Path) -> Iterator[str]:
    """What a file of one line holds."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size <= _SECRET_FILE:
            text = path.read_bytes().decode("utf-8", "replace").strip()
            if "\n" not in text:
                yield text


def _texts(sources: Sequence[str]) -> Iterator[str]:
    """The files of inventories, as far as they can be read."""
    for source in sources:
        with suppress(OSError):
            for path in inventory_source.files(source):
                if path.stat().st_size <= _INVENTORY_FILE:
                    yield path.read_bytes().decode("utf-8", "replace")
