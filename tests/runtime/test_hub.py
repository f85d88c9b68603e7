"""Downloads: the real huggingface_hub of either generation against the fake hub of ``doubles``."""

import contextlib
import errno
import io
import logging
import shutil
import socket
import subprocess
import sys
import threading
import traceback
from collections import namedtuple
from pathlib import Path

import pytest
from doubles.hub import GOOD, NO_LICENCE, FakeHub
from doubles.model_files import BOTH, NAME, NEEDED, UNET, content, model_files, torch_file, write_model
from sdops_runtime import hub
from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import cache as hub_cache
from sdops_runtime.hub import client as hub_client


def snapshot(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty home of the hub's libraries, no token, no patience."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub_client, "ASK_WAIT", ("no variable", 5))
    monkeypatch.setattr(hub_client, "DOWNLOAD_WAIT", ("no variable", 5))
    monkeypatch.setattr(hub_client, "PAUSE", 0.01)
    monkeypatch.setattr(hub_client, "CHUNK", 1000)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_sessions()


def close_sessions():
    """The library keeps its connections for ever; their sockets would be reported as left open."""
    from huggingface_hub import utils

    reset = getattr(utils._http, "close_session", None) or utils._http.reset_sessions
    reset()


@pytest.fixture
def fake(place, monkeypatch):
    with FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


def refused(*args, **options):
    """The error of a ``resolve`` that fails."""
    with pytest.raises(SdopsError) as caught:
        hub.resolve(*args, **options)
    return caught.value


def bodies(fake, file):
    """Requests that had the content of a file in their answer."""
    return [seen for seen in fake.requests if seen.path.endswith(file) and seen.method == "GET"]


def cache_folder():
    return hub_cache.Cache(hub_cache.root(), NAME)


# What is fetched.


def test_download_brings_what_the_pipeline_needs_and_nothing_else(fake):
    commit = fake.add(NAME, model_files(), "fp16")
    found = hub.resolve(NAME, "fp16")
    assert found == hub.LocalModel(found.path, NAME, commit)
    assert snapshot(found.path) == set(NEEDED)
    assert {path: (found.path / path).read_bytes() for path in NEEDED} == {
        path: content(path) for path in NEEDED
    }


@pytest.mark.parametrize(
    ("weights", "brought"),
    [
        pytest.param((".bin",), {UNET, "text_encoder/pytorch_model.bin"}, id="only .bin is read"),
        pytest.param(
            BOTH,
            {"unet/diffusion_pytorch_model.safetensors", "text_encoder/pytorch_model.bin"},
            id="first format that each part has",
        ),
    ],
)
def test_one_format_of_weights_is_fetched_for_each_part(fake, weights, brought):
    fake.add(NAME, model_files("unet/diffusion_pytorch_model.safetensors"))
    found = hub.resolve(NAME, None, weights=weights)
    assert {path for path in snapshot(found.path) if path.endswith(BOTH)} == brought


def test_weights_in_pieces_are_fetched_with_their_index(fake):
    files = model_files("unet/diffusion_pytorch_model.safetensors.index.json")
    del files[UNET]
    pieces = [f"unet/diffusion_pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    files.update({piece: torch_file(300) for piece in pieces}, **{f"{UNET}.index.json": b"{}"})
    fake.add(NAME, files)
    found = snapshot(hub.resolve(NAME, None).path)
    assert {path for path in found if path.startswith("unet/")} == {
        *pieces,
        f"{UNET}.index.json",
        "unet/config.json",
    }


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model_index.json", "has no model_index.json at the hub"),
        ("tokenizer/merges.txt", "lacks tokenizer/merges.txt"),
        ("scheduler/scheduler_config.json", "lacks scheduler/scheduler_config.json"),
        (UNET, "has no weights (.bin) for unet that are read here, only diffusion_pytorch_model.fp16.bin"),
    ],
)
def test_model_that_lacks_a_part_is_refused_before_its_weights_are_fetched(fake, gone, said):
    files = model_files()
    del files[gone]
    fake.add(NAME, files)
    error = refused(NAME, None)
    assert error.code == "model-broken"
    assert said in error.message
    assert not [seen for seen in fake.requests if seen.path.endswith(".bin")]


