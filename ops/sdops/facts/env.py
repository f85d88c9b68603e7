"""The environment of the stack: its Python, packages and hook, without starting anything. No I/O here."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdops.facts.lines import UNSAID, Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Receipt:
    """What the playbook wrote down when the environment was complete."""

    stack: str
    torch_by_pip: bool


@dataclass(frozen=True)
class Env:
    """The environment.

    kind: link (as the playbook makes it), folder, file or none. folder: where
    it really lies, "" where a link leads nowhere. receipt: None where there is
    none. python: major.minor. conda, pip: versions by package, with names in
    small letters; several versions where an installation was interrupted.
    builds: conda's builds by package. cuda: the CUDA that torch is built for,
    "" for a build without. hook, unhook: whether the files of activate.d and
    deactivate.d are there. setters: files of activate.d that touch
    LD_LIBRARY_PATH. path, path_twice: its elements after one activation and
    after two. stubs: files in the environment that would be taken for
    libcuda. shells: lines of shells' files that set LD_LIBRARY_PATH. own:
    packages in the account's home that come before the environment's.
    """

    kind: str | Unknown = UNSAID
    folder: str | Unknown = UNSAID
    receipt: Receipt | None = None
    history: bool | Unknown = UNSAID
    python: str | Unknown = UNSAID
    conda: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    builds: Mapping[str, str] = field(default_factory=dict)
    pip: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cuda: str | Unknown = UNSAID
    hook: bool | Unknown = UNSAID
    unhook: bool | Unknown = UNSAID
    setters: tuple[str, ...] = ()
    path: tuple[str, ...] | Unknown = UNSAID
    path_twice: tuple[str, ...] | Unknown = UNSAID
    stubs: tuple[str, ...] = ()
    shells: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    def version(self, package: str) -> str | None:
        """The installed version of a package, pip's before conda's; None where it is not installed."""
        for found in (self.pip.get(package), self.conda.get(package)):
            if found:
                return found[-1]
        return None


def parse(output: Output, wanted: Wanted) -> Env:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    conda, builds = _conda(lines.all("conda"))
    pip = _pip(lines.all("pip"))
    pythons = lines.all("python")
    return Env(
        kind=lines.text("kind"),
        folder=lines.text("folder"),
        receipt=_receipt(lines.text("receipt")),
        history=lines.flag("history"),
        python=pythons[0] if len(pythons) == 1 else UNSAID,
        conda=conda,
        builds=builds,
        pip=pip,
        cuda=_cuda(lines.text("cuda"), builds.get("pytorch", "")),
        hook=lines.flag("hook"),
        unhook=lines.flag("unhook"),
        setters=lines.all("setter"),
        path=_path(lines.text("path")),
        path_twice=_path(lines.text("path_twice")),
        stubs=lines.all("stub"),
        shells=lines.all("shell"),
        own=tuple(sorted(_pip(lines.all("own")))),
    )


def normal(name: str) -> str:
    """A package's name as PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _receipt(text: str | Unknown) -> Receipt | None:
    try:
        data: Any = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if not isinstance(data, dict) or not isinstance(data.get("stack"), str):
        return None
    return Receipt(data["stack"], data.get("torch_by_pip") is True)


def _conda(files: tuple[str, ...]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """From NAME-VERSION-BUILD.json: version and build hold no hyphens."""
    versions: dict[str, tuple[str, ...]] = {}
    builds = {}
    for file in files:
        name, version, build = (*file.removesuffix(".json").rsplit("-", 2), "", "")[:3]
        if build:
            versions[name.lower()] = (*versions.get(name.lower(), ()), version)
            builds[name.lower()] = build
    return versions, builds


def _pip(folders: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """From names such as some_name-1.0.dist-info and name-1.0-py3.9.egg-info."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in folders:
        if parts := re.fullmatch(r"(.+?)-(\d[^-]*)(-py\d[\d.]*)?\.(dist|egg)-info", folder):
            name = normal(parts[1])
            found[name] = (*found.get(name, ()), parts[2])
    return found


def _cuda(text: str | Unknown, build: str) -> str | Unknown:
    """As torch's own file has it, else as conda's build is called."""
    if isinstance(text, str):
        if text == "None":
            return ""
        found = re.fullmatch(r"['\"]([\d.]+)['\"]", text)
        return found[1] if found else UNSAID
    if found := re.search(r"cuda(\d+\.\d+)", build):
        return found[1]
    return "" if "cpu" in build else UNSAID


def _path(text: str | Unknown) -> tuple[str, ...] | Unknown:
    if isinstance(text, Unknown):
        return text
    return tuple(text.split(":")) if text else ()


PROBE = Probe("env", 15, parse)
