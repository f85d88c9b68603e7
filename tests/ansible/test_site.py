"""site.yml as a whole, with nothing left out: fresh hosts become hosts that make pictures.

The guide's libraries are real (torch of PyPI's build, which is the guide's version without the
guide's CUDA); the demo model stands at the hub's double under the real one's name.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles import hub, model_files
from fleets import Fleet, converge, of_each_release
from hosts.host import Host
from hosts.lab import Lab
from PIL import Image
from plays import Play
from sdops_runtime import protocol, stack

pytestmark = pytest.mark.hosts

GUIDE = stack.load("guide")
TORCH = GUIDE.pin("torch")
MODEL = "CompVis/stable-diffusion-v1-4"
LIBRARIES = "/home/sdops/.conda/envs/env1/lib"
LAUNCHER = ".local/bin/sdops-runtime"


@pytest.fixture(scope="module")
def play(lab: Lab, tmp_path_factory: pytest.TempPathFactory, mirrored: dict[str, object]) -> Play:
    """site.yml with the settings of a person who has mirrors of everything, and wants the model at once."""
    variables = {**mirrored, "hub_token_value": hub.GOOD, "hub_token_check": True, "runtime_prefetch": True}
    return Play(lab, tmp_path_factory.mktemp("site"), playbook="site.yml", variables=variables)


@pytest.fixture(scope="module")
def fleet(lab: Lab, play: Play) -> Iterator[Fleet]:
    with of_each_release(lab) as hosts:
        for host in hosts.values():
            # The way to the public index; these hosts have a mirror in their own network.
            (host.root / "etc/pip.conf").unlink()
        yield converge(play, hosts)


@pytest.fixture
def host(provisioned: Host) -> Host:
    """A provisioned host of each release in turn."""
    return provisioned


def test_check_mode_on_fresh_hosts_passes_and_changes_nothing(fleet: Fleet) -> None:
    assert fleet.foretold.changed
    assert fleet.touched == ()


def test_ansible_warns_of_nothing(fleet: Fleet) -> None:
    for outcome in (fleet.foretold, fleet.first, fleet.second, fleet.after):
        assert "WARNING" not in outcome.text


def test_afterwards_nothing_changes(fleet: Fleet) -> None:
    fleet.settled()


def test_the_licence_is_told_and_lies_beside_the_model(fleet: Fleet, host: Host) -> None:
    assert "Licence: CreativeML Open RAIL-M" in fleet.first.text
    found = host.run(["find", ".cache/huggingface/hub", "-name", "LICENSE"], user="sdops").stdout.split()
    assert len(found) == 1
    assert host.run(["cat", *found], user="sdops").stdout == model_files.LICENCE


@pytest.mark.parametrize("how", ["-l", "-i"], ids=["login", "interactive"])
def test_a_shell_has_conda_and_the_hooks_work(host: Host, how: str) -> None:
    script = 'conda activate env1 && echo "${LD_LIBRARY_PATH-unset}" && python --version'
    told = host.run(["bash", how, "-c", script], user="sdops").stdout.splitlines()
    path, python = told
    assert path == LIBRARIES
    assert python.startswith(f"Python {GUIDE.python}.")


def test_the_launcher_works_as_a_command_over_ssh(host: Host) -> None:
    """No login, no terminal: the environment is the right one all the same."""
    (line,) = host.run([LAUNCHER, "check"], user="sdops", timeout=120).stdout.splitlines()
    told = json.loads(line)
    assert (told["stack"], told["torch"].partition("+")[0], told["device"]) == ("guide", TORCH, "cpu")
    assert told["library_path"] == LIBRARIES


def call(host: Host, *words: str) -> list[dict[str, Any]]:
    """What a command of the runtime says, run as the account over SSH."""
    ran = host.run(["env", "HF_HUB_OFFLINE=1", LAUNCHER, *words], user="sdops", timeout=300)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def put_job(host: Host, photo: Path, images: int = 1) -> tuple[str, str]:
    """Puts a request and its photograph on the host; returns where they are."""
    settings = protocol.Settings(model=MODEL, steps=4, width=128, seed=7, images=images)
    request = protocol.JobRequest(("photo.jpg",), ("wearing a christmas hat",), settings)
    host.put("/srv/photo.jpg", photo.read_bytes())
    host.put("/srv/request.json", request.to_json())
    return "/srv/request.json", "/srv/photo.jpg"


def test_the_account_makes_a_picture(host: Host, photo: Path) -> None:
    """The model is on the disk already: the hub is not asked."""
    events = call(host, "run", *put_job(host, photo), "--out", "pictures")
    assert events[-1]["kind"] == "done", events[-1]
    (picture,) = (host.root / "home/sdops/pictures").glob("*.png")
    with Image.open(picture) as image:
        assert (image.format, image.width) == ("PNG", 128)
        assert len(image.getcolors(1 << 20) or ()) > 100


def test_the_worker_makes_pictures_and_comes_back_with_its_host(host: Host, photo: Path) -> None:
    """The host is rebooted in the middle of a job."""
    (job,) = call(host, "submit", *put_job(host, photo, images=40))
    wait(lambda: any(event["kind"] == "image" for event in call(host, "events", job["job"])))
    host.reboot()
    wait(lambda: [one["state"] for one in call(host, "jobs")] == ["done"])
    made = [event for event in call(host, "events", job["job"]) if event["kind"] == "image"]
    assert [event["seed"] for event in made] == list(range(7, 47))
    out = host.root / job["out"].lstrip("/")
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.png")}
    assert found == {event["name"]: event["sha256"] for event in made}


def test_teardown_leaves_nothing_of_it(lab: Lab, tmp_path: Path, fleet: Fleet) -> None:
    """Last of all: the hosts are as good as new, but for Debian's packages."""
    hosts = tuple(fleet.hosts.values())
    numbers = [host.inside(["id", "-u", "sdops"]).stdout.strip() for host in hosts]
    gone = Play(lab, tmp_path, playbook="teardown.yml", variables={"sdops_teardown_confirmed": True})
    assert gone.run(*hosts).changed
    assert gone.run(*hosts).changed == ()
    for host, number in zip(hosts, numbers, strict=True):
        assert host.inside(["find", "/", "-xdev", "-uid", number, "-not", "-path", "/proc/*"]).stdout == ""
        assert host.inside(["find", "/etc", "/var", "/home", "-name", "*sdops*"]).stdout == ""
        assert host.inside(["getent", "passwd", "sdops"], check=False).stdout == ""


def wait(condition: Callable[[], bool], timeout: float = 120) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)
