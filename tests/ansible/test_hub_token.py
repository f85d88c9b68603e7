"""The role hub_token on real hosts: the token gets to its one place and is seen nowhere else."""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from doubles import env, hub
from doubles.hub import GOOD, NO_LICENCE
from doubles.model_files import model_files
from plays import Plays

pytestmark = pytest.mark.hosts

#: A token that no other text holds, and a piece of it, should only that leak.
CANARY = "hf_canaryQ7vX2mZp9LkT4bRw8NcY"
PIECE = "canaryQ7vX2mZp9"
FOLDER = "/home/sdops/.cache/huggingface"
TOKEN = f"{FOLDER}/token"
PORT = 8080
PROMPT = b"Access token of the model hub"


@pytest.fixture
def account_host(new_host):
    host = new_host()
    env.account(host)
    return host


def stored(host):
    """The token's owner, mode and content on the host; None without one."""
    path = host.root / TOKEN[1:]
    if not path.exists():
        return None
    told = host.inside(["stat", "-c", "%U:%G %a", FOLDER, TOKEN]).stdout.split("\n")[:-1]
    return (*told, path.read_text())


OWN = ("sdops:sdops 700", "sdops:sdops 600")


@pytest.mark.parametrize(
    ("token", "what"),
    [
        pytest.param(f'"{CANARY}"', "has quotation marks around it", id="quoted"),
        pytest.param(f"{CANARY} {CANARY}", "has a blank inside", id="blank"),
        pytest.param(f"{CANARY}\n{CANARY}", "has more than one line", id="lines"),
        pytest.param(f"{CANARY}ß", "holds characters that no token has", id="characters"),
    ],
)
def test_what_cannot_be_a_token_is_refused_and_not_shown(lab, tmp_path, release_host, token, what):
    plays = Plays(lab, tmp_path, release_host)
    role = plays.role("hub_token")
    played = plays.play(role, "-vvv", hub_token_value=token)
    assert (played.rc, played.changed, played.failed) == (2, (), ("Refuse what cannot be a token",))
    assert f"The hub access token is unusable: hub_token_value {what}." in played.said
    assert PIECE not in played.output


@pytest.fixture(scope="module")
def release_host(lab):
    """One host for the tests that change nothing on it; without an account."""
    host = lab.host()
    yield host
    lab.remove(host)


def test_without_an_account_it_says_which_tag_makes_one(lab, tmp_path, release_host):
    plays = Plays(lab, tmp_path, release_host)
    role = plays.role("hub_token")
    checked = plays.play(role, "--check", hub_token_value=CANARY)
    assert (checked.rc, checked.changed) == (0, ()), checked.output
    played = plays.play(role, hub_token_value=CANARY)
    assert (played.rc, played.failed) == (2, ("Refuse to go on without the account",))


def test_the_token_lands_where_the_libraries_read_it(lab, tmp_path, new_host, release):
    host = new_host(release=release)
    env.account(host)
    plays = Plays(lab, tmp_path, host)
    role = plays.role("hub_token")

    nothing = plays.play(role)
    assert (nothing.rc, nothing.changed) == (0, ()), nothing.output
    assert "No access token was given, and none is needed" in nothing.said

    checked = plays.play(role, "--check", "--diff", hub_token_value=CANARY)
    assert (checked.rc, stored(host)) == (0, None), checked.output
    assert PIECE not in checked.output

    played = plays.play(role, hub_token_value=f" {CANARY}\n")
    stores = ("Store the token where the hub's libraries read it",)
    assert (played.rc, played.changed) == (0, stores), played.output
    assert stored(host) == (*OWN, CANARY)
    again = plays.play(role, "--diff", hub_token_value=CANARY)
    assert (again.rc, again.changed) == (0, ()), again.output

    # Another one, from the environment; shown in no difference. What is stored needs not be given again.
    played = plays.play(role, "--diff", env={"HF_TOKEN": CANARY + "2"})
    assert (played.changed, stored(host)) == (stores, (*OWN, CANARY + "2"))
    assert PIECE not in played.output
    assert plays.play(role).changed == ()
    assert stored(host) == (*OWN, CANARY + "2")

    # The variable comes before the environment.
    plays.play(role, env={"HF_TOKEN": CANARY}, hub_token_value=GOOD)
    assert stored(host) == (*OWN, GOOD)

    gone = plays.play(role, hub_token_state="absent")
    assert (gone.changed, stored(host)) == (("Remove the token",), None)
    assert plays.play(role, hub_token_state="absent").changed == ()


def test_modes_that_somebody_loosened_are_mended(lab, tmp_path, account_host):
    plays = Plays(lab, tmp_path, account_host)
    role = plays.role("hub_token")
    plays.play(role, hub_token_value=CANARY)
    account_host.inside(["chmod", "644", TOKEN])
    account_host.inside(["chmod", "755", FOLDER])
    plays.play(role, hub_token_value=CANARY)
    assert stored(account_host) == (*OWN, CANARY)
    # So is what lies in the token's place.
    account_host.inside(["sh", "-c", f"mv {TOKEN} /tmp/own; ln -s /tmp/own {TOKEN}"])
    plays.play(role, hub_token_value=CANARY)
    assert stored(account_host) == (*OWN, CANARY)


