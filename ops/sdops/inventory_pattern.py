"""Which hosts words mean, by Ansible's rules (``gpu:!gpu2``, ``gpu*``, ``gpu[0]``). No I/O here.

Done here and not by Ansible's library, so that a cached inventory answers any pattern; a test holds the two
together.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate

_SUBSCRIPT = re.compile(r"(?P<name>.+)\[(?:(?P<one>-?\d+)|(?P<first>\d+):(?P<last>\d*))\]")
#: Letters that are not a separator, or a set of letters in brackets, which may hold one.
_PART = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")


def select(
    words: Sequence[str], hosts: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """The names of the hosts that words mean, in the inventory's order of each word.

    Raises KeyError for a word that means none, with the word; ValueError for one that is no pattern.
    """
    patterns = [one for word in words for one in split(word)]
    found: list[str] = []
    plain = [one for one in patterns if one[0] not in "&!"] or ["all"]
    for pattern in plain:
        for name in _match(pattern, hosts, groups):
            if name not in found:
                found.append(name)
    for sign, keep in (("&", True), ("!", False)):
        for pattern in patterns:
            if pattern[0] == sign and len(pattern) > 1:
                those = set(_match(pattern[1:], hosts, groups))
                found = [name for name in found if (name in those) == keep]
    return tuple(found)


def split(word: str) -> list[str]:
    """The single patterns of a word, which commas part, or else colons, unless it is an IPv6 address."""
    if "," in word:
        parts = word.split(",")
    elif word.count(":") > 1 and re.fullmatch(r"[0-9A-Fa-f:.]+", word):
        parts = [word]
    else:
        parts = _PART.findall(word)
    return [part.strip() for part in parts if part.strip()]


def _match(pattern: str, hosts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The hosts of one pattern without a sign."""
    if pattern in hosts:
        return [pattern]
    found = None if pattern[0] == "~" else _SUBSCRIPT.fullmatch(pattern)
    members = _named(found["name"] if found else pattern, hosts, groups)
    if found and members:
        if found["one"]:
            members = (
                [members[int(found["one"])]] if -len(members) <= int(found["one"]) < len(members) else []
            )
        else:
            members = members[int(found["first"]) : int(found["last"]) + 1 if found["last"] else None]
    if not members and pattern not in (*groups, "all"):
        raise KeyError(pattern)
    return members


def _named(pattern: str, hosts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    try:
        expression = re.compile(pattern[1:] if pattern[0] == "~" else translate(pattern))
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error}") from None
    chosen = [name for name in groups if expression.match(name)]
    found = [host for name in chosen for host in groups[name]]
    if not chosen or pattern[0] == "~" or any(letter in pattern for letter in ".?*["):
        found += [host for host in hosts if expression.match(host)]
    return list(dict.fromkeys(found))
