"""The manifest of versions, its reader and its locks."""

import json
import pkgutil
import re

import pytest
from sdops_runtime import stack
from sdops_runtime.errors import SdopsError

MANIFEST = json.loads(pkgutil.get_data("sdops_runtime", "stack.json"))


def test_the_guides_stack_is_the_default():
    assert stack.names() == ("guide", "cu124", "cu130")
    assert stack.load() == stack.load("guide")


def test_an_unknown_stack_is_refused_with_the_known_ones():
    with pytest.raises(SdopsError) as caught:
        stack.load("cu999")
    assert (caught.value.code, caught.value.hint) == ("stack-unknown", "Use one of guide, cu124, cu130.")


@pytest.mark.parametrize("name", stack.names())
def test_every_number_says_where_it_is_from(name):
    data = MANIFEST["stacks"][name]
    entries = [data[key] for key in ("python", "cuda", "driver", "gpu")]
    entries += data["conda"]["pins"] + data["pip"]["pins"]
    assert all(len(entry["why"]) > 5 for entry in entries)


@pytest.mark.parametrize(
    ("name", "gpu", "capability", "runs"),
    [
        ("guide", "A100", "8.0", True),
        ("guide", "A40", "8.6", True),
        ("guide", "L40S", "8.9", True),
        ("guide", "T4", "7.5", True),
        ("guide", "H100", "9.0", False),
        ("guide", "B200", "10.0", False),
        ("cu124", "A100", "8.0", True),
        ("cu124", "H200", "9.0", True),
        ("cu124", "B200", "10.0", False),
        ("cu130", "H200", "9.0", True),
        ("cu130", "B300", "10.3", True),
        ("cu130", "RTX 50", "12.0", True),
        ("cu130", "V100", "7.0", False),
    ],
)
def test_which_gpu_runs_under_which_stack(name, gpu, capability, runs):
    assert stack.load(name).supports_gpu(capability) is runs


def test_intermediate_code_runs_on_newer_gpus_only():
    from dataclasses import replace

    one = replace(stack.load("cu124"), kernels=("8.0",), ptx=("9.0",))
    assert [one.supports_gpu(capability) for capability in ((8, 6), (8, 9), (9, 0), (10, 3), (7, 5))] == [
        True,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("name", "driver", "runs"),
    [
        ("guide", "450.80.02", True),
        ("guide", "450.51.06", False),
        ("guide", "510.85.02", True),
        ("cu124", "525.60.13", True),
        ("cu124", "525.9.99", False),
        ("cu130", "580.65.06", True),
        ("cu130", "575.57.08", False),
        ("cu130", "1000.1", True),
    ],
)
def test_which_driver_is_new_enough(name, driver, runs):
    assert stack.load(name).supports_driver(driver) is runs


def test_a_text_without_a_number_is_no_driver():
    with pytest.raises(ValueError, match="no version number"):
        stack.load().supports_driver("N/A")


@pytest.mark.parametrize("name", stack.names())
def test_installed_versions_tell_their_stack(name):
    one = stack.load(name)
    versions = {package: one.pin(package) for package in ("torch", "diffusers", "transformers")}
    assert stack.identify(versions) == name
    assert stack.identify({**versions, "torch": versions["torch"] + "+cpu"}) == name
    assert stack.identify({**versions, "torch": "none"}) is None
    del versions["diffusers"]
    assert stack.identify(versions) is None


LOCKS = [(name, with_gpu) for name in stack.names() for with_gpu in (True, False)]


@pytest.mark.parametrize(("name", "with_gpu"), LOCKS)
def test_a_lock_holds_every_pin_with_its_version(name, with_gpu):
    one = stack.load(name)
    text = one.lock_text(with_gpu)
    locked = {entry.lower() for entry in re.findall(r"^(\S+==\S+)", text, re.MULTILINE)}
    assert {requirement.lower() for requirement in one.requirements(with_gpu)} <= locked


@pytest.mark.parametrize(("name", "with_gpu"), LOCKS)
def test_a_lock_is_hashes_and_nothing_of_the_machine_it_was_made_on(name, with_gpu):
    text = stack.load(name).lock_text(with_gpu)
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 15
    for entry in entries:
        assert re.fullmatch(
            r"[a-z0-9._-]+==[0-9][0-9a-z.]*( ;[^\n]*)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n", entry
        )


def test_the_fleets_lock_holds_its_pins_for_all_pythons():
    text = pkgutil.get_data("sdops_runtime", f"locks/{stack.fleet().lock}").decode()
    assert all(f"\n{pin.name}=={pin.version} \\\n" in "\n" + text for pin in stack.fleet().pins)
    assert "python_full_version < '3.10'" in text


def test_the_guides_torch_is_condas_on_a_gpu_host():
    guide = stack.load("guide")
    assert "\ntorch==" not in "\n" + guide.lock_text()
    assert "\ntorch==" in "\n" + guide.lock_text(with_gpu=False)


def test_constraints_are_the_locks_versions():
    found = stack.load("cu130").constraints()
    assert "torch==" + stack.load("cu130").pin("torch") in found
    assert all(re.fullmatch(r"\S+==[0-9][^+\s]*", line) for line in found)


def test_the_reader_answers_on_the_command_line(capsys):
    stack.main(["names"])
    assert capsys.readouterr().out == "guide\ncu124\ncu130\n"
    stack.main(["requirements", "guide"])
    assert capsys.readouterr().out.splitlines() == list(stack.load("guide").requirements())
    with pytest.raises(SystemExit, match="usage"):
        stack.main(["requirements"])
