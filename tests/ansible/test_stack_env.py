"""The role stack_env, on real hosts, with small stacks from look-alike channels and a small package index."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles import package_index
from doubles.conda import mirror
from fleets import Fleet, converge, of_each_release
from groundwork import account, conda
from hosts.host import Host
from hosts.lab import Lab, Service
from plays import ANSIBLE, Play
from sdops_runtime import stack

from . import small_stacks

pytestmark = pytest.mark.hosts

ENVS = "/home/sdops/.conda/envs"
GUIDE = stack.load("guide")


@pytest.fixture
def play(lab: Lab, tmp_path: Path, small: dict[str, object]) -> Play:
    """The role with a small stack."""
    return Play(lab, tmp_path, "stack_env", variables=small)


def login(host: Host, script: str) -> list[str]:
    """Lines that a script prints in the account's login shell."""
    return host.run(["bash", "-lc", script], user="sdops").stdout.splitlines()


def probes(host: Host) -> list[str]:
    """Versions of the packages that tell the small stacks apart: conda's, pip's."""
    seen = "import sys, sdops_probe; print(open(sys.prefix + '/share/probe.txt').read(), sdops_probe.version)"
    return login(host, f'conda activate env1 && python -c "{seen}"')[0].split()


def environments(host: Host) -> dict[str, str]:
    """The environments' folders, each with the stack that its receipt names; env1 as what it leads to."""
    found = {}
    for path in sorted((host.root / ENVS.lstrip("/")).iterdir()):
        if path.is_symlink():
            found[path.name] = str(path.readlink())
        else:
            receipt = path / ".sdops.json"
            found[path.name] = json.loads(receipt.read_text())["stack"] if receipt.exists() else "incomplete"
    return found


@pytest.fixture(scope="module")
def fleet(
    lab: Lab,
    tmp_path_factory: pytest.TempPathFactory,
    small: dict[str, object],
    made: mirror.Mirror,
    served: Service,
) -> Iterator[Fleet]:
    play = Play(lab, tmp_path_factory.mktemp("fleet"), "stack_env", variables=small)
    with of_each_release(lab, packages=False) as hosts:
        everyone = tuple(hosts.values())
        assert play.run(*everyone, check=True).changed == ()  # neither account nor conda yet
        for host in everyone:
            conda(host, made, served)
        yield converge(play, hosts)


def test_hosts_converge_and_stay(fleet: Fleet) -> None:
    assert fleet.touched == ()
    for host in fleet.hosts.values():
        assert "Create the environment with conda's packages" in fleet.foretold.on(host).changed
    fleet.settled()


def test_the_environment_is_what_the_stack_says(provisioned: Host) -> None:
    host = provisioned
    assert probes(host) == ["1.0", "1.0"]
    assert host.run(["find", ENVS, "-not", "-user", "sdops"]).stdout == ""
    libraries = f"{ENVS}/env1/lib"
    assert login(host, "conda activate env1; echo $LD_LIBRARY_PATH") == [libraries]
    interactive = host.run(["bash", "-ic", "conda activate env1; echo $LD_LIBRARY_PATH"], user="sdops")
    assert interactive.stdout == f"{libraries}\n"
    told = "import torch; print(torch.version.cuda)"
    assert login(host, f"conda activate env1; python -c '{told}'") == [GUIDE.cuda]


