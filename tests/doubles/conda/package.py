"""Writes conda packages (.tar.bz2) and their channel's index, in the form that conda documents.

https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Stands in packed text files for the prefix that they are installed into; conda puts that in.
PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"

#: August 2022 in seconds: packages get one time, so that the same content is the same bytes.
MADE = 1660000000

#: Quick is enough: the packages travel over a virtual cable.
COMPRESSION = 1


@dataclass(frozen=True)
class File:
    """A file of a package. link: target of a symbolic link. prefixed: it holds PLACEHOLDER."""

    data: bytes = b""
    mode: int = 0o664
    link: str | None = None
    prefixed: bool = False


@dataclass(frozen=True)
class Package:
    """A package as its index.json describes it. noarch: "python" for pure Python packages."""

    name: str
    version: str
    build: str
    depends: tuple[str, ...] = ()
    files: Mapping[str, File] = field(default_factory=dict)
    noarch: str | None = None
    entry_points: tuple[str, ...] = ()

    @property
    def subdir(self) -> str:
        """The folder of the channel that it belongs to."""
        return "noarch" if self.noarch else "linux-64"

    @property
    def file_name(self) -> str:
        """What conda calls its archive."""
        return f"{self.name}-{self.version}-{self.build}.tar.bz2"

    def index(self) -> dict[str, Any]:
        """Its index.json, which the channel's index repeats."""
        number = self.build.rsplit("_", 1)[-1]
        found: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": int(number) if number.isdigit() else 0,
            "depends": list(self.depends),
            "subdir": self.subdir,
            "timestamp": MADE * 1000,
        }
        if self.noarch:
            return {**found, "noarch": self.noarch}
        return {**found, "arch": "x86_64", "platform": "linux"}


def write(package: Package, channel: Path) -> Path:
    """Writes a package's archive into a channel and returns its path."""
    info = {
        "index.json": package.index(),
        "paths.json": {
            "paths": [_path(name, file) for name, file in sorted(package.files.items())],
            "paths_version": 1,
        },
        "about.json": {"summary": "for tests without the real channels"},
    }
    if package.noarch:
        python = {"type": package.noarch, "entry_points": list(package.entry_points)}
        info["link.json"] = {"noarch": python, "package_metadata_version": 1}
    archive = channel / package.subdir / package.file_name
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:bz2", compresslevel=COMPRESSION) as tar:
        for name, content in sorted(info.items()):
            _add(tar, f"info/{name}", File(json.dumps(content, indent=1).encode()))
        _add(tar, "info/files", File("".join(f"{name}\n" for name in sorted(package.files)).encode()))
        for name, file in sorted(package.files.items()):
            _add(tar, name, file)
    return archive


def index(channel: Path) -> None:
    """Writes the repodata.json of each folder of a channel from the packages that lie there."""
    for subdir in ("linux-64", "noarch"):
        folder = channel / subdir
        folder.mkdir(parents=True, exist_ok=True)
        packages = {}
        for archive in sorted(folder.glob("*.tar.bz2")):
            data = archive.read_bytes()
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:  # the index is the first file but one
                described = tar.extractfile("info/index.json")
                assert described
                packages[archive.name] = {
                    **json.load(described),
                    "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                }
        whole = {
            "info": {"subdir": subdir},
            "packages": packages,
            "packages.conda": {},
            "repodata_version": 1,
        }
        (folder / "repodata.json").write_text(json.dumps(whole, indent=1, sort_keys=True))


def _path(name: str, file: File) -> dict[str, Any]:
    """A file's entry in paths.json."""
    found: dict[str, Any] = {
        "_path": name,
        "path_type": "softlink" if file.link else "hardlink",
        "sha256": hashlib.sha256(file.data).hexdigest(),
        "size_in_bytes": len(file.data),
    }
    if file.prefixed:
        found |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
    return found


def _add(tar: tarfile.TarFile, name: str, file: File) -> None:
    member = tarfile.TarInfo(name)
    member.mtime, member.mode = MADE, file.mode
    if file.link:
        member.type, member.linkname = tarfile.SYMTYPE, file.link
        tar.addfile(member)
    else:
        member.size = len(file.data)
        tar.addfile(member, io.BytesIO(file.data))
