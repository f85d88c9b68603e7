"""Which module may import what, and that every error code is both registered and raised."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sdops.errors import ALL_CODES
from sdops.errors import CODES as CLI_CODES

ROOT = Path(__file__).parents[2]
RUNTIME = sorted((ROOT / "runtime" / "sdops_runtime").rglob("*.py"))
OPS = sorted((ROOT / "ops" / "sdops").rglob("*.py"))


def imported(path, inside_functions=True):
    """Names of the modules that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if inside_functions else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_runtime_never_imports_the_command_line(path):
    assert not [name for name in imported(path) if re.match(r"sdops(\.|$)", name)]


@pytest.mark.parametrize("path", [*RUNTIME, *OPS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_heavy_libraries_are_imported_inside_functions(path):
    heavy = {"torch", "diffusers", "transformers", "huggingface_hub", "fabric", "paramiko", "ansible"}
    assert not heavy & {name.split(".")[0] for name in imported(path, inside_functions=False)}


@pytest.mark.parametrize("module", ["errors", "protocol", "stack", "memory", "plms"])
def test_the_ground_needs_the_standard_library_only(module):
    script = f"""
import sys
import sdops_runtime.{module}
loaded = {{name.split(".")[0] for name in sys.modules}}
print(sorted(loaded - set(sys.stdlib_module_names) - {{"sdops_runtime", "__main__", "sitecustomize"}}))
"""
    # -S: no site-packages, so that whatever is installed there cannot put itself into the list.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "runtime")},
        timeout=60,
    )
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


def raised_codes(paths):
    """Code literals handed to SdopsError, and to the functions that make one."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name == "SdopsError" and isinstance(node.args[0].value, str):
                    yield node.args[0].value


def test_every_error_code_is_registered_and_every_registered_one_raised():
    assert sorted(set(raised_codes([*RUNTIME, *OPS]))) == sorted(ALL_CODES)


def test_the_runtime_raises_none_of_the_command_lines_codes():
    assert not set(raised_codes(RUNTIME)) & set(CLI_CODES)
