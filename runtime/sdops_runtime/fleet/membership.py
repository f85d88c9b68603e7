"""What a host knows of its fleet: a file that the playbook writes. Standard library only, Python 3.9."""

import contextlib
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import certificate

#: In the queue's folder, written by the head's scheduler: who is there.
MEMBERS = "members.json"

DEPLOY = "Have it written anew: ansible-playbook ansible/site.yml --tags fleet"


@dataclass(frozen=True)
class Membership:
    """A host's place in a fleet.

    head: whether jobs of the whole fleet come in here, and its scheduler runs here. name: the host's.
    address: the only one that anything is bound to. scheduler: the head's address and port. port: of the
    first worker; slots: how many there are, on that port and the next ones, each with the GPU of its
    number if ``gpu``, else with the CPU. authority, certificate, key: files in PEM. libraries: the folder
    of the engine's own.
    """

    head: bool
    name: str
    address: str
    scheduler: str
    port: int
    slots: int
    gpu: bool
    authority: str
    certificate: str
    key: str
    libraries: str


def place() -> Path:
    """Where the file is."""
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(settings) / "sdops" / "fleet.json"


def read() -> Optional[Membership]:
    """The host's membership; None where it works alone. Raises SdopsError("fleet-settings")."""
    try:
        data = json.loads(place().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SdopsError("fleet-settings", f"{place()} cannot be read: {error}.", DEPLOY) from error
    names = {entry.name for entry in fields(Membership)}
    try:
        return Membership(**{name: value for name, value in data.items() if name in names})
    except (TypeError, AttributeError) as error:
        raise SdopsError("fleet-settings", f"{place()} is incomplete: {error}.", DEPLOY) from error


def outline(root: Path) -> Optional[dict[str, Any]]:
    """head: whether this host is that; members: name and busy of each, known to the head alone.

    certificate: since and until when (seconds since 1970) the host's is valid, where it can be read.
    """
    mine = read()
    if mine is None:
        return None
    try:
        there = json.loads((root / MEMBERS).read_text(encoding="utf-8")) if mine.head else []
        members = [{"name": str(one["name"]), "busy": bool(one["busy"])} for one in there]
    except (OSError, ValueError, KeyError, TypeError):
        members = []
    found: dict[str, Any] = {"head": mine.head, "members": members}
    with contextlib.suppress(OSError, ValueError):
        since, until = certificate.validity(mine.certificate)
        found["certificate"] = {"since": since, "until": until}
    return found
