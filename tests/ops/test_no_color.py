"""NO_COLOR, see no-color.org: of the commands whose output has colours."""

import re
import socket

import pytest

#: A colour of the foreground or the background, as ECMA-48 has it. Bold and dim are none.
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:[349]\d|10[0-7])(?:;\d+)*m")


@pytest.fixture
def closed():
    """A port of this machine at which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield str(one.getsockname()[1])


@pytest.mark.parametrize("no_color", [True, False], ids=["no-color", "colour"])
@pytest.mark.parametrize(
    "words",
    [
        ("status", "--host", "gpu1"),
        ("sweep", "missing.jpg", "a hat"),
        ("mount", "nobody"),
        ("init", "127.0.0.1", "--port", "PORT", "--no-token"),
    ],
    ids=lambda words: words[0],
)
def test_no_color_is_heeded(sdops, tmp_path, monkeypatch, closed, words, no_color):
    (tmp_path / "here/inventory.ini").write_text(f"gpu1 ansible_host=127.0.0.1 ansible_port={closed}\n")
    # As on a terminal that has colours.
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COLORTERM", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    ran = sdops(*(closed if word == "PORT" else word for word in words))
    assert ran.code != 0
    assert "Error" in ran.err
    assert bool(COLOUR.search(ran.out + ran.err)) is not no_color
