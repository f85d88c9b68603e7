"""``sdops run`` with a model from the hub: one picture end to end, and every refusal in its own words."""

import json

import pytest
from doubles.hub import GOOD, NO_LICENCE, FakeHub
from sdops_runtime.protocol import DEFAULT_MODEL, DEFAULT_REVISION

QUICK = ("--width", "128", "--steps", "4", "--seed", "7")


@pytest.fixture
def hub(libraries, demo_folder, tmp_path, monkeypatch):
    """A hub that has the demo model under the name and branch of the guide's, behind its licence."""
    from huggingface_hub import close_session
    from sdops_runtime.hub import client

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
    monkeypatch.setattr(client, "PAUSE", 0.01)
    with FakeHub() as running:
        running.add_folder(DEFAULT_MODEL, demo_folder, DEFAULT_REVISION, gated=True)
        running.add_folder("someone/open", demo_folder)
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
    close_session()


def test_the_guides_model_is_downloaded_once_with_a_token_and_makes_a_picture(sdops, hub, photo, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", GOOD)
    first = json.loads(sdops("run", photo, "a hat", *QUICK, "--json").out)
    assert first["ok"], first["error"]
    assert first["host"]["model"] == DEFAULT_MODEL
    assert len(first["host"]["revision"]) == 40
    fetched = len([seen for seen in hub.requests if seen.path.endswith(".bin")])
    second = json.loads(sdops("run", photo, "a hat", *QUICK, "--force", "--json").out)
    assert second["pictures"][0]["sha256"] == first["pictures"][0]["sha256"]
    assert len([seen for seen in hub.requests if seen.path.endswith(".bin")]) == fetched
    assert GOOD not in json.dumps([first, second])


REFUSALS = {
    "no token": ("", DEFAULT_MODEL, 1, "token-missing"),
    "wrong token": ("hf_wrongCanaryToken", DEFAULT_MODEL, 1, "token-refused"),
    "licence not accepted": (NO_LICENCE, DEFAULT_MODEL, 1, "licence-not-accepted"),
    "no such model": (GOOD, "someone/none", 2, "model-unknown"),
    "no such revision": (GOOD, "someone/open", 2, "revision-unknown"),
}


def test_every_refusal_of_the_hub_has_its_own_words(sdops, hub, photo, monkeypatch):
    said = {}
    for name, (token, model, code, _) in REFUSALS.items():
        monkeypatch.setenv("HF_TOKEN", token)
        ran = sdops("run", photo, "a hat", "--model", model, "--revision", "fp16", *QUICK)
        assert (ran.code, ran.out) == (code, "")
        assert "CanaryToken" not in ran.err
        loading, error, hint = ran.err.splitlines()
        assert (loading, error.startswith("Error: "), hint != "") == (f"Loading {model}", True, True)
        said[name] = error
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ran = sdops("run", photo, "a hat", *QUICK)
    said["offline"] = ran.err.splitlines()[1]
    assert (ran.code, "cannot be reached" in said["offline"]) == (1, True)
    assert len(set(said.values())) == len(said)


@pytest.mark.parametrize(("token", "model", "code", "error"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_has_its_code_in_json(sdops, hub, photo, monkeypatch, token, model, code, error):
    monkeypatch.setenv("HF_TOKEN", token)
    ran = sdops("run", photo, "a hat", "--model", model, "--revision", "fp16", *QUICK, "--json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (code, error)


def test_a_model_that_does_not_fit_onto_the_disk_is_said_before_it_is_fetched(sdops, hub, photo, monkeypatch):
    from sdops_runtime.hub import cache

    monkeypatch.setenv("HF_TOKEN", GOOD)
    monkeypatch.setattr(cache, "free_bytes", lambda folder: 1_000_000)
    ran = sdops("run", photo, "a hat", *QUICK, "--json")
    error = json.loads(ran.out)["error"]
    assert (ran.code, error["code"]) == (1, "disk-full")
    assert "0.00 GB are free" in error["message"]
    assert not [seen for seen in hub.requests if seen.path.endswith(".bin")]
