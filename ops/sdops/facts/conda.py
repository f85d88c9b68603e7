"""Where conda is, its version, channels and terms of service. No I/O here."""

import re
from dataclasses import dataclass

from sdops.facts.lines import UNSAID, Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Settings:
    """One .condarc: its path, its channels (None: it names none), and whether it accepts terms for itself."""

    path: str
    channels: tuple[str, ...] | None = None
    accepts: bool = False


@dataclass(frozen=True)
class Conda:
    """conda's installation.

    place: what the prefix leads to, "" for nowhere. complete: whether its
    installer came to its end. owner: of the prefix. version: conda's own.
    asks_terms: whether it is one that asks for terms of service to be
    accepted. accepted: whether any were. shells: the account's files that
    speak of conda.
    """

    place: str | Unknown = UNSAID
    program: bool | Unknown = UNSAID
    complete: bool | Unknown = UNSAID
    owner: str | Unknown = UNSAID
    version: str | Unknown = UNSAID
    asks_terms: bool = False
    accepted: bool = False
    settings: tuple[Settings, ...] = ()
    shells: tuple[str, ...] = ()

    @property
    def uses_defaults(self) -> bool:
        """Whether conda's commands would look into Anaconda's own channels, which have terms of service."""
        named = [one.channels for one in self.settings if one.channels is not None]
        return not named or any("defaults" in channels for channels in named)


def parse(output: Output, wanted: Wanted) -> Conda:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    packages = lines.all("package")
    own = [found[1] for one in packages if (found := re.fullmatch(r"conda-(\d[\d.]*)-.*\.json", one))]
    return Conda(
        place=lines.text("place"),
        program=lines.flag("program"),
        complete=lines.flag("history"),
        owner=lines.text("owner"),
        version=own[0] if own else UNSAID,
        asks_terms=any("anaconda-tos" in one for one in packages),
        accepted=bool(lines.all("accepted")),
        settings=_settings(output.text),
        shells=lines.all("shell"),
    )


def _settings(text: str) -> tuple[Settings, ...]:
    found: list[Settings] = []
    path = ""
    rows: list[str] = []
    for line in [*text.splitlines(), "file="]:
        if line.startswith("file="):
            if path:
                found.append(Settings(path, _channels(rows), any(map(_accepts, rows))))
            path, rows = line[len("file=") :], []
        elif line.startswith("line="):
            rows.append(line[len("line=") :])
    return tuple(found)


def _accepts(row: str) -> bool:
    return bool(re.match(r"\s*auto_accept_tos:\s*(true|yes|on)\b", row, re.IGNORECASE))


def _channels(rows: list[str]) -> tuple[str, ...] | None:
    """The list of channels in either of YAML's forms."""
    found: list[str] | None = None
    inside = False
    for row in rows:
        plain = row.split(" #")[0].rstrip()
        if head := re.match(r"channels:\s*(.*)$", plain):
            found = [word.strip(" \"'") for word in head[1].strip("[]").split(",") if word.strip(" \"'")]
            inside = not head[1]
        elif inside and (item := re.match(r"\s*-\s*(.+)$", plain)):
            assert found is not None
            found.append(item[1].strip(" \"'"))
        elif plain and not plain.lstrip().startswith("#"):
            inside = False
    return None if found is None else tuple(found)


PROBE = Probe("conda", 15, parse)