def test_progress_tells_bytes_up_to_all(fake):
    fake.add(NAME, model_files())
    told = []
    hub.resolve(NAME, None, progress=lambda done, total: told.append((done, total)))
    total = sum(len(content(path)) for path in NEEDED)
    assert told == sorted(told)
    assert told[-1] == (total, total)
    assert len(told) > 60


def test_downloaded_model_loads(fake, demo_folder):
    import torch
    from sdops_runtime import dialect

    fake.add_folder(NAME, demo_folder, "fp16", gated=True)
    found = hub.resolve(NAME, "fp16", token=GOOD, weights=dialect.weight_suffixes())
    fake.requests.clear()
    assert dialect.load_pipeline(found.path, torch.float32, "cpu").unet.config["in_channels"] == 4
    assert fake.requests == []


# What is there already.


def test_pinned_commit_that_is_complete_needs_no_network(fake):
    commit = fake.add(NAME, model_files())
    first = hub.resolve(NAME, commit)
    fake.requests.clear()
    assert hub.resolve(NAME, commit) == first
    assert fake.requests == []


def test_branch_is_asked_for_and_only_new_contents_are_fetched(fake):
    fake.add(NAME, model_files())
    hub.resolve(NAME, "main")
    fake.requests.clear()
    commit = fake.add(NAME, {**model_files(), "README.md": b"second edition"})
    found = hub.resolve(NAME, "main")
    assert found.revision == commit
    assert (found.path / "README.md").read_bytes() == b"second edition"
    assert [seen.path.rpartition("/")[2] for seen in fake.requests if seen.server == "storage"] == []
    assert [seen.path.rpartition("/")[2] for seen in fake.requests][1:] == ["README.md"]


@pytest.mark.parametrize(
    "how", ["argument", "HF_HUB_OFFLINE", "hub gone", "hub ill", "model gone", "bad token"]
)
def test_branch_that_the_hub_does_not_tell_is_taken_from_the_disk(fake, monkeypatch, how):
    commit = fake.add(NAME, model_files())
    first = hub.resolve(NAME, "main")
    fake.requests.clear()
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setenv(how, "1")
    elif how == "hub gone":
        monkeypatch.setenv("HF_ENDPOINT", unused_address())
    elif how == "hub ill":
        fake.answer("/api/", 503, times=99)
    elif how == "model gone":
        fake.delete(NAME)
    elif how == "bad token":
        monkeypatch.setenv("HF_TOKEN", "hf_bad")
    found = hub.resolve(NAME, "main", offline=how == "argument")
    assert (found.path, found.revision) == (first.path, commit)
    if how in ("argument", "HF_HUB_OFFLINE"):
        assert (found.note, fake.requests) == ("", [])
    else:
        assert found.note.startswith(f"The hub does not tell what main of {NAME} is now")


def test_offline_without_the_model_is_an_error_that_says_so(fake):
    fake.add(NAME, model_files())
    error = refused(NAME, "main", offline=True)
    assert error.code == "hub-offline"
    assert f"main of {NAME} is not on this disk" in error.message
    assert fake.requests == []


def test_format_that_is_on_the_disk_is_used_rather_than_a_better_one_fetched(fake):
    commit = fake.add(NAME, model_files("unet/diffusion_pytorch_model.safetensors"))
    first = hub.resolve(NAME, "main", weights=(".bin",))
    fake.requests.clear()
    assert hub.resolve(NAME, commit, weights=BOTH) == first
    assert fake.requests == []


def test_new_commit_that_was_not_finished_does_not_hide_the_old_one(fake):
    first = fake.add(NAME, model_files())
    hub.resolve(NAME, "main")
    fake.add(NAME, {**model_files(), UNET: torch_file(80_000)})
    fake.cut(UNET, 0, times=99)
    assert refused(NAME, "main").code == "hub-failed"
    assert hub.resolve(NAME, "main", offline=True).revision == first