HOOK = "CONDA_PREFIX=/env; . /opt/hooks/activate.sh; "
UNHOOK = ". /opt/hooks/deactivate.sh; "
SHOW = "printf '%s\\n' \"${LD_LIBRARY_PATH-unset}\"; "


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("script", "shown"),
    [
        (HOOK + SHOW + UNHOOK + SHOW, ["/env/lib", "unset"]),
        ("export LD_LIBRARY_PATH=; " + HOOK + SHOW + UNHOOK + SHOW, ["/env/lib", "unset"]),
        ("export LD_LIBRARY_PATH=/a:/b; " + HOOK + SHOW + UNHOOK + SHOW, ["/a:/b:/env/lib", "/a:/b"]),
        (HOOK + HOOK + SHOW + UNHOOK + SHOW + UNHOOK + SHOW, ["/env/lib", "unset", "unset"]),
        (
            "LD_LIBRARY_PATH=/a; " + HOOK + "LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/b; " + UNHOOK + SHOW,
            ["/a:/b"],
        ),
        (HOOK + "CONDA_PREFIX=/two; . /opt/hooks/activate.sh; " + UNHOOK + SHOW, ["/env/lib"]),
        (HOOK + "sh -c 'echo $LD_LIBRARY_PATH'", ["/env/lib"]),
    ],
    ids=["unset", "empty", "set", "twice", "changed meanwhile", "stacked", "exported"],
)
def test_the_hooks_are_right_under_all_circumstances(
    hooked: Host, shell: str, script: str, shown: list[str]
) -> None:
    assert hooked.run([shell, "-euc", script]).stdout.splitlines() == shown


@pytest.fixture(scope="module")
def hooked(lab: Lab) -> Iterator[Host]:
    """A host with the hooks' scripts."""
    host = lab.host()
    for name in ("activate.sh", "deactivate.sh"):
        host.put(f"/opt/hooks/{name}", (ANSIBLE / "roles/stack_env/files" / name).read_text())
    yield host
    lab.remove(host)


def test_another_stack_is_built_beside_and_takes_the_place_when_it_works(play: Play, ready: Host) -> None:
    play.run(ready)
    (alpha,) = environments(ready).keys() - {"env1"}
    refused = play.run(ready, ok=False, sdops_stack="gamma")
    assert "is built but does not work: torch" in refused.message
    assert "The one that was in use before stays." in refused.message
    assert probes(ready) == ["1.0", "1.0"]
    play.run(ready, sdops_stack="beta")
    assert probes(ready) == ["2.0", "2.0"]
    found = environments(ready)
    assert sorted(found.values()) == sorted(["alpha", "beta", found["env1"]])
    assert play.run(ready, sdops_stack="beta").changed == ()
    back = play.run(ready)
    assert back.changed == ("Put the environment in place",)
    assert environments(ready)["env1"] == alpha
    removed = play.run(ready, stack_env_keep_previous=False)
    assert removed.changed == ("Remove the environment that was used before",)
    assert environments(ready) == {alpha: "alpha", "env1": alpha}


def test_what_was_interrupted_is_built_anew(play: Play, ready: Host) -> None:
    play.run(ready)
    (alpha,) = environments(ready).keys() - {"env1"}
    ready.run(["rm", f"{ENVS}/{alpha}/.sdops.json"])
    ready.run(["rm", "-r", f"{ENVS}/{alpha}/lib/python{GUIDE.python}/site-packages/pip"])
    ready.run(["mkdir", f"{ENVS}/env1-beta-01234567"], user="sdops")
    play.run(ready)
    assert environments(ready) == {alpha: "alpha", "env1": alpha}
    assert probes(ready) == ["1.0", "1.0"]
    assert play.run(ready).changed == ()


def test_a_gpu_that_is_expected_has_to_compute(play: Play, ready: Host) -> None:
    absent = play.run(ready, ok=False, sdops_expect_gpu=True)
    assert "torch sees no GPU." in absent.message
    ready.put("/usr/local/share/fake-torch-gpu.json", '{"capability": [9, 0]}')
    foreign = play.run(ready, ok=False, sdops_expect_gpu=True)
    assert "torch does not compute on NVIDIA test GPU (9.0): CUDA error: no kernel image" in foreign.message
    assert "It has kernels for sm_37" in foreign.message
    ready.put("/usr/local/share/fake-torch-gpu.json", '{"capability": [8, 0]}')
    assert play.run(ready, sdops_expect_gpu=True).changed == ("Put the environment in place",)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            {"sdops_stack": "omega"},
            'There is no stack "omega". Set sdops_stack to one of alpha, beta, gamma.',
        ),
        ({"sdops_env": "../x"}, '"../x" can be no environment\'s name. Set sdops_env'),
        ({"sdops_env": "base"}, '"base" can be no environment\'s name. Set sdops_env'),
        (
            {"sdops_expect_gpu": True, "stack_env_torch_by_pip": True},
            "Set stack_env_torch_by_pip to false, or sdops_expect_gpu to false",
        ),
        ({"stack_env_lock": __file__}, "is no explicit list of conda packages with hashes."),
        ({"sdops_user": "nobody-here"}, "There is no account nobody-here on "),
        ({}, "There is no conda at /home/sdops/miniconda3 on "),
    ],
    ids=["stack", "name", "base", "gpu", "lock", "account", "conda"],
)
def test_wrong_input_is_refused(play: Play, bare: Host, setting: dict[str, object], said: str) -> None:
    outcome = play.run(bare, ok=False, **setting)
    assert said in outcome.message
    assert outcome.changed == ()


