"""Adds a host to an inventory in INI form, and leaves everything else in it as it stands. No I/O here."""

import re
import shlex

GROUP = "gpu"

_NEW = """\
[{group}]
{line}

# Settings for all of them; on a host's own line, for that host. The README lists what can be set.
[{group}:vars]
sdops_stack={stack}
"""


def line_of(name: str, address: str, user: str, port: int | None, key: str) -> str:
    """A host's own line. user, key: "" and port: None for what is said elsewhere."""
    words = [name, f"ansible_host={address}"]
    if port:
        words.append(f"ansible_port={port}")
    if user:
        words.append(f"ansible_user={user}")
    if key:
        words.append(f"ansible_ssh_private_key_file={shlex.quote(key)}")
    return " ".join(words)


def create(line: str, stack: str) -> str:
    """A new inventory with one host."""
    return _NEW.format(group=GROUP, line=line, stack=stack)


def add(text: str, line: str) -> str:
    """An inventory with one host more, behind the last one of the group."""
    lines = text.splitlines()
    place, inside = None, False
    for number, one in enumerate(lines):
        stripped = one.strip()
        if stripped.startswith("["):
            inside = stripped == f"[{GROUP}]"
            place = number + 1 if inside else place
        elif inside and stripped and not stripped.startswith(("#", ";")):
            place = number + 1
    if place is None:
        return "".join([text, "" if text.endswith("\n") or not text else "\n", f"\n[{GROUP}]\n{line}\n"])
    return "\n".join([*lines[:place], line, *lines[place:]]) + "\n"


def free_name(taken: set[str]) -> str:
    """The first of gpu1, gpu2 and so on that no host and no group has."""
    number = 1
    while f"{GROUP}{number}" in taken:
        number += 1
    return f"{GROUP}{number}"


def is_name(text: str) -> bool:
    """Whether a text can be a host's name in such a file."""
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text))