def test_what_the_library_downloaded_is_found_offline(fake):
    commit = fake.add(NAME, model_files())
    library_download(fake, NAME, "main")
    assert hub.resolve(NAME, "main", offline=True) == hub.LocalModel(
        cache_folder().snapshot(commit), NAME, commit
    )


def test_what_the_library_downloaded_needs_no_network_once_it_was_compared(fake):
    commit = fake.add(NAME, model_files())
    library_download(fake, NAME, "main")
    found = hub.resolve(NAME, commit)
    fake.requests.clear()
    assert hub.resolve(NAME, commit) == found
    assert fake.requests == []


def test_what_was_downloaded_here_is_found_by_the_library(fake):
    fake.add(NAME, model_files())
    found = hub.resolve(NAME, "main")
    for path in NEEDED:
        assert library_find(NAME, "main", path) == str(found.path / path)


# What an interrupted download leaves.


def test_cut_download_goes_on_where_it_stopped(fake):
    fake.add(NAME, model_files())
    fake.cut(UNET, 40_500)
    found = hub.resolve(NAME, None)
    assert (found.path / UNET).read_bytes() == content(UNET)
    assert [seen.range for seen in bodies(fake, UNET) if seen.server == "storage"] == [None, "bytes=40000-"]


def test_download_of_an_ended_process_goes_on_where_it_stopped(fake):
    commit = fake.add(NAME, model_files())
    fake.cut(UNET, 30_000)
    with pytest.raises(KeyboardInterrupt):
        hub.resolve(NAME, None, progress=interrupt_at(35_000))
    assert refused(NAME, None, offline=True).message.startswith(f"Revision main of {NAME} is only partly")
    assert refused(NAME, commit, offline=True).code == "hub-offline"
    fake.requests.clear()
    found = hub.resolve(NAME, None)
    assert (found.path / UNET).read_bytes() == content(UNET)
    assert bodies(fake, UNET)[-1].range not in (None, "bytes=0-")
    assert not list(hub_cache.root().rglob("*.incomplete"))


def interrupt_at(size):
    def progress(done, total):
        if done > size:
            raise KeyboardInterrupt

    return progress


def test_complete_but_unfinished_download_is_not_asked_for_again(fake):
    fake.add(NAME, model_files())
    hub.resolve(NAME, None)
    cache = cache_folder()
    unet = next(file for file in cache.listing(cache.commit("main")) if file.path == UNET)
    blob = cache.folder / "blobs" / unet.blob
    blob.rename(cache.partial(unet))
    fake.requests.clear()
    assert (hub.resolve(NAME, None).path / UNET).read_bytes() == content(UNET)
    assert bodies(fake, UNET) == []


@pytest.mark.parametrize("spoil", ["shorter", "longer", "gone"])
def test_file_of_the_wrong_size_is_fetched_again(fake, spoil):
    commit = fake.add(NAME, model_files())
    blob = (hub.resolve(NAME, commit).path / UNET).resolve()
    if spoil == "gone":
        blob.unlink()
    else:
        blob.write_bytes(content(UNET)[:-1] if spoil == "shorter" else content(UNET) + b"x")
    assert refused(NAME, commit, offline=True).code == "hub-offline"
    assert (hub.resolve(NAME, commit).path / UNET).read_bytes() == content(UNET)


def test_server_that_sends_all_again_is_understood(fake):
    fake.add(NAME, model_files())
    fake.ignores_ranges = True
    fake.cut(UNET, 20_000)
    assert (hub.resolve(NAME, None).path / UNET).read_bytes() == content(UNET)


def test_damaged_download_is_fetched_once_more(fake):
    fake.add(NAME, model_files())
    fake.garble(UNET)
    assert (hub.resolve(NAME, None).path / UNET).read_bytes() == content(UNET)


