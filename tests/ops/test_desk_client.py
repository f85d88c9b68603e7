"""The client's side of a conversation: nothing that a host says does harm, whatever it is."""

import json
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sdops import desk
from sdops.desk import Message
from sdops.errors import SdopsError
from sdops.jobs import follower, ticket
from sdops.jobs.sound import FIELDS, sound
from sdops_runtime.protocol import PROTOCOL

ROOT = Path(__file__).parents[2]
WORD = "sdops-0123456789abcdef"


def read(*pieces):
    """What a reader makes of pieces, and what it refuses."""
    reader = desk._Reader(WORD)
    messages = []
    for piece in pieces:
        messages += reader.feed(piece)
    return messages, reader


def test_messages_are_read_however_they_are_cut():
    text = b'Welcome!\n{"kind": "hello"}\n' + f"\n{WORD}\n".encode()
    text += (
        b'{"kind": "hello", "protocol": 1}\n{"kind": "event", "bytes": 4}\n\x00\n\xff\n{"kind": "ended"}\n'
    )
    expected = [
        Message("hello", {"protocol": 1}),
        Message("event", {"bytes": 4}, b"\x00\n\xff\n"),
        Message("ended"),
    ]
    assert read(text)[0] == expected
    assert read(*(text[at : at + 1] for at in range(len(text))))[0] == expected


def test_an_empty_picture_is_a_picture():
    assert read(f'\n{WORD}\n{{"kind": "event", "bytes": 0}}\n'.encode())[0] == [
        Message("event", {"bytes": 0}, b"")
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_whatever_comes_is_read_or_refused(pieces, begun):
    if begun:
        pieces = [f"\n{WORD}\n".encode(), *pieces]
    try:
        _, reader = read(*pieces)
    except SdopsError as error:
        assert error.code == "host-nonsense"
    else:
        reader.complaint()
        reader.last_line()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_an_event_has_what_readers_count_on_or_is_refused(kind, data):
    fields = data.draw(st.fixed_dictionaries(dict.fromkeys(FIELDS[kind], JSON)))
    try:
        event = sound(Message("event", {"event": kind, "offset": 1, **fields}))
    except SdopsError as error:
        assert error.code == "host-nonsense"
    else:
        assert event.kind == kind
        assert all(isinstance(event.data[name], types) for name, types in FIELDS[kind].items())


def test_an_event_of_a_kind_that_is_not_known_is_passed_over():
    assert sound(Message("event", {"event": "dance", "offset": 3})) is None


# -- a host that lies: a program in the place of the runtime's launcher

LIAR = '''#!{python}
import json, sys, time
def say(**data):
    sys.stdout.buffer.write(json.dumps(data).encode() + b"\\n"); sys.stdout.buffer.flush()
def raw(data):
    sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
def begin(**more):
    raw(b"\\n" + sys.argv[2].encode() + b"\\n")
    say(**{{"kind": "hello", "version": "1", "protocol": {protocol}, "digest": None, "serving": True,
            "waiting": 0, "free": 10**12, **more}})
def event(kind, offset=1, **data):
    say(kind="event", event=kind, offset=offset, **data)
def image(payload=b"picture", **data):
    import hashlib
    said = dict(index=0, name="photo-7.png", seed=7, input=0, prompt=0, width=64, height=64, seconds=0.1,
                flagged=False, retried=False, sha256=hashlib.sha256(payload).hexdigest(), bytes=len(payload))
    said.update(data)
    event("image", **said); raw(payload)
def end(**data):
    event("done", offset=2, **dict(dict(images=1, failed=0, flagged=0, missing=[], seconds=1.0), **data))
    say(kind="ended", state="done")
job = ""
def accept():
    """Takes the input and the job as a desk does; the client asks for the events next."""
    global job
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        if asked["do"] == "have": say(kind="missing", sha256=[])
        if asked["do"] == "submit": job = asked["job"]; say(kind="job", job=job, state="queued")
        if asked["do"] == "follow": return
{text}
for line in sys.stdin.buffer:
    say(kind="job", job=job)
'''


def write(launcher, text):
    """Makes the program that lies."""
    launcher.write_text(LIAR.format(python=sys.executable, protocol=PROTOCOL, text=textwrap.dedent(text)))
    launcher.chmod(0o755)


@pytest.fixture
def liar(sdops, tmp_path, monkeypatch):
    """Runs `sdops run` on a host whose runtime is a program."""
    home = tmp_path / "home"
    launcher = home / desk.LAUNCHER
    launcher.parent.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(follower, "PAUSES", (0.01,))
    monkeypatch.setattr(follower, "PATIENCE", 0.2)
    monkeypatch.setattr(desk, "SILENCE", 1.0)
    monkeypatch.setattr(desk, "HELLO", 1.0)
    monkeypatch.setattr(follower, "WAKING", 1.0)
    folder = Path.cwd()
    (folder / "inventory.ini").write_text("gpu1 ansible_connection=local\n")
    Image.new("RGB", (64, 64), "red").save(folder / "photo.jpg")

    def call(text, *words):
        if text is not None:
            write(launcher, text)
        asked = ("photo.jpg", "a hat", "--model", "demo", "--width", "64", "--seed", "7", "--out", "out")
        return sdops("run", *asked, *words)

    call.folder = folder
    call.launcher = launcher
    return call


def files(folder):
    """All files below a folder but what a test itself put there."""
    own = {"inventory.ini", "photo.jpg", "sdops.ndjson"}
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name not in own
    )


