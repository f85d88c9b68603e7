"""Whatever a desk says, each command ends in words: drawn by hypothesis, through the real conversation."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from sdops.desk import Conversation
from sdops.errors import SdopsError
from sdops.facts.wanted import Wanted
from sdops.inventory import Host
from sdops.jobs import follower, overview, remote
from sdops.jobs.find import find
from sdops.jobs.local import Outcome
from sdops.jobs.request import Asked
from sdops.jobs.sound import FIELDS
from sdops.report import jobs as jobs_report
from sdops.report import outcome as outcome_report
from sdops.report import progress
from sdops_runtime.protocol import PROTOCOL, JobRequest, Settings

JOB = "20260101-000000-0123abcd"
REQUEST = JobRequest(("photo.jpg",), ("a hat",), Settings(model="demo", images=2, seed=7))
HELLO = {"kind": "hello", "protocol": PROTOCOL, "waiting": 0, "serving": True, "digest": None}


class Told:
    """A session, and a place: its desk says these bytes, and no more."""

    name = "gpu1"
    wanted = Wanted(playbook=("ansible-playbook", "site.yml", "-l", "gpu1"))
    host = Host("gpu1")

    def __init__(self, *said):
        self.said = b"".join(
            one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in said
        )

    def stream(self, argv, take, *, stdin=b"", timeout):
        take(b"\n" + argv[-1].encode() + b"\n")
        take(self.said)
        return 0

    def conversation(self):
        return Talk(Conversation(self, self.name, self.wanted))


class Talk:
    def __init__(self, one):
        self.one = one

    def __enter__(self):
        return self.one

    def __exit__(self, *_):
        self.one.close()


@pytest.fixture(autouse=True, scope="module")
def _patient():
    patch = pytest.MonkeyPatch()
    patch.setattr(follower, "PATIENCE", -1.0)
    patch.setattr(follower, "PAUSES", (0.0,))
    yield
    patch.undo()


ODD = ["", "\x1b[45m[bold]x", "../../x", "a\nb", "\ud800", "x" * 300]
NUMBER = st.sampled_from([0, 1, -1, 2**31, 2**64, 10**400, 10**19])
PLAIN = (
    st.none()
    | st.booleans()
    | NUMBER
    | st.sampled_from([0.5, -1.5, 1e300, float("inf"), float("-inf"), float("nan")])
    | st.sampled_from(ODD)
)
ANY = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ODD), inner, max_size=2),
    max_leaves=4,
)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def drawn(**fields):
    """An object with these fields, each right, or anything, or not there."""
    parts = {name: st.just(right) | ANY for name, right in fields.items()}
    return st.fixed_dictionaries({}, optional=parts)


def ends_in_words(call, *kinds):
    try:
        return call()
    except SdopsError as error:
        assert str(error)
    return None


OUTLINE = {
    "job": JOB, "state": "running", "cancel": False, "made": 1, "failed": 0, "wanted": 2, "begun": 1.0,
    "ended": None, "reason": None, "inputs": ["photo.jpg"], "prompts": ["a hat"], "model": "demo",
}  # fmt: skip


@SETTINGS
@given(st.lists(drawn(**OUTLINE), max_size=3), drawn(left=0), st.booleans())
def test_a_list_of_jobs(capsys, jobs, last, as_json):
    said = [HELLO, *({**job, "kind": "job"} for job in jobs), {**last, "kind": "listed"}]
    listed = overview.look([Told(*said)], 20)
    assert listed[0].error is None or listed[0].error.code in ("host-nonsense", "connection-lost")
    jobs_report.render(listed, as_json)
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "Traceback" not in printed.err
    if as_json:
        json.loads(printed.out)


@SETTINGS
@given(drawn(**OUTLINE, request=json.loads(REQUEST.to_json())), drawn(jobs=[JOB]), st.booleans())
def test_a_job_that_is_looked_for_and_cancelled(capsys, monkeypatch, told, names, whole):
    place = Told(HELLO, *([] if whole else [{**names, "kind": "names"}]), {**told, "kind": "job"})
    monkeypatch.setattr("sdops.jobs.find.places", lambda *_: (place,))
    found = ends_in_words(lambda: find(JOB if whole else JOB[-8:], ["gpu1"], []))
    if found:
        assert found.name == JOB
        ends_in_words(lambda: found.outcome(Path("out")))
        for as_json in (False, True):
            jobs_report.render_cancelled([(found, found.told)], as_json)
    assert "\x1b" not in "".join(capsys.readouterr())


@SETTINGS
@given(drawn(removed=[JOB], kept=[JOB], freed=10))
def test_what_was_pruned(capsys, told):
    from sdops.commands import prune

    place = Told(HELLO, {**told, "kind": "pruned"})
    patch = pytest.MonkeyPatch()
    patch.setattr("sdops.jobs.place.places", lambda *_: (place,))
    try:
        for as_json in (False, True):
            with pytest.raises(BaseException) as ended:
                prune.prune(7.0, False, None, None, as_json)
            assert type(ended.value).__name__ == "Exit"
    finally:
        patch.undo()
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "Traceback" not in printed.err


VALUES = {
    int: st.sampled_from([0, 1, 2, -1, 2**64, 10**400]),
    float: st.sampled_from([0.5, -1.0, 1e300, float("nan"), float("inf")]),
    str: st.sampled_from([*ODD, "photo-7.png", "photo-8.png"]),
    bool: st.booleans(),
    list: st.lists(ANY, max_size=2),
    type(None): st.none(),
}


@st.composite
def events(draw):
    """An event with fields of the right types."""
    kind = draw(st.sampled_from(sorted(FIELDS)))
    data = {name: draw(st.one_of(*(VALUES[one] for one in types))) for name, types in FIELDS[kind].items()}
    data["at"] = draw(ANY)
    payload = b""
    if kind == "image" and draw(st.booleans()):
        payload = b"picture"
        data["bytes"] = len(payload)
    return json.dumps({"kind": "event", "event": kind, **data}).encode(), payload


def said_by(told):
    for number, (head, payload) in enumerate(told, 1):
        yield head[:-1] + b', "offset": %d}\n' % number + payload


@settings(SETTINGS, max_examples=200)
@given(st.lists(events(), max_size=6), st.booleans())
def test_what_happens_in_a_job(tmp_path_factory, capsys, told, live):
    place = Told(
        HELLO, *said_by(told), {"kind": "ended", "state": "done"}, {"kind": "job", "job": JOB, "state": ""}
    )
    folder = tmp_path_factory.mktemp("job")
    out = folder / "out"
    result = Outcome(Asked(REQUEST, (Path("photo.jpg"),)), out, job=JOB, host="gpu1")
    text = io.StringIO()
    patch = pytest.MonkeyPatch()
    console = Console(file=text, force_terminal=live, width=80, highlight=False)
    patch.setattr(progress, "messages", lambda: console)
    try:
        with progress.watch(quiet=False) as watch:
            ends_in_words(lambda: remote.attach(place, result, False, watch, True))
    finally:
        patch.undo()
    for as_json in (False, True):
        outcome_report.render(result, as_json)
    printed = capsys.readouterr()
    json.loads(printed.out.splitlines()[-1])
    assert "\x1b" not in printed.out + printed.err
    # Red is our own.
    assert ("\x1b[45m" if live else "\x1b") not in text.getvalue()
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left <= {"out/photo-7.png", "out/photo-8.png", "out/sdops.ndjson"}


@settings(SETTINGS, max_examples=200)
@given(st.lists(events(), max_size=4), drawn(text="hello"))
def test_what_happened_in_a_job_as_logs_show_it(capsys, monkeypatch, told, log):
    from sdops.commands import logs

    lines = [*said_by(told), {"kind": "ended", "state": "done"}, {**log, "kind": "log"}]
    about = {"kind": "job", "request": json.loads(REQUEST.to_json()), **OUTLINE}
    places = iter([Told(HELLO, about), Told(HELLO, *lines)] * 2)
    monkeypatch.setattr("sdops.jobs.find.places", lambda *_: (Both(places),))
    for as_json in (False, True):
        ends_in_words(lambda: logs.logs(JOB, 5, ["gpu1"], None, as_json))  # noqa: B023
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "Traceback" not in printed.err


class Both:
    """A place that is asked twice."""

    name = "gpu1"
    wanted = Told.wanted
    host = Told.host

    def __init__(self, places):
        self._places = places

    def conversation(self):
        return next(self._places).conversation()
