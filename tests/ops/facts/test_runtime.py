"""The probe ``runtime``: what is deployed, the service, the queue. On whole hosts: tests/ansible."""

import hashlib
import json

import pytest
from sdops.facts import access, runtime
from sdops.facts.access import Access
from sdops.facts.lines import UNSAID
from sdops.facts.probe import Output
from sdops.facts.runtime import Queue, Receipt, Runtime, Service
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted
from sdops_runtime.protocol import JobRequest
from sdops_runtime.queue import Queue as RealQueue

from .asking import ME, ask

DIGEST = "d" * 64
RECEIPT = json.dumps({"version": "1", "protocol": 1, "digest": DIGEST, "stack": "guide", "env": "env1"})
STATUS = "service=LoadState=loaded\nservice=ActiveState={}\nservice=SubState={}\nservice=Result={}\n"
TEXT = f"""account=1000
home=yes
receipt={RECEIPT}
archive={DIGEST}
launcher=yes
python=/home/sdops/miniconda3/envs/env1/bin/python
python_there=yes
unit=yes
enabled=yes
manager=yes
queue=1000 sdops
{STATUS.format("active", "running", "success")}service=NRestarts=0
service=MainPID=812
service=StatusText=Making pictures of job 20260101-000000-aaaa
jobs=queued 2
jobs=running 1
running=20260101-000000-aaaa
queue_read=yes
current=yes
whole=yes
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path


def at(home):
    """Makes the probe take a folder for the account's home."""
    return f"home='{home}'; unset XDG_DATA_HOME; XDG_DATA_HOME='{home}/.local/share'"


def look(home):
    return ask(runtime.PROBE, before=at(home))[0]


def test_the_answer_is_read():
    found = runtime.parse(Output(TEXT), Wanted())
    assert found == Runtime(
        receipt=Receipt("1", 1, DIGEST, "guide", "env1"),
        archive=DIGEST,
        launcher="yes",
        python="/home/sdops/miniconda3/envs/env1/bin/python",
        python_there=True,
        unit=True,
        enabled=True,
        manager=True,
        service=Service(
            "loaded", "active", "running", "success", 0, 812, "Making pictures of job 20260101-000000-aaaa"
        ),
        queue=Queue(own=True, owner="sdops", queued=2, running=1, jobs_running=("20260101-000000-aaaa",)),
        current=True,
    )
    assert found.service.busy == "20260101-000000-aaaa"


def test_nothing_is_there_at_first(home):
    found = look(home)
    assert (found.receipt, found.archive, found.launcher, found.queue) == (None, "", "none", None)
    assert (found.unit, found.enabled) == (False, False)


def test_what_is_deployed_is_told(home):
    lib, launcher = home / ".local/lib/sdops", home / ".local/bin/sdops-runtime"
    lib.mkdir(parents=True)
    launcher.parent.mkdir(parents=True)
    (lib / "sdops-runtime.pyz").write_bytes(b"PK")
    (lib / "receipt.json").write_text(json.dumps(json.loads(RECEIPT), indent=4))
    launcher.write_text("#!/bin/bash\nprefix='/x'\npython='/x/y z/python'\n")
    found = look(home)
    assert found.archive == hashlib.sha256(b"PK").hexdigest()
    assert found.receipt == Receipt("1", 1, DIGEST, "guide", "env1")
    assert (found.launcher, found.python) == ("unusable", "")
    launcher.chmod(0o755)
    found = look(home)
    assert (found.launcher, found.python, found.python_there) == ("yes", "/x/y z/python", False)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"protocol": null}'])
def test_a_receipt_that_cannot_be_read_is_none(text):
    assert runtime.parse(Output(TEXT.replace(RECEIPT, text)), Wanted()).receipt is None


