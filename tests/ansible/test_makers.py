"""Hosts that make pictures make the very ones that the same libraries make here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import makers
import pytest
from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError
from sdops_runtime.protocol import JobRequest, Settings

REQUEST = JobRequest(
    ("photo.jpg",), ("wearing a christmas hat",), Settings(model="demo", width=128, steps=5, images=2, seed=7)
)

#: Asks for a job's events until it has ended.
FOLLOW = """until "$0" events "$1" | grep -E '"kind": "(done|failed|cancelled)"' >&2; do sleep 0.2; done
"$0" events "$1"
"""


def make(host: Host, photo: Path) -> list[dict[str, object]]:
    """Has a host make the pictures of REQUEST; the job's events."""
    for name, content in (("request.json", REQUEST.to_json().encode()), ("photo.jpg", photo.read_bytes())):
        host.run(["tee", f"/home/sdops/{name}"], user="sdops", stdin=content)
    submitted = host.run([makers.LAUNCHER, "submit", "request.json", "photo.jpg"], user="sdops")
    job = json.loads(submitted.stdout)["job"]
    told = host.run(["timeout", "100", "sh", "-c", FOLLOW, makers.LAUNCHER, job], user="sdops", timeout=120)
    return [json.loads(line) for line in told.stdout.splitlines()]


def pictures(events: list[dict[str, object]]) -> list[tuple[object, object]]:
    """Name and digest of each picture."""
    return [(event["name"], event["sha256"]) for event in events if event["kind"] == "image"]


@pytest.mark.hosts
def test_a_host_makes_the_very_pictures_that_are_made_here(
    lab: Lab, guide: makers.Guide, maker: Host, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "request.json").write_text(REQUEST.to_json())
    command = [makers.VENV / "bin/python", "-m", "sdops_runtime", "run", tmp_path / "request.json", photo]
    here = lab.controller.run([*command, "--out", tmp_path / "out"], env=makers.environment(guide.cache))
    expected = pictures([json.loads(line) for line in here.stdout.splitlines()])
    assert len(expected) == 2

    events = make(maker, photo)
    assert events[-1]["kind"] == "done", events
    assert [event["stack"] for event in events if event["kind"] == "loaded"] == ["guide"]
    assert pictures(events) == expected
    folder = maker.root / "home/sdops/.local/share/sdops/jobs"
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*/out/*.png")}
    assert found == dict(expected)


@pytest.mark.hosts
def test_a_host_that_was_rebooted_makes_pictures_again(maker: Host, photo: Path) -> None:
    maker.reboot()
    events = make(maker, photo)
    assert (events[-1]["kind"], len(pictures(events))) == ("done", 2), events


@pytest.mark.hosts
def test_service_and_logins_compute_with_one_thread_and_look_for_no_hub(maker: Host) -> None:
    ask = ["systemctl", "--user", "show", "--property=MainPID", "--value", "sdops-runtime"]
    pid = maker.run(ask, user="sdops").stdout.strip()
    for environ in (f"/proc/{pid}/environ", "/proc/self/environ"):
        given = maker.run(["cat", environ], user="sdops").stdout.split("\0")
        assert {"OMP_NUM_THREADS=1", "HF_HUB_OFFLINE=1"} <= set(given)


def test_without_the_guides_libraries_it_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(makers, "VENV", tmp_path / ".venv-guide")
    with pytest.raises(UnavailableError, match=r"\.venv-guide: run make test-guide"):
        makers.find(tmp_path)
