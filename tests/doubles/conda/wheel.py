"""Gets wheels from the package index, once, and turns them into files of a conda package."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from .cpython import PYTHON
from .package import PLACEHOLDER, File

SCRIPT = """#!{placeholder}/bin/python
import sys
from {module} import {name}
sys.exit({name}())
"""


def fetch(requirement: str, folder: Path, *, hashes: bool = False) -> None:
    """Downloads wheels for the guests' Python: one requirement, or with hashes a whole lock file."""
    place = ["--require-hashes", "--requirement", requirement] if hashes else [requirement]
    target = ["--only-binary=:all:", "--python-version", PYTHON.removeprefix("python"), "--implementation=cp"]
    for platform in ("2_5", "2_12", "2_17", "2_27", "2_28"):
        target += ["--platform", f"manylinux_{platform}_x86_64"]
    target += [f"--platform=manylinux{year}_x86_64" for year in ("1", "2010", "2014")]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    subprocess.run([*pip, *target, "--dest", str(folder), *place], check=True, timeout=900)


def entry_points(wheel: Path) -> tuple[str, ...]:
    """Its console scripts, as conda writes them: "name = module:function"."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/entry_points.txt"):
                parser = configparser.ConfigParser()
                parser.optionxform = str  # type: ignore[assignment,method-assign]
                parser.read_string(archive.read(name).decode())
                if parser.has_section("console_scripts"):
                    return tuple(f"{key} = {value}" for key, value in parser.items("console_scripts"))
    return ()


def files(wheel: Path, *, noarch: bool) -> dict[str, File]:
    """Its files where a conda package has them; with noarch conda finds the place itself.

    The scripts of a noarch package are made by conda, from its entry points.
    """
    base = "site-packages" if noarch else f"lib/{PYTHON}/site-packages"
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.is_dir() and ".data/" not in member.filename:
                mode = 0o775 if (member.external_attr >> 16) & 0o111 else 0o664
                found[f"{base}/{member.filename}"] = File(archive.read(member), mode)
                if member.filename.endswith(".dist-info/METADATA"):
                    found[f"{base}/{Path(member.filename).parent}/INSTALLER"] = File(b"conda\n")
    for point in () if noarch else entry_points(wheel):
        name, module, function = re.split(r"\s*[=:]\s*", point)
        text = SCRIPT.format(placeholder=PLACEHOLDER, module=module, name=function)
        found[f"bin/{name}"] = File(text.encode(), 0o775, prefixed=True)
    return found


def version(wheel: Path) -> str:
    """The version in a wheel's name."""
    return wheel.name.split("-")[1]
