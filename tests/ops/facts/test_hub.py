"""The probe ``hub``: every way of asking, every way of not being answered."""

import shutil
import socket

import pytest
from doubles.hub import FakeHub
from doubles.model_files import NAME, model_files
from sdops.facts import hub
from sdops.facts.hub import Hub
from sdops.facts.probe import Output
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

from .asking import ask

TOOLS = ("curl", "python3", "wget", "bash")


@pytest.fixture(scope="module")
def fake():
    with FakeHub() as fake:
        fake.add(NAME, model_files(), "fp16")
        fake.add("owner/gated", model_files(), gated=True)
        yield fake


@pytest.fixture(params=TOOLS)
def tool(request):
    """Each tool in turn, as if the host had no other."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed here")
    return request.param


def look(tool, address, **fields):
    only = f'have() {{ case $1 in {tool} | timeout) command -v "$1" >/dev/null 2>&1 ;; *) false ;; esac; }}'
    return ask(hub.PROBE, before=only, hub=address, **fields)[0]


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        pytest.param({}, {"status": 200, "genuine": True}, id="open"),
        pytest.param(
            {"model": "owner/gated", "revision": "main"},
            {"status": 401, "error_code": "GatedRepo", "genuine": True},
            id="gated",
        ),
        pytest.param(
            {"model": "owner/none"}, {"status": 401, "error_code": "RepoNotFound", "genuine": True}, id="none"
        ),
        pytest.param(
            {"revision": "refs/pr/9"},
            {"status": 404, "error_code": "RevisionNotFound", "genuine": True},
            id="revision",
        ),
    ],
)
def test_the_answer_is_read(fake, tool, wanted, answer):
    expected = Hub(tool) if tool == "bash" else Hub(tool, **answer)
    assert look(tool, fake.endpoint, **wanted) == expected
    assert fake.requests[-1].authorization is None


def test_a_refused_connection_is_told(tool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = look(tool, f"http://127.0.0.1:{port}")
    assert found.problem in ("refused", "unconnected")
    assert found.status is None
    assert found.said


def test_a_name_that_nobody_knows_is_told(tool):
    found = look(tool, "http://hub.invalid")
    assert found.problem == "dns"


SPEAKERS = pytest.mark.parametrize("tool", [one for one in TOOLS if one != "bash"], indirect=True)


@SPEAKERS
def test_what_speaks_no_tls_is_told(fake, tool):
    assert look(tool, fake.endpoint.replace("http:", "https:")).problem == "tls"


@SPEAKERS
def test_a_login_page_is_not_the_hub(fake, tool):
    fake.answer("/resolve/", 302, headers={"Location": "http://login.invalid/"})
    found = look(tool, fake.endpoint)
    assert (found.status, found.genuine, found.problem) == (302, False, "")


@SPEAKERS
def test_a_disturbance_is_told(fake, tool):
    fake.answer("/resolve/", 503)
    assert look(tool, fake.endpoint).status == 503


def test_a_model_that_is_a_folder_has_no_page(fake):
    assert look("python3", fake.endpoint, model="/srv/model").status == 401
    assert fake.requests[-1].path in ("", "/")


def test_without_any_tool_nothing_is_known():
    assert isinstance(look("nothing-of-that-name", "http://127.0.0.1"), Unknown)


CURL = "tool=curl\nexit={}\nsaid={}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(CURL.format(6, "curl: (6) Could not resolve host: a"), "dns", id="dns"),
        pytest.param(
            CURL.format(7, "curl: (7) Failed to connect: Connection refused"), "refused", id="refused"
        ),
        pytest.param(CURL.format(7, "curl: (7) Failed: No route to host"), "unreachable", id="route"),
        pytest.param(
            CURL.format(28, "curl: (28) Connection timed out after 5000 ms"), "timeout", id="timeout"
        ),
        pytest.param(CURL.format(60, "curl: (60) SSL certificate problem"), "tls", id="certificate"),
        pytest.param(CURL.format(5, "curl: (5) Could not resolve proxy: p"), "proxy", id="proxy-name"),
        pytest.param(
            CURL.format(56, "HTTP/1.1 407 Proxy Authentication Required"), "proxy", id="proxy-login"
        ),
        pytest.param(CURL.format(52, "curl: (52) Empty reply from server"), "cut", id="cut"),
        pytest.param(CURL.format(2, "curl: (2) something new"), "other", id="other"),
        pytest.param("tool=python3\nexit=124\nsaid=\n", "timeout", id="ended-by-timeout"),
        pytest.param("tool=wget\nexit=4\nsaid=wget: unable to resolve host address 'a'\n", "dns", id="wget"),
    ],
)
def test_failures_are_told_apart(text, problem):
    found = hub.parse(Output(text), Wanted())
    assert (found.problem, found.genuine) == (problem, None)


def test_of_several_answers_the_last_one_counts():
    lines = ["HTTP/1.1 200 Connection established", "", "HTTP/2 307 ", "x-repo-commit: 1", "location: /y"]
    text = "tool=curl\nexit=0\n" + "".join(f"said={line}\n" for line in lines)
    assert hub.parse(Output(text), Wanted()) == Hub("curl", status=307, genuine=True)


def test_a_password_in_an_address_is_not_told():
    text = CURL.format(7, "curl: (7) Failed to connect to http://joe:geheim@mirror.invalid/")
    assert "geheim" not in repr(hub.parse(Output(text), Wanted()))


def test_a_probe_that_was_ended_has_waited_too_long():
    assert hub.PROBE.read(Output("tool=curl", 124), Wanted()).problem == "timeout"