@pytest.mark.parametrize("file", [UNET, "tokenizer/vocab.json"])
def test_download_that_arrives_damaged_twice_is_an_error(fake, file):
    fake.add(NAME, model_files())
    fake.garble(file, times=2)
    error = refused(NAME, None)
    assert (error.code, error.message) == ("hub-failed", f"{file} of {NAME} arrived damaged twice.")


def test_stalled_download_is_resumed(fake, monkeypatch):
    fake.add(NAME, model_files())
    monkeypatch.setattr(hub_client, "DOWNLOAD_WAIT", ("no variable", 0.3))
    fake.stall(UNET, 10_500)
    assert (hub.resolve(NAME, None).path / UNET).read_bytes() == content(UNET)
    assert bodies(fake, UNET)[-1].range == "bytes=10000-"


def test_download_that_stalls_for_ever_is_given_up(fake, monkeypatch):
    fake.add(NAME, model_files())
    monkeypatch.setattr(hub_client, "DOWNLOAD_WAIT", ("no variable", 0.3))
    fake.stall(UNET, 10_500)
    fake.stall(UNET, 500, times=99)
    error = refused(NAME, None)
    assert error.code == "hub-failed"
    assert "again and again, at 10000 of 60" in error.message
    assert "no answer within 0.3 seconds" in error.message
    assert len([seen for seen in bodies(fake, UNET) if seen.server == "storage"]) == hub_client.TRIES


