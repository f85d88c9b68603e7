"""A CPython that runs from any prefix, on every Debian that the project supports: Debian 11's own.

It was linked against the oldest C library among the test hosts, and is the guide's Python. A few lines of
its standard library, where Debian installs packages elsewhere than CPython does, are put right.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from hosts import registries
from hosts.machine import UnavailableError

from .package import File

RELEASE = "bullseye"
PYTHON = "python3.9"
DEBIAN_PACKAGES = f"{PYTHON},python3-distutils,python3-lib2to3"

#: Modules that need more libraries than they are worth here, and what only developers use.
LEFT_OUT = re.compile(r"/(?:__pycache__|test|idlelib|turtledemo|sitecustomize\.py)(?:/|$)|/(?:_dbm|nis)\.")

#: What every Debian has, since it is the C library itself.
OF_THE_SYSTEM = re.compile(r"lib(?:c|dl|m|pthread|rt|util)\.so\.\d$")

#: Where the libraries go: out of lib/, which LD_LIBRARY_PATH puts before the system's own ones.
LIBRARIES = f"lib/{PYTHON}/libraries"

#: Debian's ways of its own, and CPython's: file, found, put in its place.
MENDED = (
    ("site.py", '"dist-packages"', '"site-packages"'),
    ("site.py", '"local/lib"', '"lib"'),
    ("distutils/command/install.py", 'select_scheme("unix_local")', 'select_scheme("unix_prefix")'),
    ("distutils/sysconfig.py", "is_default_prefix = not prefix or", "is_default_prefix = False and"),
)


def extract(folder: Path) -> Path:
    """Unpacks Debian's packages of it into a folder, as files only, and returns the folder.

    Raises UnavailableError where apt's mirror does not have the release.
    """
    archive = registries.mirrors()
    if not archive:
        raise UnavailableError("apt knows no Debian mirror here: run tests/hosts/prepare.sh")
    sources = "\n".join(registries.sources(RELEASE, archive))
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", f"--include={DEBIAN_PACKAGES}"]
    subprocess.run([*command, RELEASE, str(folder), "-"], input=sources, text=True, check=True, timeout=300)
    return folder


def version(root: Path) -> str:
    """The full version of the Python in an unpacked tree."""
    found = re.search(rb"\0(3\.9\.\d+)\+?\0", (root / "usr/bin" / PYTHON).read_bytes())
    assert found
    return found[1].decode()


def files(root: Path, patchelf: Path) -> dict[str, File]:
    """The files of a conda package of it, from an unpacked tree (which is changed)."""
    binary = root / "usr/bin" / PYTHON
    standard = root / "usr/lib" / PYTHON
    found = {f"bin/{PYTHON}": binary, **_standard_library(standard)}
    binaries = [path for path in found.values() if path is binary or path.suffix == ".so"]
    needed = _libraries(root, binaries, patchelf)
    found |= {f"{LIBRARIES}/{name}": path for name, path in needed.items()}
    for name, path in found.items():
        if path is binary or ".so" in path.name:
            steps = os.path.relpath(LIBRARIES, Path(name).parent)
            command = [str(patchelf), "--force-rpath", "--set-rpath", f"$ORIGIN/{steps}", str(path)]
            subprocess.run(command, check=True, capture_output=True)
    for name, old, new in MENDED:
        text = (standard / name).read_text()
        assert old in text, (name, old)
        (standard / name).write_text(text.replace(old, new))
    modes = {name: 0o775 if path is binary else 0o664 for name, path in found.items()}
    packed = {name: File(path.read_bytes(), modes[name]) for name, path in found.items()}
    links = {f"bin/{name}": File(link=PYTHON) for name in ("python", "python3")}
    return {**packed, **links, f"lib/{PYTHON}/site-packages/README.txt": File(b"for packages\n")}


def _standard_library(standard: Path) -> dict[str, Path]:
    listed = (path for path in sorted(standard.rglob("*")) if not path.is_dir())
    named = ((f"lib/{PYTHON}/{path.relative_to(standard)}", path) for path in listed)
    return {name: path for name, path in named if not LEFT_OUT.search(name)}


def _libraries(root: Path, binaries: list[Path], patchelf: Path) -> dict[str, Path]:
    """The shared libraries that binaries need, and those that these need, by name."""
    found: dict[str, Path] = {}
    left = list(binaries)
    while left:
        command = [str(patchelf), "--print-needed", str(left.pop())]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        for name in told.stdout.split():
            if name not in found and not OF_THE_SYSTEM.match(name) and not name.startswith("ld-linux"):
                place = next(root / at / name for at in _PLACES if (root / at / name).exists())
                found[name] = place.resolve()
                left.append(found[name])
    return found


_PLACES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
