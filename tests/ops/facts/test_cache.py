"""The probe ``cache``, against what the runtime itself downloads, and against its own judgement of it."""

import json
import shutil

import pytest
from doubles.hub import FakeHub
from doubles.model_files import NAME, UNET, model_files
from sdops.facts import cache
from sdops.facts.cache import Cache
from sdops.facts.probe import Output
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted
from sdops_runtime import hub
from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import client

from .asking import ask


@pytest.fixture(scope="module")
def fake():
    with FakeHub() as fake:
        fake.add(NAME, model_files(), "fp16")
        yield fake


@pytest.fixture
def home(tmp_path, monkeypatch, fake):
    """A hub's home folder, and the runtime set to it."""
    for name in (
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub home"))
    monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
    monkeypatch.setattr(client, "PAUSE", 0.0)
    return tmp_path / "hub home"


def look(home, **fields):
    return ask(cache.PROBE, environment={"HF_HOME": str(home)}, **fields)[0]


def folder(home):
    return home / "hub" / "models--CompVis--stable-diffusion-v1-4"


def test_nothing_is_there_at_first(home):
    assert look(home) == Cache("hub", str(folder(home)), there=False, complete=False)


def test_a_whole_model_is_complete(home):
    found = hub.resolve(NAME, "fp16")
    size = sum(path.stat().st_size for path in found.path.rglob("*") if path.is_file())
    told = look(home)
    assert told == Cache(
        "hub",
        str(folder(home)),
        there=True,
        complete=True,
        commit=found.revision,
        size_mib=size // 2**20,
        needed_mib=0,
    )
    assert look(home, revision=found.revision) == told


def test_another_revision_of_it_is_not_there(home):
    hub.resolve(NAME, "fp16")
    assert look(home, revision="main").complete is False


def test_an_interrupted_download_says_what_is_missing(home, fake):
    fake.cut(UNET, 3000, times=9)
    with pytest.raises(SdopsError):
        hub.resolve(NAME, "fp16")
    fake._faults.clear()
    found = look(home)
    assert (found.there, found.complete, found.missing, found.needed_mib) == (True, False, (UNET,), 1)
    hub.resolve(NAME, "fp16")
    assert look(home).complete is True


def test_files_that_were_lost_are_missing(home):
    model = hub.resolve(NAME, "fp16")
    (model.path / UNET).resolve().unlink()
    assert look(home).missing == (UNET,)
    (model.path / "tokenizer/vocab.json").unlink()
    assert look(home).missing == ("tokenizer/vocab.json", UNET)
    (model.path / "model_index.json").unlink()
    assert look(home).missing == ("model_index.json",)


def test_a_file_that_was_cut_off_is_missing(home):
    model = hub.resolve(NAME, "fp16")
    blob = (model.path / UNET).resolve()
    blob.write_bytes(blob.read_bytes()[:-1])
    assert look(home).missing == (UNET,)


def test_a_model_brought_by_another_program_is_judged_by_its_files(home):
    model = hub.resolve(NAME, "fp16")
    shutil.rmtree(folder(home) / ".sdops")
    assert look(home).complete is True
    (model.path / UNET).unlink()
    found = look(home)
    assert (found.complete, found.needed_mib) == (False, None)


def test_a_folder_is_a_model(home, tmp_path):
    model = hub.resolve(NAME, "fp16").path
    place = tmp_path / "own model"
    shutil.copytree(model, place)
    assert look(home, model=str(place)).complete is True
    (place / UNET).write_bytes(b"")
    found = look(home, model=str(place))
    assert (found.kind, found.there, found.complete) == ("folder", True, False)
    found = look(home, model=str(tmp_path / "nowhere"))
    assert (found.there, found.complete) == (False, False)


def test_the_demo_model_is_always_there(home):
    assert look(home, model="demo").complete is True


def test_weights_of_a_form_that_the_stack_does_not_read_are_none(home, tmp_path):
    model = hub.resolve(NAME, "fp16").path
    place = tmp_path / "own"
    shutil.copytree(model, place)
    for path in place.rglob("*.bin"):
        path.rename(path.with_suffix(".safetensors"))
    (place / "text_encoder/pytorch_model.safetensors").rename(place / "text_encoder/model.safetensors")
    assert look(home, model=str(place), stack="guide").complete is False
    assert look(home, model=str(place), stack="cu130").complete is True


ANSWER = "account=1000\nroot=/c\npath=/c/m\nthere=yes\nref={0}\ncommit={0}\n".format("a" * 40)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "account=1000\n",
        ANSWER,
        ANSWER + "listing={\n",
        ANSWER + 'listing={"files": 3}\nwhole=yes\n',
        ANSWER + 'listing={"files": [["a"]]}\nwhole=yes\n',
        ANSWER + "index=[]\nwhole=yes\n",
        ANSWER + 'index={"../x": ["a", "b"]}\nfile=x y\nfile=3\nwhole=yes\n',
        ANSWER + "owner=1000\n",
        ANSWER + f"index={json.dumps({'unet': ['a', 'b']})}\nfile=1 ./unet/config.json\nwhole=yes\n",
    ],
)
def test_half_an_answer_is_never_taken_for_a_whole_model(text):
    found = cache.PROBE.read(Output(text), Wanted())
    assert isinstance(found, Unknown) or not found.complete


def test_folders_that_the_account_cannot_write_are_told():
    text = ANSWER + "owner=1000 700 /c\nowner=0 755 /c/m\nowner=0 777 /c/m/blobs\nwhole=yes\n"
    assert cache.PROBE.read(Output(text), Wanted()).foreign == ("/c/m",)