def tree(folder):
    """What lies below a folder, with sizes and times."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def filled(home):
    """A queue of the runtime's own, with two jobs of which one runs."""
    queue = RealQueue(home / ".local/share/sdops")
    source = home / "a.png"
    source.write_bytes(b"")
    jobs = [queue.submit(JobRequest(("a.png",), ("a hat",)), [source]) for _ in range(2)]
    queue.claim()
    return queue, jobs


def test_the_queue_is_counted_and_not_touched(home):
    _, (first, _) = filled(home)
    before = tree(home)
    found = look(home).queue
    assert found == Queue(own=True, owner=ME.pw_name, queued=1, running=1, jobs_running=(first.id,))
    assert tree(home) == before


def test_what_a_worker_is_just_writing_is_seen(home):
    queue, _ = filled(home)
    with queue._open() as base:
        base.execute("UPDATE jobs SET state = 'done' WHERE state = 'running'")
        base.commit()
        assert (home / ".local/share/sdops/queue.sqlite-wal").stat().st_size
        found = look(home).queue
        assert (found.queued, found.running, found.done) == (1, 0, 1)


@pytest.mark.parametrize(
    "content", [pytest.param(b"no database at all" * 99, id="garbage"), pytest.param(b"", id="empty")]
)
def test_a_queue_that_is_none_is_told(home, content):
    place = home / ".local/share/sdops/queue.sqlite"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    assert look(home).queue.error


def test_somebody_elses_queue_is_told():
    found = runtime.parse(Output(TEXT.replace("queue=1000 sdops", "queue=0 root")), Wanted()).queue
    assert (found.own, found.owner) == (False, "root")


def test_a_service_that_systemd_does_not_know_is_none():
    text = TEXT.replace("LoadState=loaded", "LoadState=not-found").replace(
        "ActiveState=active", "ActiveState=inactive"
    )
    assert runtime.parse(Output(text), Wanted()).service is None


def test_without_systemd_the_service_is_unknown():
    text = "".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith("service="))
    assert runtime.parse(Output(text), Wanted()).service == UNSAID


def test_an_answer_that_was_cut_off_leaves_the_rest_unknown():
    lines, whole = TEXT.splitlines(keepends=True), runtime.parse(Output(TEXT), Wanted())
    for end in range(2, len(lines)):
        found = runtime.parse(Output("".join(lines[:end])), Wanted())
        for name in ("receipt", "archive", "launcher", "unit", "enabled", "manager"):
            assert getattr(found, name) in (getattr(whole, name), UNSAID), (name, end)
        assert found.queue in (whole.queue, UNSAID)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            'asked=yes\nstatus=0\nsaid={"kind": "access", "token": "x"}', Access(token="x"), id="good"
        ),
        pytest.param(
            'asked=yes\nstatus=1\nsaid={"code": "token-refused", "message": "No.", "hint": ""}',
            Access("token-refused", "No."),
            id="refused",
        ),
        pytest.param("asked=needless", Access(), id="a-folder"),
        pytest.param(
            "asked=missing", Unknown("the runtime, which would ask the hub, is not on the host"), id="none"
        ),
        pytest.param(
            "asked=yes\nstatus=127\nsaid=bash: no such file",
            Unknown("the runtime, which would ask the hub, does not run"),
            id="broken",
        ),
    ],
)
def test_what_the_runtime_was_told_is_read(text, found):
    assert access.PROBE.read(Output(f"account=1000\n{text}\n"), Wanted()) == found


def test_the_launcher_is_asked_as_the_account_and_once(home):
    launcher = home / ".local/bin/sdops-runtime"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(
        f'#!/bin/sh\necho "$*" >>"{home}/asked"\necho noise\necho "{{\\"code\\": \\"hub-offline\\"}}"\n'
    )
    launcher.chmod(0o755)
    found, _ = ask(access.PROBE, before=at(home))
    assert found == Access("hub-offline")
    assert (home / "asked").read_text() == "access CompVis/stable-diffusion-v1-4 --revision fp16\n"
