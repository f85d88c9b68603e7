"""The role hub_token on real hosts: the token gets to its one place and is seen nowhere else."""

import os
import pty
import re
import secrets
import select
import sys
import termios
import time

import pytest
from doubles import env, hub
from doubles.hub import GOOD, NO_LICENCE
from doubles.model_files import model_files
from fleets import of_each_release
from groundwork import account
from plays import SHOWN, Play

from .leaks import Canary

pytestmark = pytest.mark.hosts

#: A token that no other text holds, nor another run of these tests, and a piece of it, should only that leak.
PIECE = f"canary{secrets.token_hex(8)}"
CANARY = f"hf_{PIECE}T4bRw8NcY"
FOLDER = "/home/sdops/.cache/huggingface"
TOKEN = f"{FOLDER}/token"
PORT = 8080
PROMPT = b"Access token of the model hub"


@pytest.fixture
def account_host(new_host):
    host = new_host()
    account(host)
    return host


@pytest.fixture
def play(lab, tmp_path):
    return Play(lab, tmp_path, "hub_token")


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
def test_what_cannot_be_a_token_is_refused_and_not_shown(tmp_path, token, what):
    play = Play(None, tmp_path, "hub_token", variables={"hub_token_value": token})
    shown = play.run(words=("-i", "203.0.113.9,", "-vvv"), ok=False, env=SHOWN)
    assert "TASK [hub_token : Refuse what cannot be a token]" in shown.text
    assert f"The hub access token is unusable: hub_token_value {what}." in shown.said
    assert "changed=0 unreachable=0 failed=1" in shown.said
    assert PIECE not in shown.text


def test_without_an_account_it_says_which_tag_makes_one(play, host):
    assert play.run(host, check=True, hub_token_value=CANARY).changed == ()
    refused = play.run(host, ok=False, hub_token_value=CANARY)
    assert refused.failed == ("Refuse to go on without the account",)
    assert "service_user first" in refused.message


def test_the_token_lands_where_the_libraries_read_it(lab, play):
    with of_each_release(lab) as hosts:
        lands(play, *hosts.values())


def lands(play, *hosts):
    """Takes hosts through the life of a token, all of them at once."""
    stores = ("Store the token where the hub's libraries read it",)

    def check(outcome, changed, content):
        assert [outcome.on(host).changed for host in hosts] == [changed] * len(hosts)
        assert [stored(host) for host in hosts] == [(*OWN, content) if content else None] * len(hosts)
        return outcome

    for host in hosts:
        account(host)
    nothing = check(play.run(*hosts), (), None)
    assert "No access token was given, and none is needed" in nothing.said

    foretold = play.run(*hosts, check=True, hub_token_value=CANARY)
    check(foretold, foretold.on(hosts[0]).changed, None)
    assert PIECE not in foretold.text

    check(play.run(*hosts, hub_token_value=f" {CANARY}\n"), stores, CANARY)
    check(play.run(*hosts, words=["--diff"], hub_token_value=CANARY), (), CANARY)

    # Another one, from the environment; shown in no difference. What is stored needs not be given again.
    another = play.run(*hosts, words=["--diff"], env={"HF_TOKEN": CANARY + "2"})
    check(another, stores, CANARY + "2")
    assert PIECE not in another.text
    check(play.run(*hosts), (), CANARY + "2")

    # The variable comes before the environment.
    check(play.run(*hosts, env={"HF_TOKEN": CANARY}, hub_token_value=GOOD), stores, GOOD)

    check(play.run(*hosts, hub_token_state="absent"), ("Remove the token",), None)
    check(play.run(*hosts, hub_token_state="absent"), (), None)


def test_modes_that_somebody_loosened_are_mended(play, account_host):
    play.run(account_host, hub_token_value=CANARY)
    account_host.inside(["chmod", "644", TOKEN])
    account_host.inside(["chmod", "755", FOLDER])
    play.run(account_host, hub_token_value=CANARY)
    assert stored(account_host) == (*OWN, CANARY)
    # So is what lies in the token's place.
    account_host.inside(["sh", "-c", f"mv {TOKEN} /tmp/own; ln -s /tmp/own {TOKEN}"])
    play.run(account_host, hub_token_value=CANARY)
    assert stored(account_host) == (*OWN, CANARY)


def test_the_prompt_asks_and_shows_nothing(lab, play, tmp_path, account_host):
    argv = play.argv(account_host, words=["-vvv"], hub_token_prompt=True)
    ours, theirs = pty.openpty()
    process = lab.controller.popen(
        # A session with the terminal as its own, as a person's shell has it.
        ["setsid", "--ctty", "--wait", *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=play.environment(TERM="dumb", **SHOWN),
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


def test_no_trace_stays_of_a_token_that_was_replaced_and_removed(play, account_host):
    """That there is none of one in use, test_secrets.py shows for the whole of site.yml."""
    canary = Canary()
    play.run(account_host, env={"HF_TOKEN": canary.token})
    assert canary.files_on(account_host) == [TOKEN]
    play.run(account_host, env={"HF_TOKEN": GOOD})
    play.run(account_host, hub_token_state="absent")
    assert canary.files_on(account_host) == []


def test_the_hub_tells_from_the_host_what_is_wrong(lab, play, tmp_path, account_host):
    host = account_host
    model = tmp_path / "model"
    for path, content in model_files().items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(content)

    def check(ok=False, **settings):
        outcome = play.run(host, ok=ok, hub_token_check=True, **settings)
        assert PIECE not in outcome.text
        return outcome.said

    def serve(address):
        program = [sys.executable, hub.__file__, "--bind", address, "--port", str(PORT)]
        return [*program, "--model-dir", model, "--gated"]

    service = lab.serve(serve, PORT)
    there = {"sdops_hub_endpoint": service.url}
    try:
        said = check(**there)
        assert "The hub could not be asked: /home/sdops/miniconda3/envs/env1/bin/python did not run." in said
        env.furnish(host, env.hub_libraries(tmp_path))

        assert "(token-missing)" in check(**there)
        said = check(hub_token_value=CANARY, **there)
        assert "(token-refused)" in said
        assert "~/.cache/huggingface/token" in said
        assert "(licence-not-accepted)" in check(hub_token_value=NO_LICENCE, **there)
        assert "(model-unknown)" in check(hub_token_value=GOOD, sdops_model="nobody/nothing", **there)
        said = check(ok=True, hub_token_value=GOOD, **there)
        assert re.search(r"The hub lets sdops on \S+ read CompVis/stable-diffusion-v1-4\.", said)
        said = check(ok=True, hub_token_value=GOOD, sdops_model="demo", **there)
        assert "demo is not a model at the hub: there is no access to check." in said
    finally:
        service.stop()
    assert "(hub-offline)" in check(hub_token_value=GOOD, **there)
