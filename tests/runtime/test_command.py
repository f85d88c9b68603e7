"""The runtime's own command line: one JSON object a line, errors included."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from doubles.hub import GOOD, NO_LICENCE, FakeHub
from doubles.model_files import NAME, model_files
from sdops_runtime import command, licence
from sdops_runtime.hub import client as hub_client
from sdops_runtime.protocol import JobRequest, Settings

ROOT = Path(__file__).parents[2]
QUICK = {"model": "demo", "width": 128, "steps": 4, "strength": 0.5, "seed": 7}
CARD = b"---\nlicense: creativeml-openrail-m\ntags:\n- stable-diffusion\n---\n# A model\n"


@pytest.fixture
def call(capfd):
    """Calls the command; returns its exit code and the lines of its answer."""

    def run(*words):
        try:
            code = command.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        return code, [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    return run


@pytest.fixture
def fake(tmp_path, monkeypatch, libraries):
    """A hub, an empty cache, no token, no patience."""
    from huggingface_hub import utils

    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub_client, "PAUSE", 0.01)
    monkeypatch.chdir(tmp_path)
    with FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
    # The library keeps its connections for ever; their sockets would be reported as left open.
    (getattr(utils._http, "close_session", None) or utils._http.reset_sessions)()


def request_file(folder, inputs, **settings):
    request = JobRequest(tuple(inputs), ("a hat",), Settings(**dict(QUICK, **settings)))
    path = folder / "request.json"
    path.write_text(request.to_json(), encoding="utf-8")
    return path


# version


def test_from_a_folder_there_is_no_digest(call):
    code, (said,) = call("version")
    assert code == 0
    assert (said["version"], said["protocol"], said["digest"]) == (command.sdops_runtime.__version__, 1, None)


# run


def test_a_job_runs_and_its_events_are_the_lines(call, photo, tmp_path, libraries):
    file = request_file(tmp_path, ["photo.jpg"], images=2)
    code, lines = call("run", file, photo, "--out", tmp_path / "out", "--device", "cpu")
    kinds = [line["kind"] for line in lines if line["kind"] not in ("notice", "step")]
    assert (code, kinds) == (0, ["loading", "loaded", "planned", "image", "image", "done"])
    names = [line["name"] for line in lines if line["kind"] == "image"]
    assert (
        names == sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo-7.png", "photo-8.png"]
    )


def test_a_bad_input_fails_its_picture_and_the_exit_code(call, photo, tmp_path, libraries):
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a picture")
    file = request_file(tmp_path, ["photo.jpg", "bad.jpg"])
    code, lines = call("run", file, photo, bad, "--out", tmp_path / "out", "--device", "cpu")
    assert code == 1
    assert [line["code"] for line in lines if line["kind"] == "item_failed"] == ["image-unreadable"]
    assert lines[-1]["kind"] == "done"


def test_wrong_input_is_exit_code_2_and_said_once(call, tmp_path, libraries):
    file = request_file(tmp_path, ["photo.jpg"])
    code, (line,) = call("run", file, tmp_path / "none.jpg", "--out", tmp_path / "out")
    assert (code, line["kind"], line["code"]) == (2, "failed", "image-missing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "cannot be read: No such file or directory.", id="no file"),
        pytest.param(b"\xff\xfe", "cannot be read: it is not UTF-8.", id="bytes"),
        pytest.param(b"{", "is not valid JSON of sdops.", id="no JSON"),
        pytest.param(b'{"protocol": 99}', "speaks protocol 99, this runtime 1.", id="another protocol"),
    ],
)
def test_a_request_that_cannot_be_read_is_said(call, tmp_path, text, message):
    file = tmp_path / "request.json"
    if text is not None:
        file.write_bytes(text)
    code, (line,) = call("run", file, "photo.jpg", "--out", tmp_path / "out")
    assert (code, line["code"]) == (2, "request-invalid")
    assert line["message"].endswith(message)


def test_each_of_the_requests_inputs_needs_a_file(call, tmp_path):
    code, (line,) = call("run", request_file(tmp_path, ["a", "b"]), "a", "--out", tmp_path)
    assert (code, line["code"]) == (2, "request-invalid")
    assert line["message"] == "The request names 2 inputs and 1 files were given."


def test_an_interrupt_ends_the_job_and_says_so(photo, tmp_path, demo_folder):
    """In a process of its own, since the signal is real. The finished picture stays."""
    file = request_file(tmp_path, ["photo.jpg"], images=500)
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "runtime"))
    words = ["run", file, photo, "--out", tmp_path / "out", "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "sdops_runtime", *words], stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        for line in process.stdout:
            if json.loads(line)["kind"] == "image":
                process.send_signal(signal.SIGINT)
                break
        last = [json.loads(line) for line in process.stdout][-1]
    assert (process.returncode, last["kind"]) == (130, "cancelled")
    assert len(list((tmp_path / "out").glob("*.png"))) == last["images"] > 0


def test_a_reader_that_leaves_is_no_crash():
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "runtime"))
    wait = "sys.stdin.read(); sys.exit(command.main(['version']))"
    script = f"import sys; from sdops_runtime import command; {wait}"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    process.stdout.close()
    process.stdin.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == 1


# usage


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param([], "the following arguments are required: COMMAND.", id="no command"),
        pytest.param(["dance"], "invalid choice: 'dance'", id="unknown command"),
        pytest.param(["fetch"], "the following arguments are required: MODEL.", id="no model"),
        pytest.param(["check", "--device", "tpu"], "invalid choice: 'tpu'", id="unknown device"),
    ],
)
def test_wrong_words_are_one_line_too(call, words, message):
    code, (line,) = call(*words)
    assert (code, line["code"]) == (2, "usage")
    assert message in line["message"]
    assert line["hint"].endswith("--help.")


# fetch


def test_a_model_is_fetched_and_its_licence_named(call, fake):
    commit = fake.add(NAME, dict(model_files(), **{"README.md": CARD, "LICENSE": b"The text\n"}), "fp16")
    code, lines = call("fetch", NAME)
    assert (code, [line["kind"] for line in lines[:-1]]) == (0, ["download"] * (len(lines) - 1))
    total = lines[-2]["total"]
    assert lines[-2] == {"kind": "download", "done": total, "total": total}
    last = lines[-1]
    assert (last["kind"], last["model"], last["revision"], last["note"]) == ("fetched", NAME, commit, "")
    file = str(Path(last["path"]) / "LICENSE")
    assert last["licence"] == {
        "name": "CreativeML Open RAIL-M",
        "link": licence.KNOWN["creativeml-openrail-m"].link,
        "text": file,
        "card": str(Path(last["path"]) / "README.md"),
        "kind": "creativeml-openrail-m",
    }
    assert Path(file).read_text() == "The text\n"


def test_a_fetch_that_broke_goes_on_where_it_stopped(call, fake, monkeypatch):
    fake.add(NAME, model_files(), "fp16")
    large = "unet/diffusion_pytorch_model.bin"
    fake.cut(large, after=150)
    monkeypatch.setattr(hub_client, "TRIES", 1)
    monkeypatch.setattr(hub_client, "CHUNK", 50)
    code, lines = call("fetch", NAME)
    assert (code, lines[-1]["code"]) == (1, "hub-failed")
    code, lines = call("fetch", NAME)
    assert (code, lines[-1]["kind"]) == (0, "fetched")
    ranges = [seen.range for seen in fake.requests if seen.path.endswith(large) and seen.server == "storage"]
    assert ranges[-1] == "bytes=150-"


def test_what_is_there_is_not_fetched_again(call, fake):
    fake.add(NAME, model_files(), "fp16")
    call("fetch", NAME)
    seen = len(fake.requests)
    code, lines = call("fetch", NAME, "--offline")
    assert (code, [line["kind"] for line in lines]) == (0, ["fetched"])
    assert len(fake.requests) == seen


def test_a_model_that_is_not_there_is_exit_code_2(call, fake):
    code, lines = call("fetch", "nobody/nothing")
    assert (code, lines[-1]["code"]) == (2, "model-unknown")


# access


@pytest.mark.parametrize(
    ("token", "gated", "there", "exit_code", "code"),
    [
        pytest.param(None, False, True, 0, None, id="open to everybody"),
        pytest.param(GOOD, True, True, 0, None, id="accepted"),
        pytest.param(None, True, True, 1, "token-missing", id="no token"),
        pytest.param("hf_wrong", True, True, 1, "token-refused", id="wrong token"),
        pytest.param(NO_LICENCE, True, True, 1, "licence-not-accepted", id="licence not accepted"),
        pytest.param(GOOD, True, False, 2, "model-unknown", id="repository gone"),
    ],
)
def test_access_tells_apart_what_a_person_has_to_mend(
    call, fake, monkeypatch, token, gated, there, exit_code, code
):
    if there:
        fake.add(NAME, model_files(), "fp16", gated)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    ended, (line,) = call("access", NAME)
    assert (ended, line.get("code")) == (exit_code, code)
    assert token is None or token not in json.dumps(line)
    if code is None:
        assert (line["kind"], line["endpoint"]) == ("access", fake.endpoint)
        assert line["token"] == (token and "HF_TOKEN")
    assert not [seen for seen in fake.requests if seen.path.endswith(".bin")]


def test_access_without_a_hub_says_so(call, fake):
    fake.close()
    code, (line,) = call("access", NAME)
    assert (code, line["code"]) == (1, "hub-offline")


def test_a_folder_needs_no_access(call, tmp_path):
    code, (line,) = call("access", tmp_path)
    assert (code, line["code"]) == (2, "model-unknown")


# check


def test_the_quick_check_tells_what_torch_says(call, libraries):
    import torch

    code, (line,) = call("check", "--device", "cpu")
    assert (code, line["torch"], line["cuda"]) == (0, torch.__version__, torch.version.cuda)
    assert (line["available"], line["device"]) == (torch.cuda.is_available(), "cpu")
    assert line["stack"] in ("guide", "cu130")


def test_a_gpu_that_must_be_there_and_is_not_is_an_error(call, libraries):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    code, (line,) = call("check", "--device", "cuda")
    assert (code, line["code"]) == (1, "device-unusable")


# licences


PAGE = "https://huggingface.co/a/b"


@pytest.mark.parametrize(
    ("papers", "name", "link", "file"),
    [
        pytest.param({}, None, PAGE, None, id="no papers"),
        pytest.param({"README.md": "# Hello"}, None, PAGE, "README.md", id="silent card"),
        pytest.param(
            {"README.md": "---\nlicense: openrail++\n---\n"},
            "CreativeML Open RAIL++-M",
            licence.KNOWN["openrail++"].link,
            "README.md",
            id="only the card",
        ),
        pytest.param(
            {
                "README.md": "---\nlicense: other\nlicense_name: 'own'\nlicense_link: https://x.invalid/l\n---\n"
            },
            "own",
            "https://x.invalid/l",
            "README.md",
            id="a licence of their own",
        ),
        pytest.param(
            {"README.md": "---\nlicense: mit\nlicense_link: LICENSE\n---\n", "LICENSE": "x"},
            "mit",
            PAGE,
            "LICENSE",
            id="link to a file",
        ),
        pytest.param(
            {"LICENSE.md": "\n# Some \x1b[31mLicense\n"},
            "Some ?[31mLicense",
            PAGE,
            "LICENSE.md",
            id="only the text",
        ),
        pytest.param({"README.md": "---\nlicense: mit\n"}, None, PAGE, "README.md", id="no end"),
    ],
)
def test_the_licence_is_what_the_papers_say(tmp_path, papers, name, link, file):
    for paper, text in papers.items():
        (tmp_path / paper).write_text(text)
    found = licence.find(tmp_path, "a/b")
    assert (found.name, found.link, found.text or found.card) == (
        name,
        link,
        tmp_path / file if file else None,
    )


def only_a_card(fake):
    files = dict(model_files(), **{"README.md": CARD})
    del files["LICENSE"]
    fake.add(NAME, files, "fp16")


@pytest.mark.parametrize(
    ("body", "brought"),
    [
        pytest.param(b"The terms\n", True, id="the text"),
        pytest.param(b"Some web page", False, id="something else"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_a_licence_that_is_only_named_is_brought_beside_the_model(call, fake, monkeypatch, body, brought):
    known = dataclasses.replace(
        licence.KNOWN["creativeml-openrail-m"], sha256=hashlib.sha256(b"The terms\n").hexdigest()
    )
    monkeypatch.setitem(licence.KNOWN, "creativeml-openrail-m", known)
    monkeypatch.setenv("HF_TOKEN", GOOD)
    only_a_card(fake)
    if body is not None:
        fake.answer(known.path, 200, body=body)
    code, lines = call("fetch", NAME)
    folder = Path(lines[-1]["path"])
    told = lines[-1]["licence"]
    assert (code, told["card"]) == (0, str(folder / "README.md"))
    assert told["text"] == (str(folder / "LICENSE.txt") if brought else None)
    assert sorted(path.name for path in folder.glob(".*")) == []
    asked = [seen.authorization for seen in fake.requests if seen.path == known.path]
    assert asked == [None]
    if brought:
        assert (folder / "LICENSE.txt").read_bytes() == body
        call("fetch", NAME)
        assert len([seen for seen in fake.requests if seen.path == known.path]) == 1
