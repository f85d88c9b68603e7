"""The command line starts light: what it must not import to say what it can do."""

import json
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


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["plain", "json"])
def test_ctrl_c_while_it_loads_is_no_traceback(words):
    script = """
import sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "sdops.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
from sdops.start import main
main()
"""
    ran = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 130
    if words:
        assert (json.loads(ran.stdout)["error"]["code"], ran.stderr) == ("interrupted", "")
    else:
        assert (ran.stdout, ran.stderr) == ("", "Error: Interrupted.\n")
