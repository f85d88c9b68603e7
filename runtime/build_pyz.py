"""Packs ``sdops_runtime`` into one file, ``sdops-runtime.pyz``: what the role ``runtime`` copies to a host.

Reproducible: the same sources give the same bytes from any Python from 3.9 on,
so that a digest tells what runs where. Stored and not compressed (compressors
differ between Pythons), one fixed time, sorted names, one mode for all.
Standard library only. ``python runtime/build_pyz.py [OUT]`` prints JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "sdops_runtime"
OUT = PACKAGE.parent.parent / "dist" / "sdops-runtime.pyz"

#: What belongs to the package. Anything else in the folder is an editor's, or Python's cache.
SUFFIXES = (".py", ".json", ".txt")
#: The first moment that a zip file can name.
TIME = (1980, 1, 1, 0, 0, 0)

SHEBANG = b"#!/usr/bin/env python3\n"
#: Without annotations and the like, so that an older Python says this and no SyntaxError.
MAIN = b"""import sys
if sys.version_info < (3, 9):
    sys.exit("sdops-runtime needs Python 3.9 or later; this is " + sys.version.split()[0])
from sdops_runtime.command import main
sys.exit(main())
"""


def members() -> dict[str, bytes]:
    """The archive's files by name."""
    found = {"__main__.py": MAIN}
    for path in PACKAGE.rglob("*"):
        hidden = any(
            part.startswith(".") or part == "__pycache__" for part in path.parts[len(PACKAGE.parts) :]
        )
        if path.is_file() and path.suffix in SUFFIXES and not hidden:
            found[path.relative_to(PACKAGE.parent).as_posix()] = path.read_bytes()
    return found


def pack() -> bytes:
    """The archive's bytes."""
    out = io.BytesIO()
    out.write(SHEBANG)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(members().items()):
            entry = zipfile.ZipInfo(name, TIME)
            entry.create_system = 3  # Unix, on whatever system it is built
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return out.getvalue()


def write(path: Path) -> str:
    """Writes the archive, whole or not at all, and leaves one alone that is right; returns its SHA-256."""
    data = pack()
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        aside.write_bytes(data)
        aside.replace(path)
    return hashlib.sha256(data).hexdigest()


def main(words: list[str]) -> None:
    """Builds to the path given, or to ``dist/``; prints what was built."""
    if len(words) > 1 or words[:1] in (["-h"], ["--help"]):
        raise SystemExit(f"{__doc__}\nusage: build_pyz.py [OUT]")
    path = Path(words[0] if words else OUT).resolve()
    digest = write(path)
    # The package's own facts, from the sources that were packed.
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(PACKAGE.parent))
    import sdops_runtime
    from sdops_runtime import protocol

    built = {"path": str(path), "digest": digest, "version": sdops_runtime.__version__}
    sys.stdout.write(json.dumps({**built, "protocol": protocol.PROTOCOL}, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
