"""Ansible's own inventory: which hosts there are, how they are reached and what is set for them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdops import inventory_pattern
from sdops.errors import SdopsError

#: This machine; there is no need to have it in an inventory.
LOCAL = "local"

_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh")


@dataclass(frozen=True)
class Host:
    """A host and how it is reached.

    address: of the host, or a name of ssh's settings. port: None for what ssh's settings say. key: file of a
    private key, "" for the usual ones. ssh_args: further options of ssh. connection: the kind, as Ansible
    names it. variables: settings of the host. broken: variables without a value, and why.
    """

    name: str
    address: str = ""
    port: int | None = None
    user: str = "root"
    key: str = ""
    ssh_args: tuple[str, ...] = ()
    connection: str = "ssh"
    groups: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Whether it is this machine, reached without SSH."""
        return self.connection == "local"

    @property
    def ssh_options(self) -> tuple[str, ...]:
        """The options of ssh that go to it, as in ``-p 2222``."""
        port = ("-p", str(self.port)) if self.port else ()
        key = ("-i", str(Path(self.key).expanduser())) if self.key else ()
        return (*self.ssh_args, *port, *key)

    def usable(self) -> "Host":
        """Itself. Raises SdopsError for a host that cannot be reached as it is set up."""
        for name, reason in self.broken.items():
            raise SdopsError(
                "inventory-unreadable",
                f"{name} of {self.name} has no value: {reason.rstrip('.')}.",
                "Set it to a plain value in the inventory.",
            )
        if self.connection not in (*_SSH, "local"):
            raise SdopsError(
                "connection-unsupported",
                f"{self.name} is reached by {self.connection!r} (ansible_connection), which sdops cannot "
                "use.",
                "sdops reaches hosts by SSH, and this machine.",
            )
        return self


THIS_MACHINE = Host(LOCAL, connection="local")


@dataclass(frozen=True)
class Inventory:
    """What was read. words: what a person types for it, as in ``-i inventory.ini``; sources: where it stands.

    vaulted: files that were passed over, because they are vaulted.
    """

    hosts: tuple[Host, ...] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    vaulted: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The options that name it on Ansible's command lines, and on ours."""
        return tuple(word for source in self.sources for word in ("-i", source))

    def select(self, words: Sequence[str] = ()) -> tuple[Host, ...]:
        """The hosts that names, groups and patterns mean; all of them for none, this machine for none at all.

        Raises SdopsError("host-unknown").
        """
        return tuple(host.usable() for host in self.find(words))

    def find(self, words: Sequence[str] = ()) -> tuple[Host, ...]:
        """As ``select``, with hosts that cannot be reached as they are set up."""
        byname = {host.name: host for host in self.hosts}
        if not words:
            return self.hosts or (THIS_MACHINE,)
        here = LOCAL in words and LOCAL not in byname and LOCAL not in self.groups
        others = [word for word in words if not (here and word == LOCAL)]
        try:
            names = inventory_pattern.select(others, tuple(byname), self.groups) if others else ()
        except KeyError as error:
            raise self._unknown(str(error.args[0])) from None
        except ValueError as error:
            raise SdopsError("host-unknown", f"{error}.", "sdops hosts lists them all.") from None
        if not names and not here:
            raise SdopsError(
                "host-unknown", f"No host is meant by {' '.join(words)}.", "sdops hosts lists them all."
            )
        return (*((THIS_MACHINE,) if here else ()), *(byname[name] for name in names))

    def _unknown(self, word: str) -> SdopsError:
        names = [*(host.name for host in self.hosts), *self.groups, LOCAL]
        message = f"There is no host and no group {word!r}"
        if not self.sources:
            return SdopsError(
                "host-unknown",
                f"{message}: no inventory was found, and so there is only {LOCAL}.",
                "Name one with -i FILE; inventory.example.ini shows its form.",
            )
        close = difflib.get_close_matches(word, names, 3, 0.6)
        if close:
            return SdopsError("host-unknown", f"{message}.", f"Did you mean {' or '.join(close)}?")
        return SdopsError("host-unknown", f"{message}.", "sdops hosts lists them all.")


def read(named: Sequence[Path | str] = (), fresh: bool = False) -> Inventory:
    """The inventory that was named, or else the configured one; without any, one that has no hosts.

    fresh: asks a cloud anew, and not the cache. Raises SdopsError: ``inventory-missing``,
    ``inventory-unreadable``, ``ansible-missing``.
    """
    from sdops import inventory_cache, inventory_source

    sources = inventory_source.find(named)
    if not sources:
        return Inventory()
    answer = inventory_cache.answer(sources, fresh)
    return Inventory(
        tuple(host_of(one) for one in answer["hosts"]),
        {name: tuple(members) for name, members in answer["groups"].items()},
        tuple(sources),
        tuple(answer["vaulted"]),
    )


def host_of(data: Mapping[str, Any]) -> Host:
    """A host, from what the reader tells. Mirrors what Ansible makes of the variables."""
    import shlex

    values = dict(data["variables"])
    broken = dict(data["broken"])

    def first(*names: str) -> str:
        return next((str(values.pop(name)) for name in names if values.get(name) not in (None, "")), "")

    connection = first("ansible_connection").removeprefix("ansible.builtin.") or "ssh"
    address = first("ansible_host", "ansible_ssh_host") or data["name"]
    port = first("ansible_port", "ansible_ssh_port")
    user = first("ansible_user", "ansible_ssh_user") or Host.user
    key = first("ansible_ssh_private_key_file", "ansible_private_key_file")
    args: list[str] = []
    for name in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
        try:
            args += shlex.split(first(name))
        except ValueError as error:
            broken[name] = str(error)
    if port and not port.isdigit():
        broken["ansible_port"] = f"{port!r} is no number"
    return Host(
        name=data["name"],
        address=address,
        port=int(port) if port.isdigit() else None,
        user=user,
        key=key,
        ssh_args=tuple(args),
        connection=connection,
        groups=tuple(name for name in data["groups"] if name not in ("all", "ungrouped")),
        variables={name: value for name, value in values.items() if not name.startswith("ansible_")},
        broken=broken,
    )
