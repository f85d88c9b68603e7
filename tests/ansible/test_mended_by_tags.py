"""Faults of a host that a tag of the playbook mends: what doctor prints, typed as it stands, mends them."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from doubles import env, hub
from doubles.model_files import model_files
from plays import Play
from sdops.checks import hub as hub_checks
from sdops.checks import runtime as runtime_checks
from sdops.checks import system as system_checks
from sdops.checks.finding import Status
from sdops.checks.judge import judge
from sdops.facts import access, cache, runtime, script, system, token
from sdops.facts import hub as hub_facts
from sdops.facts.host import HostFacts
from sdops.facts.reach import Reach
from sdops.facts.wanted import Wanted

pytestmark = pytest.mark.hosts

ROOT = Path(__file__).parents[2]
CHECKS = (*system_checks.CHECKS, *hub_checks.CHECKS, *runtime_checks.CHECKS)
PROBES = tuple(part.PROBE for part in (system, token, cache, runtime, hub_facts, access))
HOME = "/home/sdops"
TOKEN = f"{HOME}/.cache/huggingface/token"
UNIT = "sdops-runtime.service"
PORT = 8080


class Doctor:
    """Doctor's eyes and judgement on one host, and a person who types what it says."""

    def __init__(self, host, play, wanted):
        self.host, self.play, self.wanted = host, play, wanted

    def facts(self):
        """What a connection as root tells."""
        word = script.nonce()
        began = float(self.host.run(["date", "+%s.%N"]).stdout)
        text = script.compose(PROBES, self.wanted, word)
        ran = self.host.run(["sh", "-s"], stdin=text, timeout=120, check=False)
        outputs, whole = script.take_apart(ran.stdout.encode(), word)
        assert whole, ran.stdout + ran.stderr
        ended = float(self.host.run(["date", "+%s.%N"]).stdout)
        parts = {probe.name: probe.read(outputs.get(probe.name), self.wanted) for probe in PROBES}
        return HostFacts(self.host.name, self.wanted, Reach(started=began, answered=ended), **parts)

    def results(self):
        """What is wrong, and what could not be told."""
        return [one for one in judge(self.facts(), CHECKS) if one.status not in (Status.OK, Status.SKIPPED)]

    def type(self, command):
        """What a person does with a command of a remedy."""
        words = shlex.split(command)
        if words[0] == "ssh":
            _, login, there = words
            user, _, address = login.partition("@")
            assert address == self.host.address
            self.host.run(["sh", "-c", there], user=user, timeout=300)
            return
        environment = self.play.environment()
        argv = ["sh", "-c", command]
        ran = self.play.lab.controller.run(
            argv, timeout=300, check=False, env=environment, cwd=self.play.folder
        )
        assert ran.rc == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def doctor(lab, tmp_path_factory):
    """A host that is provisioned, but for conda; doctor finds nothing on it."""
    folder = tmp_path_factory.mktemp("mended")
    libraries = env.hub_libraries(folder)
    for path, data in model_files().items():
        place = folder / "model" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    program = [sys.executable, hub.__file__, "--port", str(PORT), "--model-dir", folder / "model", "--bind"]
    served = lab.serve(lambda address: [*program, address], PORT)
    host = lab.host()
    play = Play(lab, folder, "service_user", "hub_token", "runtime")
    variables = {"sdops_expect_gpu": False, "sdops_hub_endpoint": served.url}
    play.run(host, words=["--tags", "service_user"], **variables)
    env.furnish(host, libraries)
    # The mark of a finished environment.
    host.put(f"{HOME}/miniconda3/envs/env1/conda-meta/history", "")
    host.inside(["chown", "-R", "sdops:sdops", HOME])
    play.run(host, words=["--tags", "hub_token,runtime"], hub_token_value=hub.GOOD, **variables)
    built = subprocess.run(
        [sys.executable, ROOT / "runtime" / "build_pyz.py", folder / "own.pyz"],
        capture_output=True,
        check=True,
    )
    told = json.loads(built.stdout)
    words = [str(word) for word in (*play.argv(host, **variables), "-l", host.name)]
    wanted = Wanted(
        address=host.address,
        playbook=tuple(words),
        digest=told["digest"],
        protocol=told["protocol"],
        hub=served.url,
        expect_gpu=False,
    )
    yield Doctor(host, play, wanted)
    lab.remove(host)