def test_a_host_that_does_not_lie(liar):
    ran = liar("begin(); accept(); image(); end()", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["ok"], told["on"]) == (0, True, "gpu1")
    assert files(liar.folder) == ["out/photo-7.png"]
    assert (liar.folder / "out/photo-7.png").read_bytes() == b"picture"


LIES = {
    "parent": ('image(name="../photo-7.png")', "host-nonsense"),
    "absolute": ('image(name="/tmp/sdops-lie.png")', "host-nonsense"),
    "other-name": ('image(name="other.png")', "host-nonsense"),
    "newline": (r'image(name="photo-7.png\n")', "host-nonsense"),
    "no-such-number": ("image(index=1)", "host-nonsense"),
    "negative": ("image(index=-1)", "host-nonsense"),
    "not-a-number": ('image(index="0")', "host-nonsense"),
    "seconds": ('image(seconds="long")', "host-nonsense"),
    "true-for-one": ("image(width=True)", "host-nonsense"),
    "huge": ("image(bytes=10**12)", "host-nonsense"),
    "less-than-none": ("image(bytes=-1)", "host-nonsense"),
    "other-bytes": ('image(sha256="0" * 64)', "transfer-failed"),
    "gone": ("image(payload=b'', bytes=None)\nend()", None),
    "no-json": (r'raw(b"\x00\xff garbage\n")', "host-nonsense"),
    "no-object": (r'raw(b"[1, 2]\n")', "host-nonsense"),
    "deep": (r'raw(b"[" * 100000 + b"\n")', "host-nonsense"),
    "half-a-picture": ("image(bytes=100)\nraise SystemExit(0)", "connection-lost"),
    "ends": ("raise SystemExit(3)", "connection-lost"),
    "silence": ("time.sleep(30)", "connection-lost"),
    "says-error": (
        'say(kind="error", code="disk-full", message="No [bold]space[/bold] \\x1b[31m.", hint="Free some.")',
        "disk-full",
    ),
    "unknown-error": ('say(kind="error", code="so-new", message="What.", hint="")', "runtime-broken"),
    "not-even-words": ('say(kind="error", code=5, message=None, hint=[])', "runtime-broken"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_an_error_in_words_and_leaves_no_file(liar, name):
    text, code = LIES[name]
    ran = liar(f"begin(); accept()\n{text}", "--json")
    told = json.loads(ran.out)
    assert not told["ok"]
    assert ran.code == 1
    if code:
        assert told["error"]["code"] == code
    else:
        assert [error["code"] for error in told["unsaved"]] == ["picture-lost"]
    assert files(liar.folder) == []
    assert not Path("/tmp/sdops-lie.png").exists()


def test_what_a_host_says_is_escaped_before_it_is_printed(liar):
    ran = liar(
        r"""
        begin(); accept()
        event("notice", code="x", message="[bold]loud[/bold] \x1b]0;title\x07 [link=x]y")
        event("loading", 2, model="[red]m\x1b[2J")
        image(offset=3); event("cancelled", 4, images=1, failed=0, flagged=0, missing=[], seconds=1.0)
        say(kind="ended", state="cancelled")
        """
    )
    assert ran.code == 130
    assert "\x1b" not in ran.err + ran.out
    assert "\x07" not in ran.err
    assert "[bold]loud[/bold]" in ran.err
    assert "[red]m" in ran.err


def test_events_told_again_after_a_break_are_counted_once(liar):
    # Breaks off behind the first of two pictures; the second conversation tells all of it again.
    ran = liar(
        """
        import pathlib
        first = not pathlib.Path("been").exists(); pathlib.Path("been").touch()
        begin(); accept()
        image()
        if first: raise SystemExit(0)
        image(payload=b"second", index=1, name="photo-8.png", offset=2)
        event("done", offset=3, images=2, failed=0, flagged=0, missing=[], seconds=1.0)
        say(kind="ended", state="done")
        """,
        "--images",
        "2",
        "--json",
    )
    told = json.loads(ran.out)
    assert (ran.code, [one["name"] for one in told["pictures"]]) == (0, ["photo-7.png", "photo-8.png"])


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("begin(protocol=99)", "protocol-mismatch", "--tags runtime"),
        ('begin(protocol="x")', "protocol-mismatch", "--tags runtime"),
        ('begin(digest="0" * 64); accept()', "runtime-stale", "--tags runtime"),
        (
            'say(code="usage", message="attend?", hint="")\nraise SystemExit(2)',
            "runtime-stale",
            "--tags runtime",
        ),
        (
            'say(code="stack-missing", message="The environment env1 is not there.", '
            'hint="Make it: ansible-playbook ansible/site.yml --tags miniconda,stack_env")\n'
            "raise SystemExit(1)",
            "stack-missing",
            "-l gpu1 --tags miniconda,stack_env",
        ),
        (
            'print("Segmentation fault", flush=True)\nraise SystemExit(139)',
            "runtime-broken",
            "sdops doctor gpu1",
        ),
        ("time.sleep(30)", "connection-lost", "still runs"),
    ],
    ids=["protocol", "no-protocol", "digest", "older", "env", "crash", "silent"],
)
def test_a_runtime_that_is_not_fit_is_said_with_its_remedy(liar, text, code, words):
    ran = liar(text, "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["error"]["code"]) == (1, code)
    assert words in told["error"]["hint"]
    assert ticket.last() is None


def test_a_host_without_a_runtime_is_said_with_its_remedy(liar, sdops):
    ran = liar(None, "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["error"]["code"]) == (1, "runtime-missing")
    assert told["error"]["hint"].endswith("--tags runtime")


def test_banners_before_the_first_word_do_no_harm(liar):
    ran = liar(
        r"""
        print("Welcome to gpu1!\n{\"kind\": \"hello\"}\n" * 50, flush=True)
        begin(); accept(); image(); end()
        """
    )
    assert ran.code == 0


@pytest.mark.parametrize("word", ["../../etc/passwd", "\x1b[31m", "", "'; rm -rf ~", "é" * 500, "*"])
@pytest.mark.parametrize("command", ["attach", "cancel"])
def test_an_odd_name_of_a_job_does_no_harm(liar, sdops, word, command):
    before = files(liar.folder)
    write(
        liar.launcher,
        """
                begin()
                for line in sys.stdin.buffer:
                    asked = json.loads(line)
                    if asked["do"] == "names": say(kind="names", jobs=["../../x", 5])
                    else: say(kind="error", code="job-unknown", message="No.", hint="")
                """,
    )
    ran = sdops(command, "--host", "gpu1", "--", word)
    assert ran.code in (1, 2), ran
    assert "\x1b" not in ran.err
    assert files(liar.folder) == before


def test_names_that_a_host_makes_up_are_not_taken(liar, sdops):
    write(
        liar.launcher,
        'begin()\nsys.stdin.buffer.readline()\nsay(kind="job", job="../../x", request={})\njob = ""',
    )
    ran = sdops("attach", "20260101-000000-0123abcd", "--host", "gpu1")
    assert (ran.code, ran.err) == (1, "Error: gpu1 was asked for a job and told of another.\n")
