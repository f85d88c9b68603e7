"""The probes of conda and the environment on real folders, and what becomes of what they print."""

import json
import subprocess

import pytest
from sdops.facts import conda, env, script
from sdops.facts.conda import Settings
from sdops.facts.env import Receipt
from sdops.facts.probe import Output
from sdops.facts.wanted import Wanted

VERSION = "9.9"

HOOK = """case ":${LD_LIBRARY_PATH-}:" in
*":$CONDA_PREFIX/lib:"*) ;;
*) export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$CONDA_PREFIX/lib" ;;
esac
"""
GUIDES = 'export LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$CONDA_PREFIX/lib/"\n'


@pytest.fixture
def home(tmp_path):
    """An account's home with an environment as the playbook leaves it, by its names only."""
    folder = tmp_path / ".conda" / "envs" / "env1-guide-0123abcd"
    site = folder / "lib" / "python3.9" / "site-packages"
    for name in ("some_library-9.1.0.dist-info", "Other-9.2-py3.9.egg-info", "torch"):
        (site / name).mkdir(parents=True)
    (site / "torch" / "version.py").write_text("__version__ = '9.9'\ncuda: Optional[str] = '11.6'\n")
    (folder / "conda-meta").mkdir()
    for name in (
        "history",
        "python-3.9.18-h955ad1f_0.json",
        f"pytorch-{VERSION}-py3.9_cuda11.6_cudnn8.3.2_0.json",
    ):
        (folder / "conda-meta" / name).write_text("x")
    for name, text in (("activate.d", HOOK), ("deactivate.d", "")):
        (folder / "etc" / "conda" / name).mkdir(parents=True)
        (folder / "etc" / "conda" / name / "env_vars.sh").write_text(text)
    (folder / ".sdops.json").write_text('{"stack": "guide",\n "torch_by_pip": false}\n')
    (folder.parent / "env1").symlink_to(folder.name)
    return tmp_path


def ask(probe, home):
    """What the probe finds in that home, by a real shell."""
    word = script.nonce()
    # The account is whoever runs the tests; its home is another one here.
    words = script.compose([probe], Wanted(user="root", prefix=str(home / "miniconda3")), word)
    words = words.replace("home=$(getent", f"home={home}; : $(getent")
    ran = subprocess.run(["sh", "-s"], input=words.encode(), capture_output=True, timeout=60)
    outputs, whole = script.take_apart(ran.stdout, word)
    assert whole, ran.stderr
    return probe.read(outputs[probe.name], Wanted())


def test_an_environment_is_read_by_its_files(home):
    found = ask(env.PROBE, home)
    link = home / ".conda" / "envs" / "env1"
    assert (found.kind, found.folder) == ("link", str(link.resolve()))
    assert (found.receipt, found.history, found.python) == (Receipt("guide", False), True, "3.9")
    assert found.conda == {"python": ("3.9.18",), "pytorch": (VERSION,)}
    assert found.builds["pytorch"] == "py3.9_cuda11.6_cudnn8.3.2_0"
    assert found.pip == {"some-library": ("9.1.0",), "other": ("9.2",)}
    assert (found.cuda, found.version("pytorch"), found.version("nothing")) == ("11.6", VERSION, None)
    assert (found.hook, found.unhook, found.setters) == (True, True, ("env_vars.sh",))
    assert found.path == found.path_twice == (f"{link}/lib",)
    assert (found.stubs, found.own) == ((), ())


def test_the_guides_own_hook_is_seen_to_grow(home):
    folder = home / ".conda" / "envs" / "env1"
    (folder / "etc" / "conda" / "activate.d" / "env_vars.sh").write_text(GUIDES)
    found = ask(env.PROBE, home)
    assert found.path == ("", f"{folder}/lib/")
    assert found.path_twice == ("", f"{folder}/lib/", f"{folder}/lib/")


