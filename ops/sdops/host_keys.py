"""A host's keys before they are known: asking the host for them, and writing down those that are trusted."""

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from sdops.errors import SdopsError
from sdops.transport_known import fingerprint
from sdops.transport_settings import Way

#: Seconds for the host to show its keys.
PATIENCE = 15
#: What people compare first comes first.
_ORDER = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


@dataclass(frozen=True)
class Shown:
    """A key that a host shows. kind: as ssh names it."""

    kind: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        return fingerprint(self.key)


def scan(way: Way, name: str) -> list[Shown]:
    """The keys that a host shows, by the program ssh-keyscan. Raises SdopsError("host-unreachable")."""
    family = {"inet": ["-4"], "inet6": ["-6"]}.get(way.family, [])
    command = ["ssh-keyscan", *family, "-T", str(PATIENCE), "-p", str(way.port), "--", way.hostname]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
        lines = [line.split() for line in ran.stdout.splitlines() if not line.startswith("#")]
    except (FileNotFoundError, subprocess.TimeoutExpired):
        lines = []
    found = []
    for words in lines:
        with contextlib.suppress(IndexError, binascii.Error):
            found.append(Shown(words[1], base64.b64decode(words[2], validate=True)))
    if not found:
        raise SdopsError(
            "host-unreachable",
            f"{name} shows no key.",
            f"See it for yourself, and accept it: {way.line(ask=True)}",
        )
    return sorted(found, key=lambda one: (_ORDER.index(one.kind) if one.kind in _ORDER else 9, one.kind))


def remember(way: Way, keys: Sequence[Shown]) -> str:
    """Writes keys into the first file of known hosts, and returns its place.

    Raises SdopsError("file-unwritable").
    """
    file = way.known[0]
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as known:
            fcntl.flock(known, fcntl.LOCK_EX)
            known.seek(0)
            before = known.read()
            gap = "" if before.endswith(b"\n") or not before else "\n"
            lines = [f"{_name(way)} {one.kind} {base64.b64encode(one.key).decode()}\n" for one in keys]
            # One write, so that nobody reads half a line.
            os.write(known.fileno(), (gap + "".join(lines)).encode())
    except OSError as error:
        raise SdopsError("file-unwritable", f"{file} cannot be written: {error.strerror}.") from error
    return str(file)


def _name(way: Way) -> str:
    """The host's name as ssh writes it: hashed, where its settings say so."""
    if not way.hashed:
        return way.key_name
    salt = secrets.token_bytes(20)
    # SHA-1 is what the format says.
    digest = hmac.new(salt, way.key_name.encode(), hashlib.sha1).digest()
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))
