"""Prints the path of a Python of the guide stack's version, or nothing: for the Makefile.

Looks on the PATH, then among pyenv's versions, and takes only one that runs.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

MANIFEST = Path(__file__).parent.parent / "runtime" / "sdops_runtime" / "stack.json"


def main() -> None:
    wanted = json.loads(MANIFEST.read_text())["stacks"]["guide"]["python"]["version"]
    found = shutil.which(f"python{wanted}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [found] if found else []
    candidates += [str(path / "bin" / "python") for path in sorted(pyenv.glob(f"{wanted}.*"), reverse=True)]
    for candidate in candidates:
        asked = [candidate, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        try:
            answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
        except OSError:
            continue
        if answer.returncode == 0 and answer.stdout.strip() == wanted:
            print(candidate)  # noqa: T201
            return


if __name__ == "__main__":
    main()