#: What somebody does to the host, in a shell as root, and the first error that doctor then finds.
FAULTS = {
    "token-open": f"chmod 0644 {TOKEN}",
    "token-owner": f"chown root:root {TOKEN}",
    "linger": "loginctl disable-linger sdops; while test -e /run/user/$(id -u sdops); do sleep 0.1; done",
    "user-manager": "systemctl stop user@$(id -u sdops).service",
    "shell": "usermod --shell /usr/sbin/nologin sdops",
    "keys": f"rm {HOME}/.ssh/authorized_keys",
    "tmux": "dpkg --purge tmux",
    "sftp": "rm /usr/lib/openssh/sftp-server",
    "runtime-deployed": f"rm {HOME}/.local/lib/sdops/sdops-runtime.pyz",
    "launcher": f"chmod -x {HOME}/.local/bin/sdops-runtime",
    "runtime-damaged": f"truncate -s 20000 {HOME}/.local/lib/sdops/sdops-runtime.pyz",
    "runtime-protocol": (
        f"cd {HOME}/.local/lib/sdops; echo >>sdops-runtime.pyz; new=$(sha256sum <sdops-runtime.pyz)\n"
        'sed -i "s/\\"digest\\".*/\\"digest\\": \\"${new%% *}\\",/" receipt.json\n'
        'sed -i "s/\\"protocol\\".*/\\"protocol\\": 99,/" receipt.json'
    ),
    "runtime-stale": (
        f"cd {HOME}/.local/lib/sdops; echo >>sdops-runtime.pyz; new=$(sha256sum <sdops-runtime.pyz)\n"
        'sed -i "s/\\"digest\\".*/\\"digest\\": \\"${new%% *}\\",/" receipt.json'
    ),
    "unit": f"rm {HOME}/.config/systemd/user/{UNIT}; systemctl --user -M sdops@ daemon-reload",
    "worker-dead": f"systemctl --user -M sdops@ stop {UNIT}",
    "worker-disabled": f"systemctl --user -M sdops@ disable {UNIT}",
    "worker-loop": (
        f"systemctl --user -M sdops@ stop {UNIT}; cd {HOME}/.local/share\n"
        f"mv sdops aside; touch sdops; systemctl --user -M sdops@ start {UNIT}; rm sdops; mv aside sdops"
    ),
    "model-partial": (
        f"cd {HOME}/.cache/huggingface/hub/models--*/snapshots/*/unet && rm diffusion_pytorch_model.bin"
    ),
}


def test_nothing_is_found_on_a_provisioned_host(doctor):
    assert doctor.results() == []
    facts = doctor.facts()
    assert facts.runtime.service.active == "active"
    assert facts.runtime.current is True


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_what_is_printed_mends_it(doctor, name):
    if name == "model-partial":
        doctor.host.run(
            [
                "runuser",
                "-u",
                "sdops",
                "--",
                f"{HOME}/.local/bin/sdops-runtime",
                "fetch",
                doctor.wanted.model,
                "--revision",
                "fp16",
            ]
        )
    doctor.host.run(["sh", "-c", FAULTS[name]], check=False)
    found = [one for one in doctor.results() if one.finding]
    assert [one.check for one in found] == [name]
    (first,) = found
    if name == "worker-loop":
        assert any("queue-unusable" in line for line in first.finding.evidence)
    for command in first.finding.commands:
        doctor.type(command)
    assert doctor.results() == []
