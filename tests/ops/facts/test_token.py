"""The probe ``token``: where the token is, whose, and of what form. Never a letter of it."""

import pytest
from sdops.facts import token
from sdops.facts.lines import UNSAID
from sdops.facts.probe import Output
from sdops.facts.token import Token
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted
from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import token as runtime_token

from .asking import ME, ask

SECRET = "hf_canaryD7bRw8NcYpQ"

FORMS = {
    "good": SECRET.encode(),
    "good-with-line-break": f" {SECRET}\n\n".encode(),
    "empty": b"",
    "blanks-only": b" \n",
    "double-quotes": f'"{SECRET}"'.encode(),
    "single-quote": f"'{SECRET}".encode(),
    "two-lines": f"{SECRET}\n{SECRET}\n".encode(),
    "blank-inside": f"{SECRET} {SECRET}".encode(),
    "tab-inside": f"{SECRET}\t{SECRET}".encode(),
    "umlaut": f"{SECRET}ß".encode(),
    "windows": SECRET.encode("utf-16"),
    "control": f"{SECRET}\x07".encode(),
}
#: What each form is in the words of the runtime's own reader.
WORDS = {
    "quoted": "has quotation marks around it",
    "lines": "has more than one line",
    "blank": "has a blank inside",
    "characters": "holds characters that no token has",
}


@pytest.fixture
def file(tmp_path):
    folder = tmp_path / "hub folder"
    folder.mkdir(mode=0o700)
    return folder / "token"


def look(file, **more):
    found, said = ask(token.PROBE, environment={"HF_TOKEN_PATH": str(file), **more})
    assert SECRET not in said
    return found


@pytest.mark.parametrize("name", FORMS)
def test_its_form_is_what_the_runtime_makes_of_it(file, monkeypatch, name):
    file.write_bytes(FORMS[name])
    file.chmod(0o640)
    monkeypatch.setenv("HF_TOKEN_PATH", str(file))
    for variable in runtime_token.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    try:
        wanted = "good" if runtime_token.find() else "empty"
    except SdopsError as error:
        (wanted,) = [form for form, words in WORDS.items() if words in error.message]
    assert look(file) == Token(
        str(file),
        there=True,
        owner=ME.pw_name,
        own=True,
        mode=0o640,
        form=wanted,
        folder_own=True,
        folder_mode=0o700,
    )


def test_a_token_that_is_not_there_is_not_unknown(file):
    found = look(file)
    assert (found.there, found.folder_mode, found.form) == (False, 0o700, UNSAID)
    file.parent.rmdir()
    assert look(file).there is False


def test_a_folder_in_its_place_is_told(file):
    file.mkdir()
    assert look(file).form == "folder"


def test_a_token_of_the_environment_is_told_by_the_variables_name(file):
    assert look(file, HF_TOKEN=SECRET).variable == "HF_TOKEN"
    assert look(file, HUGGING_FACE_HUB_TOKEN=SECRET).variable == "HUGGING_FACE_HUB_TOKEN"
    assert look(file, HF_TOKEN="").variable == ""


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        pytest.param({}, f"{ME.pw_dir}/.cache/huggingface/token", id="usual"),
        pytest.param({"HF_HOME": "/srv/hub of ours"}, "/srv/hub of ours/token", id="HF_HOME"),
        pytest.param({"HF_HOME": "~/hub"}, f"{ME.pw_dir}/hub/token", id="tilde"),
        pytest.param({"XDG_CACHE_HOME": "/srv/cache"}, "/srv/cache/huggingface/token", id="XDG_CACHE_HOME"),
        pytest.param({"HF_HOME": "/srv/a", "HF_TOKEN_PATH": "/srv/b/*"}, "/srv/b/*", id="HF_TOKEN_PATH"),
    ],
)
def test_it_is_looked_for_where_the_libraries_would(environment, place):
    found, _ = ask(token.PROBE, environment=environment)
    assert found.path == place


def test_without_the_account_there_is_no_place_for_it():
    found, _ = ask(token.PROBE, user="nobody-of-that-name")
    assert found == Unknown("there is no account nobody-of-that-name")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "account=1000",
        "account=1000\nthere=maybe\n",
        "account=1000\npath=/x\nthere=yes\nform=hf_x\nfile=1 2",
    ],
)
def test_half_an_answer_tells_nothing_wrong(text):
    found = token.PROBE.read(Output(text), Wanted())
    assert isinstance(found, Unknown) or isinstance(found.form, Unknown)
