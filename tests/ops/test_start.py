"""The command line starts light: what it must not import to say what it can do."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "huggingface_hub",
    "numpy",
    "fabric",
    "paramiko",
    "ansible",
    "PIL",
)

SCRIPT = """
import sys
sys.argv = ["sdops", *{words!r}]
from sdops.cli import main
try:
    main()
except SystemExit as ended:
    code = ended.code
heavy = [name for name in {heavy!r} if name in sys.modules]
sys.exit(f"loaded: {{heavy}}" if heavy else code)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--help"], 0), (["run", "--help"], 0), (["--version"], 0), ([], 2), (["run", "none.jpg", "a hat"], 2)],
    ids=["help", "help of run", "version", "nothing", "wrong use"],
)
def test_nothing_heavy_is_loaded(words, code):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(words=words, heavy=HEAVY)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, "loaded: " in ran.stderr) == (code, False), ran.stderr