def test_two_downloads_at_once_fetch_each_file_once(fake):
    fake.add(NAME, model_files())
    found = []
    threads = [threading.Thread(target=lambda: found.append(hub.resolve(NAME, None))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found[0] == found[1]
    assert len([seen for seen in bodies(fake, UNET) if seen.server == "storage"]) == 1


# Disk space.

Usage = namedtuple("Usage", "total used free")


def test_download_that_does_not_fit_is_not_begun(fake, monkeypatch):
    fake.add(NAME, {**model_files(), UNET: torch_file(40_000_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 20_000_000))
    error = refused(NAME, None)
    assert error.code == "disk-full"
    assert "needs 0.04 GB" in error.message
    assert "0.02 GB are free" in error.message
    assert "HF_HOME" in error.hint
    assert bodies(fake, UNET) == []


def test_disk_that_runs_full_is_told_and_what_arrived_is_kept(fake, monkeypatch):
    fake.add(NAME, model_files())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full_after(20_000, Path.open))
        error = refused(NAME, None)
    assert (error.code, "HF_HOME" in error.hint) == ("disk-full", True)
    assert list(Path("home/hub").rglob("*.incomplete"))


def full_after(size, really_open):
    """``Path.open`` on a disk where an unbuffered file cannot grow beyond ``size``."""

    class Small(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > size:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def opened(path, mode="r", buffering=-1, **options):
        return Small(path, mode) if buffering == 0 else really_open(path, mode, buffering, **options)

    return opened


def test_cache_that_is_a_file_is_told(fake, place):
    fake.add(NAME, model_files())
    (place / "home").write_text("")
    error = refused(NAME, None)
    assert error.code == "cache-unwritable"
    assert "HF_HOME" in error.hint


# What the hub refuses.


@pytest.mark.parametrize(
    ("token", "code", "said", "hint"),
    [
        pytest.param(
            None, "token-missing", "only to people who accepted its licence", "HF_TOKEN", id="no token"
        ),
        pytest.param(
            "hf_bad", "token-refused", "does not accept the access token (HF_TOKEN)", "tokens", id="bad"
        ),
        pytest.param(
            NO_LICENCE, "licence-not-accepted", "has not accepted the licence", NAME, id="no licence"
        ),
    ],
)
def test_gated_model_tells_what_is_missing(fake, monkeypatch, token, code, said, hint):
    fake.add(NAME, model_files(), gated=True)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    error = refused(NAME, None)
    assert error.code == code
    assert said in error.message
    assert hint in error.hint
    if code != "token-refused":
        assert f"{fake.endpoint}/{NAME}" in error.hint
    if code != "licence-not-accepted":
        assert "https://huggingface.co/settings/tokens" in error.hint


@pytest.mark.parametrize("where", ["argument", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "file", "HF_TOKEN_PATH"])
def test_token_is_found_where_the_libraries_find_it(fake, monkeypatch, place, where):
    fake.add(NAME, model_files(), gated=True)
    if where == "argument":
        monkeypatch.setenv("HF_TOKEN", "hf_bad")
    elif where == "file":
        (place / "home").mkdir()
        (place / "home" / "token").write_text(f"{GOOD}\n")
    elif where == "HF_TOKEN_PATH":
        (place / "secret").write_text(GOOD)
        monkeypatch.setenv(where, str(place / "secret"))
    else:
        monkeypatch.setenv(where, f"{GOOD}\n")
    assert snapshot(hub.resolve(NAME, None, token=GOOD if where == "argument" else None).path) == set(NEEDED)


def test_token_goes_to_the_hub_and_never_to_its_storage(fake, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", GOOD)
    fake.add(NAME, model_files(), gated=True)
    hub.resolve(NAME, None)
    sent = {(seen.server, seen.authorization) for seen in fake.requests}
    assert sent == {("hub", f"Bearer {GOOD}"), ("storage", None)}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hf_canary two", "has a blank inside"),
        ("hf_canary\nhf_two", "has more than one line"),
        ("'hf_canary'", "has quotation marks around it"),
        ("hf_canaryä", "holds characters that no token has"),
        ("hf_canary\x1b[31m", "holds characters that no token has"),
    ],
    ids=["blank", "line break", "quotes", "letter", "control character"],
)
@pytest.mark.parametrize("where", ["HF_TOKEN", "file"])
def test_token_that_cannot_be_one_is_refused_without_being_shown(fake, monkeypatch, place, text, what, where):
    fake.add(NAME, model_files())
    if where == "file":
        (place / "home").mkdir()
        (place / "home" / "token").write_bytes(text.encode("latin-1"))
    else:
        monkeypatch.setenv(where, text)
    error = refused(NAME, None)
    assert error.code == "token-refused"
    assert f"{'home/token' if where == 'file' else where} {what}" in error.message
    assert_hidden("canary", error)
    assert fake.requests == []


@pytest.mark.parametrize("wrong", ["bad token", "no licence", "hub ill", "storage ill", "damaged", "no hub"])
def test_token_is_shown_by_no_error_and_no_log(fake, monkeypatch, caplog, capsys, wrong):
    caplog.set_level(logging.DEBUG)
    canary = NO_LICENCE if wrong == "no licence" else "hf_bad" if wrong == "bad token" else GOOD
    monkeypatch.setenv("HF_TOKEN", canary)
    fake.add(NAME, model_files(), gated=True)
    if wrong == "hub ill":
        fake.answer("/api/", 500, times=99, headers={"X-Error-Message": f"not with {canary}!"})
    elif wrong == "storage ill":
        fake.answer("pytorch_model.bin", 503, times=99)
    elif wrong == "damaged":
        fake.garble(UNET, times=2)
    elif wrong == "no hub":
        monkeypatch.setenv("HF_ENDPOINT", unused_address())
    error = refused(NAME, None)
    # The HTTP library's own log of what a hub says is beyond us; of what is sent to it, it hides the token.
    logged = caplog.text if wrong != "hub ill" else ""
    assert_hidden(canary, error, logged, *capsys.readouterr())
    for path in Path("home").rglob("*"):
        assert not path.is_file() or canary.encode() not in path.read_bytes()


def assert_hidden(secret, error, *texts):
    """Looks into an error and all that hangs on it, as deep as a debugger's print-out would."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    links, found = [error], []
    while links:
        link = links.pop()
        found += [repr(link), str(link), repr(vars(link)), repr(link.args)]
        response = getattr(link, "response", None) or getattr(link, "request", None)
        assert response is None, "an error holds the request, and so the token"
        links += [one for one in (link.__cause__, link.__context__) if one is not None]
    for text in (shown, error.message, error.hint, *found, *texts):
        assert secret not in text


def test_model_that_is_not_there_may_be_private_for_a_visitor(fake):
    error = refused("runwayml/stable-diffusion-v1-5", None)
    assert error.code == "model-unknown"
    assert "to visitors: it is misspelt, deleted, or private" in error.message
    assert f"{fake.endpoint}/runwayml/stable-diffusion-v1-5" in error.hint


@pytest.mark.parametrize("status", [401, 404])
def test_model_that_is_not_there_may_be_hidden_from_the_tokens_owner(fake, monkeypatch, status):
    monkeypatch.setenv("HF_TOKEN", GOOD)
    fake.answer("/api/", status, headers={"X-Error-Code": "RepoNotFound"})
    error = refused("runwayml/stable-diffusion-v1-5", None)
    assert error.code == "model-unknown"
    assert "misspelt or deleted, or the access token's owner may not see it" in error.message


def test_unmarked_401_to_a_visitor_asks_for_a_token_and_for_the_spelling(fake):
    fake.answer("/api/", 401)
    error = refused(NAME, None)
    assert error.code == "token-missing"
    assert error.hint.startswith("Check the spelling")


def test_unknown_revision_names_some_that_exist(fake):
    fake.add("other/model", model_files(), "main")
    fake.add("other/model", model_files("x/y"), "fp32")
    error = refused("other/model", "fp16")
    assert error.code == "revision-unknown"
    assert error.message == "The model other/model has no revision 'fp16'. It has main, fp32."
    assert error.hint == "Use --revision main."


def test_unknown_revision_is_told_though_the_others_are_not(fake):
    fake.add(NAME, model_files())
    fake.answer("/refs", 404)
    error = refused(NAME, "fp16")
    assert (error.code, "tree/main" in error.hint) == ("revision-unknown", True)


@pytest.mark.parametrize(
    ("status", "headers", "said", "hint"),
    [
        (429, {"Retry-After": "120"}, "HTTP status 429 (Too Many Requests).", "Try again in 120 seconds."),
        (500, {}, "HTTP status 500 (Internal Server Error).", "Try again"),
        (
            503,
            {"X-Error-Message": "Over\r\tloaded \x1b[1m"},
            "503 (Service Unavailable). It says: Over",
            "Try",
        ),
        (418, {}, "HTTP status 418", "Try again"),
        (599, {}, "HTTP status 599.", "Try again"),
    ],
)
def test_hub_that_fails_is_told_with_its_status(fake, status, headers, said, hint):
    headers = {name: value.replace("\r", "") for name, value in headers.items()}
    fake.answer("/api/", status, times=99, headers=headers)
    error = refused(NAME, None)
    assert error.code == "hub-failed"
    assert said in error.message
    assert hint in error.hint
    assert error.message.isprintable()


def test_hub_that_fails_for_a_moment_is_asked_again(fake):
    fake.add(NAME, model_files())
    fake.answer("/api/", 503, times=2)
    fake.answer("/resolve/", 502, times=2)
    assert snapshot(hub.resolve(NAME, None).path) == set(NEEDED)


def test_storage_that_fails_is_told(fake):
    fake.add(NAME, model_files())
    fake.answer("pytorch_model.bin", 503, times=99)
    error = refused(NAME, None)
    assert (error.code, "503" in error.message) == ("hub-failed", True)


def test_answer_that_cannot_be_unpacked_is_asked_for_again(fake):
    fake.add(NAME, model_files())
    fake.answer("/api/", 200, headers={"Content-Encoding": "gzip"}, body=b"no gzip")
    assert hub.resolve(NAME, None).name == NAME


@pytest.mark.parametrize(
    "body", [b"<html>Welcome to our WLAN</html>", b"{}", b"[1]", b'{"sha": "x", "siblings": []}']
)
def test_login_page_in_between_is_told(fake, body):
    fake.answer("/api/", 200, body=body)
    error = refused(NAME, None)
    assert error.code == "hub-failed"
    assert error.message == f"What answers at {fake.endpoint} is not the hub."


def test_listed_files_cannot_leave_the_models_folder(fake, place):
    files = model_files()
    fake.add(NAME, {**files, "unet/../../../../evil.json": b"{}", "/etc/evil.json": b"{}"})
    assert snapshot(hub.resolve(NAME, None).path) == set(NEEDED)
    assert not list(place.rglob("evil.json"))


def test_hub_that_redirects_in_a_circle_is_told(fake):
    fake.answer("/api/", 307, times=99, headers={"Location": "/api/models/around"})
    error = refused(NAME, None)
    assert (error.code, "307" in error.message) == ("hub-failed", True)


def test_renamed_model_is_followed_with_the_token(fake, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", GOOD)
    fake.add(NAME, model_files(), gated=True)
    fake.answer("/api/", 307, headers={"Location": f"/api/models/{NAME}/revision/main?blobs=true"})
    fake.add("old/name", model_files(), gated=True)
    assert hub.resolve("old/name", None).name == "old/name"


def unused_address():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def test_hub_that_refuses_the_connection_is_offline(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", unused_address())
    error = refused(NAME, None)
    assert error.code == "hub-offline"
    assert error.message.endswith("cannot be reached: the connection was refused.")


def test_hub_whose_name_is_unknown_is_offline(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    error = refused(NAME, None)
    assert error.code == "hub-offline"
    assert error.message.endswith("cannot be reached: its name cannot be looked up (DNS).")


def test_hub_that_does_not_answer_is_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    monkeypatch.setattr(hub_client, "ASK_WAIT", ("HF_HUB_ETAG_TIMEOUT", 5))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        error = refused(NAME, None)
    assert error.code == "hub-offline"
    assert error.message.endswith("cannot be reached: no answer within 1 seconds.")


def test_address_of_the_hub_that_is_none_is_told(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    assert refused(NAME, None).message == "HF_ENDPOINT is not a web address."


# What a person may type.


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "There is no folder ''"),
        ("mymodel", "There is no folder mymodel, and names at the hub are owner/name."),
        ("./mymodel", "There is no folder ./mymodel."),
        ("/no/where", "There is no folder /no/where."),
        ("~nobody-here/x", "There is no folder ~nobody-here/x."),
        ("runwayml/../x", "There is no folder runwayml/../x."),
        ("../x", "There is no folder ../x."),
        ("a/b/c", "There is no folder a/b/c."),
        ("models/sd-v1-4.ckpt", "There is no folder models/sd-v1-4.ckpt."),
        ("owner/na me", "owner/na me cannot be a name at the hub."),
        ("owner/name.git", "owner/name.git cannot be a name at the hub."),
        ("owner/na..me", "owner/na..me cannot be a name at the hub."),
        ("owner/na--me", "owner/na--me cannot be a name at the hub."),
        ("ow\x1b[31mner/name", "ow?[31mner/name cannot be a name at the hub."),
        ("ow\0ner/name", "ow?ner/name cannot be a name at the hub."),
        ("öwner/name", "öwner/name cannot be a name at the hub."),
        ("owner/" + "n" * 300, "cannot be a name at the hub."),
        ("https://huggingface.co/CompVis/stable-diffusion-v1-4/tree/fp16", "is a web address, not a model."),
        ("one.safetensors", "one.safetensors is a single file, not a model's folder."),
    ],
)
def test_model_that_cannot_be_one_is_refused_without_asking_the_hub(fake, place, typed, said):
    (place / "one.safetensors").write_bytes(b"x")
    error = refused(typed, None)
    assert error.code == "model-unknown"
    assert said in error.message
    assert (error.message + error.hint).isprintable()
    assert fake.requests == []


def test_web_address_of_a_model_is_answered_with_its_name():
    error = refused(f"https://huggingface.co/{NAME}/tree/fp16", None)
    assert error.hint == f"Use its name: --model {NAME}"


def test_checkpoint_is_answered_with_how_to_convert_it(place):
    (place / "sd.ckpt").write_bytes(b"x")
    assert "convert_original_stable_diffusion_to_diffusers" in refused("sd.ckpt", None).hint


@pytest.mark.parametrize("revision", ["../../x", "a b", "-x", "x.lock", "a//b", "x\n\x1b[0m", "/x", "x/../y"])
def test_revision_that_cannot_be_one_is_refused_without_asking_the_hub(fake, revision):
    error = refused(NAME, revision)
    assert error.code == "revision-unknown"
    assert error.message.isprintable()
    assert fake.requests == []


# Folders.


@pytest.fixture
def folder(place):
    """A whole model in a folder."""
    return write_model(place / "my model")


@pytest.mark.parametrize("typed", ["my model", "./my model/", "absolute"])
def test_folder_is_used_as_it_is(folder, fake, typed):
    found = hub.resolve(str(folder) if typed == "absolute" else typed, "fp16")
    assert found.path.resolve() == folder
    assert (found.name, found.revision, found.note) == ("my model", None, "")
    assert fake.requests == []


def test_folder_comes_before_a_model_of_the_same_name_at_the_hub(folder, fake, place):
    fake.add(NAME, model_files())
    (place / NAME).parent.mkdir()
    folder.rename(place / NAME)
    assert hub.resolve(NAME, None).path == Path(NAME)
    assert fake.requests == []


def test_folder_in_the_hubs_cache_tells_its_name_and_commit(fake):
    commit = fake.add(NAME, model_files())
    path = hub.resolve(NAME, None).path
    assert hub.resolve(str(path), None) == hub.LocalModel(path, NAME, commit)


def test_folder_that_cannot_be_loaded_is_refused(folder):
    (folder / UNET).unlink()
    error = refused(str(folder), None)
    assert error.code == "model-broken"
    assert error.message.startswith(f"The model in {folder} ")
    assert "Copy the folder again" in error.hint


# The fake itself, and what else speaks to it.


def library_download(fake, name, revision):
    """What a program that uses huggingface_hub itself would do."""
    options = {"revision": revision, "cache_dir": hub_cache.root(), "allow_patterns": [*NEEDED]}
    with library() as huggingface_hub:
        huggingface_hub.snapshot_download(name, endpoint=fake.endpoint, token=False, **options)


def library_find(name, revision, path):
    with library() as huggingface_hub:
        return huggingface_hub.try_to_load_from_cache(
            name, path, cache_dir=hub_cache.root(), revision=revision
        )


@contextlib.contextmanager
def library():
    """huggingface_hub without telemetry: today's asks the public hub who else runs here."""
    import huggingface_hub

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
        yield huggingface_hub


def test_fake_answers_the_library(fake):
    commit = fake.add(NAME, model_files(), gated=True)
    with library() as huggingface_hub:
        api = huggingface_hub.HfApi(fake.endpoint, token=GOOD)
        assert api.whoami()["name"] == "tester"
        assert api.model_info(NAME).sha == commit
        assert [branch.name for branch in api.list_repo_refs(NAME).branches] == ["main"]
        sizes = {entry.path: entry.size for entry in api.list_repo_tree(NAME, recursive=True)}
        assert sizes == {path: len(data) for path, data in model_files().items()}


def test_fake_runs_as_a_program(folder, monkeypatch):
    script = Path(__file__).parents[1] / "doubles" / "hub.py"
    argv = [sys.executable, str(script), "--model-dir", str(folder), "--gated"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            monkeypatch.setenv("HF_ENDPOINT", process.stdout.readline().strip())
            monkeypatch.setenv("HF_TOKEN", GOOD)
            assert snapshot(hub.resolve(NAME, "fp16").path) == set(NEEDED)
        finally:
            process.terminate()
