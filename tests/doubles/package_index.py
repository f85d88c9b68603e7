"""A package index with wheels of our own making or out of a folder, for pip on the test hosts. Python 3.9.

Stands for PyPI where its packages would only cost time, or where it has to hold what it never would: a
wheel that is not the one whose hash was written down. Plain files, to be served by any web server:
pip's simple index (https://peps.python.org/pep-0503/).
"""

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Optional


def make_wheel(folder: Path, name: str, version: str, modules: Optional[Mapping[str, str]] = None) -> Path:
    """Writes a wheel of these modules, or of one that knows its version and no more; returns its path."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    texts = {module: f"version = {version!r}\n"} if modules is None else modules
    files = {
        **{f"{name}.py": text for name, text in texts.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: sdops\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in [*files.items(), (f"{info}/RECORD", record)]:
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


def lock(*wheels: Path) -> str:
    """pip's lock for wheels, in the form that ``make locks`` writes."""
    lines = []
    for wheel in wheels:
        module, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{module.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n")
    return "".join(lines)


def write(folder: Path) -> Path:
    """Writes the index of a folder's wheels into its folder ``simple`` and returns that."""
    simple = folder / "simple"
    by_project = {}
    for wheel in sorted(folder.glob("*.whl")):
        project = re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
        by_project.setdefault(project, []).append(wheel.name)
    for project, names in by_project.items():
        page = simple / project / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("".join(f'<a href="../../{name}">{name}</a>\n' for name in names))
    return simple