def test_the_prompt_asks_and_shows_nothing(lab, tmp_path, account_host):
    plays = Plays(lab, tmp_path, account_host)
    role = plays.role("hub_token")
    argv = plays.argv(role, ["-vvv"], hub_token_prompt=True)
    ours, theirs = pty.openpty()
    process = lab.controller.popen(
        # A session with the terminal as its own, as a person's shell has it.
        ["setsid", "--ctty", "--wait", *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=plays.environment(TERM="dumb"),
        cwd=tmp_path,
    )
    os.close(theirs)
    shown, typed = b"", False
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.05)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
        # Ansible throws away what was typed before it has turned the echo off, which is no event.
        elif not typed and PROMPT in shown and not termios.tcgetattr(ours)[3] & termios.ECHO:
            os.write(ours, CANARY.encode() + b"\r")
            typed = True
    os.close(ours)
    assert process.wait(60) == 0, shown.decode(errors="replace")
    assert stored(account_host) == (*OWN, CANARY)
    assert PIECE.encode() not in shown


class Watch:
    """Reads the command line of every process of this machine, those on hosts, too, again and again."""

    def __init__(self):
        self.samples = 0
        self.seen = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _run(self):
        own = str(os.getpid())
        while not self._done.wait(0.01):
            self.samples += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                if path.parent.name != own:
                    try:
                        line = path.read_bytes()
                    except OSError:
                        continue
                    if PIECE.encode() in line:
                        self.seen.add(line)


def texts_with(folder, piece=PIECE):
    """Files below a folder of this machine that hold the piece."""
    ran = subprocess.run(["grep", "-rlaF", "-D", "skip", piece, folder], capture_output=True, text=True)
    return sorted(ran.stdout.splitlines())


@pytest.mark.parametrize("pipelining", ["1", "0"], ids=["pipelined", "by files"])
def test_a_canary_is_nowhere_but_in_its_file(lab, tmp_path, account_host, pipelining):
    """Real processes of host and controller are watched from outside both, where all of them can be seen."""
    host = account_host
    plays = Plays(lab, tmp_path, host)
    role = plays.role("hub_token")
    more = {
        "ANSIBLE_PIPELINING": pipelining,
        "HF_TOKEN": CANARY,
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(plays.home / "facts"),
        "ANSIBLE_LOG_PATH": str(plays.home / "ansible.log"),
    }
    with Watch() as control:
        host.inside(["sh", "-c", "sleep 0.5; true", CANARY])
    assert control.seen
    with Watch() as watch:
        played = plays.play(role, "-vvv", "--diff", env=more)
    assert played.rc == 0, played.output
    assert stored(host) == (*OWN, CANARY)

    assert PIECE not in played.output
    assert (watch.samples > 50, watch.seen) == (True, set())
    # What ansible wrote for itself on the controller, its log among it, and no facts.
    assert (plays.home / "ansible.log").stat().st_size > 1000
    assert not list((plays.home / "facts").glob("*"))
    assert texts_with(plays.home) == []
    host.inside(["journalctl", "--sync"])
    journal = host.inside(["journalctl", "--no-pager", "--output=verbose"]).stdout
    assert "BECOME-SUCCESS" in journal
    assert PIECE not in journal
    # All of the host's disk and memory file systems: its own file, and no other, whoever may read it.
    everywhere = ["/home", "/root", "/tmp", "/var", "/etc", "/run", "/dev/shm", "/opt", "/srv", "/usr/local"]
    found = host.inside(["grep", "-rlaF", "-D", "skip", PIECE, *everywhere], check=False, timeout=120).stdout
    assert found.split() == [TOKEN]

    # No trace stays of a token that is replaced and removed.
    plays.play(role, env={**more, "HF_TOKEN": GOOD})
    plays.play(role, env=more, hub_token_state="absent")
    found = host.inside(["grep", "-rlaF", "-D", "skip", PIECE, *everywhere], check=False, timeout=120).stdout
    assert found.split() == []


def test_the_hub_tells_from_the_host_what_is_wrong(lab, tmp_path, account_host):
    host = account_host
    model = tmp_path / "model"
    for path, content in model_files().items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(content)
    plays = Plays(lab, tmp_path, host)
    role = plays.role("hub_token")

    def check(**settings):
        played = plays.play(role, hub_token_check=True, **settings)
        assert PIECE not in played.output
        return played.rc, played.said

    def serve(address):
        program = [sys.executable, hub.__file__, "--bind", address, "--port", str(PORT)]
        return [*program, "--model-dir", model, "--gated"]

    service = lab.serve(serve, PORT)
    there = {"sdops_hub_endpoint": service.url}
    try:
        code, said = check(**there)
        assert code == 2
        assert "The hub could not be asked: /home/sdops/miniconda3/envs/env1/bin/python did not run." in said
        env.furnish(host, env.hub_libraries(tmp_path))

        code, said = check(**there)
        assert (code, "(token-missing)" in said) == (2, True), said
        code, said = check(hub_token_value=CANARY, **there)
        assert (code, "(token-refused)" in said, "~/.cache/huggingface/token" in said) == (2, True, True), (
            said
        )
        code, said = check(hub_token_value=NO_LICENCE, **there)
        assert (code, "(licence-not-accepted)" in said) == (2, True), said
        code, said = check(hub_token_value=GOOD, sdops_model="nobody/nothing", **there)
        assert (code, "(model-unknown)" in said) == (2, True), said
        code, said = check(hub_token_value=GOOD, **there)
        assert code == 0, said
        assert re.search(r"The hub lets sdops on \S+ read CompVis/stable-diffusion-v1-4\.", said)
        code, said = check(hub_token_value=GOOD, sdops_model="demo", **there)
        assert (code, "demo is not a model at the hub: there is no access to check." in said) == (0, True)
    finally:
        service.stop()
    code, said = check(hub_token_value=GOOD, **there)
    assert (code, "(hub-offline)" in said) == (2, True), said
