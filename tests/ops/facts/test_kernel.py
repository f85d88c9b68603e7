"""torch is asked for real, under the libraries that the tests run with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sdops.facts import kernel, script
from sdops.facts.kernel import Kernel
from sdops.facts.probe import Output
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

GUIDE = Path(__file__).parents[3] / ".venv-guide" / "bin" / "python"


def ask(wanted):
    word = script.nonce()
    words = script.compose([kernel.PROBE], wanted, word)
    ran = subprocess.run(["sh", "-s"], input=words.encode(), capture_output=True, timeout=150)
    outputs, _ = script.take_apart(ran.stdout, word)
    return kernel.PROBE.read(outputs["kernel"], wanted)


@pytest.mark.parametrize("python", [sys.executable, str(GUIDE)], ids=["today", "guide"])
def test_a_torch_without_a_gpu_says_so(python):
    if not Path(python).exists():
        pytest.skip("no Python with the guide's libraries is installed here")
    found = ask(Wanted(user="root", python=python))
    assert found.errors == {}
    assert {"torch", "numpy", "diffusers", "transformers", "accelerate"} <= set(found.versions)
    assert found.available is False
    assert isinstance(found.computes, Unknown)


def test_an_error_of_the_import_is_told_in_its_own_words(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libcupti.so.11.6:\\n no such file')\n")
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    found = ask(Wanted(user="root", python=str(wrapper)))
    assert found.errors == {"torch": "ImportError: libcupti.so.11.6: no such file"}


def test_a_python_that_does_not_start_is_unknown_and_one_that_dies_is_an_error():
    assert isinstance(ask(Wanted(user="root", python="/nowhere/python")), Unknown)
    found = kernel.PROBE.read(Output("Segmentation fault", 139), Wanted())
    assert found == Kernel(errors={"torch": "Python was ended by signal 11"})


def test_what_the_libraries_print_does_no_harm():
    said = {"sdops": 1, "python": "3.9", "path": "", "versions": {"torch": "1"}, "errors": {}, "sum": 8.0}
    text = f'A warning\n{{"sdops": 2}}\n{json.dumps(said)}\nbye'
    assert kernel.PROBE.read(Output(text), Wanted()).computes is True
    assert kernel.PROBE.read(Output("nothing of ours"), Wanted()) == Unknown(
        "the environment's Python does not start (nothing of ours)"
    )


def test_what_takes_too_long_is_unknown():
    assert kernel.PROBE.read(Output("so far", 124), Wanted()) == Unknown("torch was not there within 100 s")
