"""Makes installers that look like Miniconda's: a shell script with its payload behind it.

The payload is the Python of cpython.py as the base environment, rattler, and program.py as conda.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from . import wheel
from .package import File

RATTLER = "py-rattler==0.22.0"  # the newest for the Python that all test hosts can run
SCRIPT = Path(__file__).with_name("installer.sh")
PROGRAM = Path(__file__).with_name("program.py")

CONDA = '#!/bin/sh\nexec @PREFIX@/bin/python -I @PREFIX@/lib/conda/program.py "$@"\n'

#: What Miniconda's own configuration says: a fresh one uses the channels whose terms nobody has read.
CONDARC = "channels:\n  - defaults\n"

PROFILE = """export CONDA_EXE='@PREFIX@/bin/conda'
conda() {
    case "${1-}" in
        activate | deactivate)
            __conda_script="$("$CONDA_EXE" shell.posix "$@")" || return $?
            eval "$__conda_script"
            unset __conda_script
            ;;
        *) "$CONDA_EXE" "$@" ;;
    esac
}
if [ -z "${CONDA_SHLVL+x}" ]; then
    CONDA_SHLVL=0
    export CONDA_SHLVL
    PATH="@PREFIX@/condabin${PATH:+":${PATH}"}"
    export PATH
fi
"""


def payload(python: Mapping[str, File], wheels: Path) -> bytes:
    """The archive that every installer carries."""
    if not list(wheels.glob("py_rattler-*.whl")):
        wheel.fetch(RATTLER, wheels)
    (rattler,) = wheels.glob("py_rattler-*.whl")
    files = {
        **python,
        **wheel.files(rattler, noarch=False),
        "bin/conda": File(CONDA.encode(), 0o755),
        "condabin/conda": File(CONDA.encode(), 0o755),
        "lib/conda/program.py": File(PROGRAM.read_bytes()),
        "etc/profile.d/conda.sh": File(PROFILE.encode()),
        "conda-meta/history": File(),
        ".condarc": File(CONDARC.encode()),
    }
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, file in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mode, member.size = file.mode, len(file.data)
            if file.link:
                member.type, member.linkname = tarfile.SYMTYPE, file.link
            tar.addfile(member, None if file.link else io.BytesIO(file.data))
    return raw.getvalue()


def write(version: str, archive: bytes, folder: Path) -> Path:
    """Writes the installer of a version, named like the real one, and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    installer = folder / f"Miniconda3-{version}-Linux-x86_64.sh"
    installer.write_bytes(SCRIPT.read_bytes().replace(b"@VERSION@", version.encode()) + archive)
    return installer
