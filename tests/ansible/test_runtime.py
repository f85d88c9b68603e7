"""The role runtime on real hosts: the program, its launcher and its receipt, in the account's hands."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from doubles import env, hub
from doubles.model_files import NAME, model_files
from fleets import converge, of_each_release
from groundwork import account
from plays import Play

pytestmark = pytest.mark.hosts

ROOT = Path(__file__).parents[2]
PORT = 8080
LAUNCHER = "/home/sdops/.local/bin/sdops-runtime"
LIB = "/home/sdops/.local/lib/sdops"
FILES = "Write the launcher and the worker's unit"
LAST = ("Start the worker, now and whenever the host boots", "Write the receipt")
CARD = "---\nlicense: creativeml-openrail-m\n---\n"


@pytest.fixture
def play(lab, tmp_path):
    return Play(lab, tmp_path, "runtime")


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


def test_without_an_account_it_says_which_tag_makes_one(play, host):
    assert play.run(host, check=True).changed == ()
    refused = play.run(host, ok=False)
    assert (refused.failed, refused.changed) == (("Refuse to go on without the account",), ())
    assert "There is no account sdops on" in refused.message
    assert "its tag service_user first" in refused.message


def test_a_missing_environment_is_said_by_role_and_launcher(play, host):
    account(host)
    refused = play.run(host, ok=False)
    assert refused.failed == ("Refuse a runtime that does not start",)
    assert "ansible-playbook ansible/site.yml --tags miniconda,stack_env" in refused.message
    ran, (line,) = launch(host, "version", check=False)
    assert (ran.rc, line["code"]) == (1, "stack-missing")
    # It is no receipt of a runtime that was never seen to run, and the next run does not take it for one.
    assert not (host.root / f"{LIB}/receipt.json"[1:]).exists()
    assert play.run(host, ok=False).failed == refused.failed
    env.furnish(host, None)
    assert play.run(host).changed == LAST


@pytest.fixture(scope="module")
def fleet(lab, tmp_path_factory):
    play = Play(lab, tmp_path_factory.mktemp("runtime"), "runtime")
    with of_each_release(lab) as hosts:
        for host in hosts.values():
            account(host)
            env.furnish(host, None)
        yield converge(play, hosts)


def test_hosts_converge_and_stay(fleet):
    assert fleet.touched == ()
    for host in fleet.hosts.values():
        assert fleet.first.on(host).changed == (FILES, "Copy the runtime", *LAST)
    fleet.settled()


def test_the_runtime_is_installed_and_runs_in_its_environment(provisioned, tmp_path):
    host = provisioned
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


def test_the_launcher_gives_the_environment_and_nothing_of_the_callers(play, host):
    account(host)
    env.furnish(host, None)
    play.run(host)

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
    others = {"sdops_hub_endpoint": "http://mirror.invalid/it's", "sdops_env": "env2"}
    assert play.run(host, **others).changed == ("Stop the worker", FILES, "Copy the runtime", *LAST)
    _, (said,) = launch(host, "version")
    assert said["digest"]
    host.inside(["chmod", "600", LAUNCHER])
    assert play.run(host, **others).changed == ("Stop the worker", FILES, LAST[0])
    assert owned(host, LAUNCHER) == ["sdops:sdops 755"]
    assert json.loads((host.root / f"{LIB}/receipt.json"[1:]).read_text())["env"] == "env2"
    assert "export HF_ENDPOINT='http://mirror.invalid/it'\"'\"'s'\n" in (host.root / LAUNCHER[1:]).read_text()


def test_the_model_is_fetched_ahead_and_its_licence_told(lab, play, host, libraries, tmp_path):
    model = tmp_path / "model"
    for path, content in dict(model_files(), **{"README.md": CARD.encode()}).items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(content)

    def serve(address):
        program = [sys.executable, hub.__file__, "--bind", address, "--port", str(PORT)]
        return [*program, "--model-dir", model]

    account(host)
    env.furnish(host, libraries)
    settings = {"runtime_prefetch": True, "sdops_hub_endpoint": "http://198.18.0.1:9"}
    refused = play.run(host, ok=False, **settings)
    assert refused.failed == ("Refuse to go on without the model",)
    assert "cannot be reached: the connection was refused" in refused.message

    service = lab.serve(serve, PORT)
    try:
        settings["sdops_hub_endpoint"] = service.url
        fetched = play.run(host, **settings)
        assert fetched.changed == ("Stop the worker", FILES, LAST[0], "Download the model")
        assert "Licence: CreativeML Open RAIL-M" in fetched.said
        assert "https://huggingface.co/spaces/CompVis/stable-diffusion-license" in fetched.said
        assert play.run(host, **settings).changed == ()
        (snapshot,) = (host.root / "home/sdops/.cache/huggingface/hub").glob("*/snapshots/*")
        licence = str(snapshot / "LICENSE").removeprefix(str(host.root))
        assert licence in fetched.said
        assert host.inside(["cat", licence]).stdout == model_files()["LICENSE"].decode()
        assert owned(host, str(snapshot).removeprefix(str(host.root))) == ["sdops:sdops 755"]
    finally:
        service.stop()
    _, lines = launch(host, "fetch", NAME, "--revision", "fp16", "--offline")
    assert [line["kind"] for line in lines] == ["fetched"]