def test_a_second_hook_a_stub_and_packages_of_the_account_are_seen(home):
    folder = home / ".conda" / "envs" / "env1"
    (folder / "etc" / "conda" / "activate.d" / "cuda.sh").write_text("LD_LIBRARY_PATH=/x\n")
    (folder / "lib" / "libcuda.so.1").write_text("")
    (home / ".local/lib/python3.9/site-packages/Own_One-1.0.dist-info").mkdir(parents=True)
    (home / ".bashrc").write_text("export LD_LIBRARY_PATH=/usr/local/cuda/lib64/stubs\n")
    found = ask(env.PROBE, home)
    assert found.setters == ("cuda.sh", "env_vars.sh")
    assert found.stubs == (f"{folder.resolve()}/lib/libcuda.so.1",)
    assert found.own == ("own-one",)
    assert f"{home}/.bashrc:export LD_LIBRARY_PATH=/usr/local/cuda/lib64/stubs" in found.shells


def test_an_environment_that_is_gone_a_folder_and_none(home):
    link = home / ".conda" / "envs" / "env1"
    link.resolve().rename(home / "moved")
    found = ask(env.PROBE, home)
    assert (found.kind, found.folder) == ("link", "")
    link.unlink()
    assert ask(env.PROBE, home).kind == "none"
    link.mkdir()
    found = ask(env.PROBE, home)
    assert (found.kind, found.receipt) == ("folder", None)


@pytest.mark.parametrize("receipt", ["", "{", "[]", json.dumps({"stack": 1})])
def test_a_receipt_that_says_nothing_is_none(home, receipt):
    (home / ".conda" / "envs" / "env1" / ".sdops.json").write_text(receipt)
    assert ask(env.PROBE, home).receipt is None


def test_two_versions_of_one_package_are_both_told(home):
    (home / ".conda/envs/env1/lib/python3.9/site-packages/some_library-9.3.dist-info").mkdir()
    assert ask(env.PROBE, home).pip["some-library"] == ("9.1.0", "9.3")


def test_conda_is_read_by_its_files(home):
    prefix = home / "miniconda3-py39"
    for name in ("bin", "conda-meta"):
        (prefix / name).mkdir(parents=True)
    for name in ("history", "conda-25.9.1-py39h06a4308_0.json", "conda-anaconda-tos-0.2-py39_0.json"):
        (prefix / "conda-meta" / name).write_text("x")
    (prefix / "bin" / "conda").write_text("#!/bin/sh\n")
    (prefix / "bin" / "conda").chmod(0o755)
    (prefix / ".condarc").write_text(
        "# ours\nchannels:\n  - pytorch # first\n  - conda-forge\nplugins:\n  x: 1\n"
    )
    (home / ".condarc").write_text("channels: [defaults]\nauto_accept_tos: false\n")
    (home / "miniconda3").symlink_to(prefix.name)
    (home / ".profile").write_text('. "$HOME/miniconda3/etc/profile.d/conda.sh"\n')
    found = ask(conda.PROBE, home)
    assert (found.place, found.program, found.complete, found.owner) == (str(prefix), True, True, "root")
    assert (found.version, found.asks_terms, found.accepted) == ("25.9.1", True, False)
    own = [one for one in found.settings if one.path.startswith(str(home))]
    assert own == [
        Settings(f"{home}/miniconda3/.condarc", ("pytorch", "conda-forge")),
        Settings(f"{home}/.condarc", ("defaults",)),
    ]
    assert found.uses_defaults
    assert found.shells == (".profile",)


def test_without_any_settings_conda_uses_anacondas_channels(home):
    found = conda.PROBE.read(Output("place=\nprogram=no\nhistory=no\nowner="), Wanted())
    assert found.uses_defaults


def test_who_accepts_terms_is_known_by_settings_and_by_files(home):
    rows = ("channels:", "  - defaults", "plugins:", "  auto_accept_tos: true")
    text = "\n".join(["place=/x", "file=/x/.condarc", *(f"line={row}" for row in rows)])
    assert conda.PROBE.read(Output(text), Wanted()).settings == (
        Settings("/x/.condarc", ("defaults",), True),
    )
    assert conda.PROBE.read(Output("place=/x\naccepted=/x/1.json"), Wanted()).accepted
