"""Known hosts: which keys the files name for a host. Pure but for ``lookup``, which reads the files.

The form is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT: patterns, hashed names, markers. Keys of an
authority that signs hosts (@cert-authority) are passed over.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Known:
    """A line about the host. kind: of the key, as "ssh-ed25519". revoked: it must not be trusted."""

    file: Path
    line: int
    kind: str
    key: bytes
    revoked: bool = False


def lookup(files: Iterable[Path], name: str) -> tuple[Known, ...]:
    """All lines about a name, in the files' order; name: as ``host``, or ``[host]:port``."""
    found: list[Known] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found += parse(text, name, file)
    return tuple(found)


def parse(text: str, name: str, file: Path = Path()) -> list[Known]:
    """The lines of one file that are about a name."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked"):
            continue
        if not matches(words[0], name):
            continue
        try:
            key = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        found.append(Known(file, number, words[1], key, marker == "@revoked"))
    return found


def matches(field: str, name: str) -> bool:
    """Whether the first field of a line means a name."""
    if field.startswith("|1|"):
        return _hashed(field, name)
    hit = False
    for pattern in field.lower().split(","):
        # Brackets are part of a name with a port here, and no set of letters.
        plain = pattern.lstrip("!").replace("[", "[[]")
        if fnmatchcase(name.lower(), plain):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


def _hashed(field: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in field.split("|")[2:4])
    except (ValueError, binascii.Error):
        return False
    # SHA-1 is what the format says; it hides names here, and guards nothing.
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def fingerprint(key: bytes) -> str:
    """A key's fingerprint as ssh shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
