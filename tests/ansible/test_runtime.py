"""The role runtime on real hosts: the program, its launcher and its receipt, in the account's hands."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from doubles import env, hub
from doubles.model_files import NAME, model_files
from plays import Plays

pytestmark = pytest.mark.hosts

ROOT = Path(__file__).parents[2]
PORT = 8080
LAUNCHER = "/home/sdops/.local/bin/sdops-runtime"
LIB = "/home/sdops/.local/lib/sdops"
FILES = "Write the launcher and the worker's unit"
LAST = ("Start the worker, now and whenever the host boots", "Write the receipt")
CARD = "---\nlicense: creativeml-openrail-m\n---\n"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    return env.hub_libraries(tmp_path_factory.mktemp("hub"))


def launch(host, *words, login=False, check=True):
    """Runs the launcher as the account, as a command over SSH would: no terminal, no login shell."""
    ran = host.inside(
        ["runuser", *(["-l"] if login else []), "sdops", "-c", " ".join((LAUNCHER, *words))], check=check
    )
    return ran, [json.loads(line) for line in ran.stdout.splitlines()]


def owned(host, *paths):
    """Owner, group and mode of files, as ``sdops:sdops 644``."""
    return host.inside(["stat", "-c", "%U:%G %a", *paths]).stdout.split("\n")[:-1]


def test_without_an_account_it_says_which_tag_makes_one(lab, new_host, tmp_path):
    host = new_host()
    plays = Plays(lab, tmp_path, host)
    role = plays.role("runtime")
    checked = plays.play(role, "--check")
    assert (checked.rc, checked.changed) == (0, ()), checked.output
    played = plays.play(role)
    assert (played.rc, played.failed, played.changed) == (2, ("Refuse to go on without the account",), ())
    assert "There is no account sdops on" in played.said
    assert "its tag service_user first" in played.said


def test_a_missing_environment_is_said_by_role_and_launcher(lab, new_host, tmp_path):
    host = new_host()
    env.account(host)
    plays = Plays(lab, tmp_path, host)
    played = plays.play(plays.role("runtime"))
    assert (played.rc, played.failed) == (2, ("Refuse a runtime that does not start",))
    assert "ansible-playbook ansible/site.yml --tags miniconda,stack_env" in played.said
    ran, (line,) = launch(host, "version", check=False)
    assert (ran.rc, line["code"]) == (1, "stack-missing")
    # It is no receipt of a runtime that was never seen to run, and the next run does not take it for one.
    assert not (host.root / f"{LIB}/receipt.json"[1:]).exists()
    assert plays.play(plays.role("runtime")).failed == played.failed
    env.furnish(host, None)
    played = plays.play(plays.role("runtime"))
    assert (played.rc, played.changed) == (0, LAST), played.output


def test_the_runtime_is_installed_and_runs_in_its_environment(lab, new_host, release, tmp_path):
    host = new_host(release=release)
    env.account(host)
    env.furnish(host, None)
    plays = Plays(lab, tmp_path, host)
    role = plays.role("runtime")

    checked = plays.play(role, "--check", "--diff")
    assert checked.rc == 0, checked.output
    assert not host.inside(["find", "/home/sdops/.local"], check=False).stdout

    played = plays.play(role)
    assert played.rc == 0, played.output
    assert played.changed == (FILES, "Copy the runtime", *LAST)
    again = plays.play(role)
    assert (again.rc, again.changed) == (0, ()), again.output
    checked = plays.play(role, "--check", "--diff")
    assert (checked.rc, checked.changed) == (0, ()), checked.output

    built = subprocess.run(
        [sys.executable, ROOT / "runtime" / "build_pyz.py", tmp_path / "own.pyz"],
        capture_output=True,
        check=True,
    )
    digest = json.loads(built.stdout)["digest"]
    pyz, receipt = f"{LIB}/sdops-runtime.pyz", f"{LIB}/receipt.json"
    assert hashlib.sha256((host.root / pyz[1:]).read_bytes()).hexdigest() == digest
    told = json.loads((host.root / receipt[1:]).read_text())
    assert told == {
        "version": json.loads(built.stdout)["version"],
        "protocol": 1,
        "digest": digest,
        "stack": "guide",
        "env": "env1",
    }
    assert owned(host, LIB, pyz, receipt, LAUNCHER) == [
        "sdops:sdops 755",
        "sdops:sdops 644",
        "sdops:sdops 644",
        "sdops:sdops 755",
    ]
    for login in (False, True):
        ran, (said,) = launch(host, "version", login=login)
        assert said["digest"] == digest
        assert ran.stderr == "a hook says something\nconda says something\n"


def test_the_launcher_gives_the_environment_and_nothing_of_the_callers(lab, new_host, tmp_path):
    host = new_host()
    env.account(host)
    env.furnish(host, None)
    plays = Plays(lab, tmp_path, host)
    assert plays.play(plays.role("runtime")).rc == 0

    # A program in the runtime's place that tells what reaches it.
    host.put(
        f"{LIB}/sdops-runtime.pyz",
        "import json, os, sys\n"
        "print(json.dumps([sys.prefix, sys.argv[1:], sys.stdin.read(), dict(os.environ)]))\n",
    )
    command = f"PYTHONPATH=/tmp PYTHONHOME=/tmp LD_LIBRARY_PATH=/own {LAUNCHER} 'two words' '$x'"
    ran = host.run(
        ["runuser", "-u", "sdops", "--", "env", "HOME=/home/sdops", "sh", "-c", command], stdin="in"
    )
    prefix, words, read, environment = json.loads(ran.stdout)
    assert (prefix, words, read) == ("/home/sdops/miniconda3/envs/env1", ["two words", "$x"], "in")
    assert environment["LD_LIBRARY_PATH"] == f"/own:{prefix}/lib"
    assert (environment["PYTHONNOUSERSITE"], environment["HF_HUB_DISABLE_TELEMETRY"]) == ("1", "1")
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(environment)

    # What was changed on the host is mended, and a changed setting arrives.
    env.furnish(host, None, name="env2")
    mirror = "http://mirror.invalid/it's"
    played = plays.play(plays.role("runtime"), sdops_hub_endpoint=mirror, sdops_env="env2")
    assert (played.rc, played.changed) == (0, ("Stop the worker", FILES, "Copy the runtime", *LAST))
    _, (said,) = launch(host, "version")
    assert said["digest"]
    host.inside(["chmod", "600", LAUNCHER])
    played = plays.play(plays.role("runtime"), sdops_hub_endpoint=mirror, sdops_env="env2")
    assert played.changed == ("Stop the worker", FILES, LAST[0])
    assert owned(host, LAUNCHER) == ["sdops:sdops 755"]
    assert json.loads((host.root / f"{LIB}/receipt.json"[1:]).read_text())["env"] == "env2"
    assert "export HF_ENDPOINT='http://mirror.invalid/it'\"'\"'s'\n" in (host.root / LAUNCHER[1:]).read_text()


def test_the_model_is_fetched_ahead_and_its_licence_told(lab, new_host, libraries, tmp_path):
    model = tmp_path / "model"
    for path, content in dict(model_files(), **{"README.md": CARD.encode()}).items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(content)

    def serve(address):
        program = [sys.executable, hub.__file__, "--bind", address, "--port", str(PORT)]
        return [*program, "--model-dir", model]

    host = new_host()
    env.account(host)
    env.furnish(host, libraries)
    plays = Plays(lab, tmp_path, host)
    role = plays.role("runtime")
    settings = {"runtime_prefetch": True, "sdops_hub_endpoint": "http://198.18.0.1:9"}
    played = plays.play(role, **settings)
    assert (played.rc, played.failed) == (2, ("Refuse to go on without the model",)), played.output
    assert "cannot be reached: the connection was refused" in played.said

    service = lab.serve(serve, PORT)
    try:
        settings["sdops_hub_endpoint"] = service.url
        played = plays.play(role, **settings)
        changed = ("Stop the worker", FILES, LAST[0], "Download the model")
        assert (played.rc, played.changed) == (0, changed), played.output
        assert "Licence: CreativeML Open RAIL-M" in played.said
        assert "https://huggingface.co/spaces/CompVis/stable-diffusion-license" in played.said
        again = plays.play(role, **settings)
        assert (again.rc, again.changed) == (0, ()), again.output
        (snapshot,) = (host.root / "home/sdops/.cache/huggingface/hub").glob("*/snapshots/*")
        licence = str(snapshot / "LICENSE").removeprefix(str(host.root))
        assert licence in played.said
        assert host.inside(["cat", licence]).stdout == model_files()["LICENSE"].decode()
        assert owned(host, str(snapshot).removeprefix(str(host.root))) == ["sdops:sdops 755"]
    finally:
        service.stop()
    _, lines = launch(host, "fetch", NAME, "--revision", "fp16", "--offline")
    assert [line["kind"] for line in lines] == ["fetched"]