@pytest.fixture(scope="module")
def bare(lab: Lab) -> Iterator[Host]:
    """A host with the account and nothing else."""
    host = lab.host()
    account(host)
    yield host
    lab.remove(host)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"sdops_conda_channel_alias": "http://198.18.0.1:9/x"}, "set sdops_conda_channel_alias to a mirror"),
        ({"sdops_pip_index_url": "http://198.18.0.1:9/simple"}, "set sdops_pip_index_url to a mirror"),
    ],
    ids=["conda", "pip"],
)
def test_a_source_that_is_not_reached_is_named(
    play: Play, ready: Host, setting: dict[str, str], said: str
) -> None:
    assert said in play.run(ready, ok=False, **setting).message
    assert "env1" not in environments(ready)


def test_a_wheel_that_is_not_the_locked_one_is_refused(
    play: Play, ready: Host, stacks: small_stacks.Stacks, tmp_path: Path
) -> None:
    altered = tmp_path / "sources"
    (altered / "locks").mkdir(parents=True)
    (altered / "stack.json").write_bytes((stacks.folder / "stack.json").read_bytes())
    text = (stacks.folder / "locks/alpha.txt").read_text()
    (altered / "locks/alpha.txt").write_text(text[:-20] + "0" * 19 + "\n")
    refused = play.run(ready, ok=False, __stack_env_sources=str(altered))
    assert "pip could not install the packages of alpha" in refused.message
    assert "env1" not in environments(ready)


def test_wheels_larger_than_tmp_are_installed(
    lab: Lab, play: Play, ready: Host, stacks: small_stacks.Stacks, tmp_path: Path
) -> None:
    """Debian 13 has /tmp in memory."""
    altered, index = tmp_path / "sources", tmp_path / "index"
    (altered / "locks").mkdir(parents=True)
    index.mkdir()
    (altered / "stack.json").write_bytes((stacks.folder / "stack.json").read_bytes())
    text = f"version = '1.0'\nrest = '{'x' * 8_000_000}'\n"
    wheel = package_index.make_wheel(index, small_stacks.MODULE, "1.0", {"sdops_probe": text})
    (altered / "locks/alpha.txt").write_text(package_index.lock(wheel))
    package_index.write(index)
    serve = [sys.executable, "-I", "-m", "http.server", "--directory", index, "--bind"]
    service = lab.serve(lambda address: [*serve, address, "8080"], 8080)
    ready.inside(["mount", "-t", "tmpfs", "-o", "size=2m,mode=1777", "tmpfs", "/tmp"])
    play.run(ready, __stack_env_sources=str(altered), sdops_pip_index_url=f"{service.url}/simple")
    service.stop()
    assert probes(ready) == ["1.0", "1.0"]
    (place,) = environments(ready).keys() - {"env1"}
    found = ready.inside(["find", f"{ENVS}/{place}", "-maxdepth", "1", "-name", "pip-*"])
    assert found.stdout == ""


def test_an_environment_of_somebody_else_is_left_alone(play: Play, ready: Host) -> None:
    login(ready, "conda create -y -n env1 probe")
    refused = play.run(ready, ok=False)
    assert f"The environment env1 exists on {ready.name} and was not made by sdops." in refused.message
    assert refused.changed == ()
