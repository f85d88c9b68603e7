"""Reads what a probe printed as lines ``name=value``. No I/O here.

What is not among the lines is unknown and not absent: a probe may have been
stopped in the middle, and says of everything that it looked for that it is not there.
"""

import re

from sdops.facts.unknown import Unknown

#: For a value that the answer should have and has not.
UNSAID = Unknown("the host's answer does not say")

_LINE = re.compile(r"([a-z][a-z0-9_]*)=(.*)")


class Lines:
    """An answer's lines, by name. A line of another form is none of the probe's, and passed over."""

    def __init__(self, text: str) -> None:
        self._found: dict[str, list[str]] = {}
        for line in text.split("\n"):
            match = _LINE.fullmatch(line.rstrip("\r"))
            if match:
                self._found.setdefault(match[1], []).append(match[2].strip())
        if not self._found:
            raise ValueError("no line of it is the probe's")

    def all(self, name: str) -> tuple[str, ...]:
        """The values of all lines of a name."""
        return tuple(self._found.get(name, ()))

    def text(self, name: str) -> str | Unknown:
        """The value of the first line of a name."""
        found = self.all(name)
        return found[0] if found else UNSAID

    def whole(self, name: str) -> int | Unknown:
        """A whole number, none below zero."""
        found = self.text(name)
        if isinstance(found, Unknown):
            return found
        return int(found) if re.fullmatch(r"[0-9]{1,18}", found) else UNSAID

    def number(self, name: str) -> float | Unknown:
        """A number, none below zero."""
        found = self.text(name)
        if isinstance(found, Unknown):
            return found
        return float(found) if re.fullmatch(r"[0-9]{1,18}(\.[0-9]*)?", found) else UNSAID

    def flag(self, name: str) -> bool | Unknown:
        """Whether something is so: ``yes`` or ``no``."""
        return {"yes": True, "no": False}.get(str(self.text(name)), UNSAID)
