"""Versions stand once: in the stack manifest and the locks, and nowhere else."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
from sdops_runtime import stack

ROOT = Path(__file__).parents[2]
GENERATED = re.compile(r"<!-- generated:[a-z-]+ -->.*?<!-- /generated -->", re.DOTALL)
PINS = [pin for name in stack.names() for pin in (*stack.load(name).conda, *stack.load(name).pip)]
PINS += stack.fleet().pins
PACKAGES = sorted({pin.name.lower() for pin in PINS} - {"python"})
#: Versions that cannot be mistaken for anything else, in prose and comments too.
BARE = sorted({pin.version for pin in PINS if pin.version.count(".") == 2 and pin.name != "python"})

#: A package, what may stand between it and its version, and the version: after a comparison
#: any number is one ("<2"), in prose only one with a point in it ("50 steps" is none).
NAMED = re.compile(
    r"\b({names})(?:\[[^\]\n]*\])?(?:'s\b)?[\"'`*]*\s*"
    r"(?:(?:[=<>~!]=|[<>]|=)\s*[\"'`v]*\d|(?:[@:,(-]|version)?\s*[\"'`v]*\d+\.\d+)".format(
        names="|".join(re.escape(name).replace(r"\-", "[-_]") for name in PACKAGES)
    ),
    re.IGNORECASE,
)
UNNAMED = re.compile(r"(?<![\d.])({})(?!\d|\.\d)".format("|".join(map(re.escape, BARE))))


def strays(text):
    """Version numbers of the manifest's packages in a text."""
    return [found[0] for pattern in (NAMED, UNNAMED) for found in pattern.finditer(text)]


def files():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        where_they_belong = name == "runtime/sdops_runtime/stack.json" or name.startswith(
            "runtime/sdops_runtime/locks/"
        )
        if path.is_file() and path.suffix not in (".png", ".svg") and not where_they_belong:
            yield path


def test_no_version_stands_outside_the_manifest():
    found = {
        str(path.relative_to(ROOT)): strays(
            GENERATED.sub("", path.read_text()) if path.name == "README.md" else path.read_text()
        )
        for path in files()
    }
    assert {name: numbers for name, numbers in found.items() if numbers} == {}


@pytest.mark.parametrize(
    "text",
    [
        "torch==" + "9.9.9",
        "pytorch=" + "9.9",
        "diffusers " + "9.9.9",
        "Pillow>=" + "9.1",
        "`transformers` " + "9.9",
        "numpy<" + "2.0",
        "numpy<" + "2",
        "torch>=" + "2",
        "torch[opt]==" + "9.9",
        "**torch** (" + "9.9)",
        "torch's " + "9.9",
        "torch version " + "9.9",
        "huggingface_hub-" + "9.1.0",
        '"diffusers": "' + '9.9"',
        "since " + stack.load("guide").pin("diffusers") + " swallows",
        "It came with " + stack.load("guide").pin("diffusers") + ".",
    ],
)
def test_a_stray_version_is_found(text):
    assert strays(text)


@pytest.mark.parametrize(
    "text",
    ["torch is imported inside", "Python 3.9", "strength 0.8", "diffusers, 50 steps", "1.2 GB of torch"],
)
def test_other_numbers_are_left_alone(text):
    assert not strays(text)


def test_the_extra_for_the_local_host_is_the_manifests_stack():
    spec = importlib.util.spec_from_file_location("extras_hook", ROOT / "runtime" / "extras_hook.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    metadata = {}
    hook.ExtrasHook(str(ROOT), {}).update(metadata)
    assert metadata == {"optional-dependencies": {"local": list(stack.load("cu130").requirements())}}
