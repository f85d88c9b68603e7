"""All probes in one script, under real shells, and their outputs taken apart again."""

import shutil
import subprocess
from dataclasses import dataclass

import pytest
from sdops.facts import script
from sdops.facts.probe import Output, Probe
from sdops.facts.registry import PROBES
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

WANTED = Wanted(user="nobody")
SHELLS = [shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(shell[0])]


@dataclass(frozen=True)
class Text(Probe):
    """A probe whose script is given."""

    text: str = ""

    @property
    def script(self):
        return self.text


def text(name, words, timeout=10):
    return Text(name, timeout, lambda output, wanted: output.text, text=words)


def ask(*probes, shell=("sh",)):
    """What comes back for the probes, from a real shell that reads the script from its standard input."""
    word = script.nonce()
    words = script.compose(probes, WANTED, word).encode()
    ran = subprocess.run([*shell, "-s"], input=words, capture_output=True, timeout=60)
    assert ran.stderr == b""
    return script.take_apart(ran.stdout, word)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_outputs_come_back_with_their_exit_status(shell):
    outputs, whole = ask(
        text("one", "echo first; echo second >&2; exit 3"),
        text("two", "printf '\\303\\244 %s' \"$user\""),
        text("none", ":"),
        shell=shell,
    )
    assert outputs == {"one": Output("first\nsecond", 3), "two": Output("ä nobody"), "none": Output("")}
    assert whole


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_a_probe_that_hangs_is_stopped_and_the_next_one_answers(shell):
    slow = text("slow", "echo so far; sleep 60 & wait", timeout=1)
    outputs, whole = ask(slow, text("next", "echo here"), shell=shell)
    assert outputs["slow"].timed_out
    assert outputs["next"] == Output("here")
    assert whole


def test_a_probe_does_not_read_the_rest_of_the_script():
    outputs, whole = ask(text("greedy", "cat"), text("next", "echo here"))
    assert (outputs, whole) == ({"greedy": Output(""), "next": Output("here")}, True)


def test_a_syntax_error_in_one_probe_is_no_other_ones_matter():
    outputs, _ = ask(text("wrong", "if then"), text("next", "echo here"))
    assert outputs["wrong"].status == 2
    assert outputs["next"] == Output("here")


def test_odd_bytes_and_words_like_our_own_do_no_harm():
    outputs, whole = ask(text("odd", "printf 'a\\377b\\nsdops-00 END 0 0\\n'"), text("next", "echo here"))
    assert outputs == {"odd": Output("a\N{REPLACEMENT CHARACTER}b\nsdops-00 END 0 0"), "next": Output("here")}
    assert whole


def test_a_host_without_timeout_answers_too(tmp_path):
    for name in ("sh", "wc", "cut", "id", "getent"):
        (tmp_path / name).symlink_to(shutil.which(name))
    word = script.nonce()
    # What the script adds to PATH is taken out: such a host has it nowhere.
    words = script.compose([text("one", "echo here")], WANTED, word).replace("PATH=$PATH:", "PATH=$PATH #")
    ran = subprocess.run(
        [shutil.which("sh"), "-s"],
        input=words.encode(),
        capture_output=True,
        timeout=60,
        env={"PATH": str(tmp_path)},
    )
    assert script.take_apart(ran.stdout, word) == ({"one": Output("here")}, True)


def test_greetings_before_and_between_are_passed_over():
    word = script.nonce()
    data = (
        f"Hello!\nsdops one 0 3\n\n{word} one 0 3\nyesmail for you\n\n{word} two 1 0\n\n{word} END 0 0\nbye"
    )
    assert script.take_apart(data.encode(), word) == ({"one": Output("yes"), "two": Output("", 1)}, True)


@pytest.mark.parametrize("length", range(0, 91, 7))
def test_what_was_cut_off_is_left_out(length):
    data = b"\nN one 0 20\n01234567890123456789\nN two 0 20\n01234567890123456789\nN END 0 0\n"
    outputs, whole = script.take_apart(data[:length], "N")
    assert set(outputs.values()) <= {Output("01234567890123456789")}
    assert whole is (length >= len(data))


def test_numbers_of_other_widths_are_read():
    """As BSD's wc pads them."""
    assert script.take_apart(b"\nN one 0        2\nhi\nN END 0 0\n", "N") == ({"one": Output("hi")}, True)


def test_an_output_that_makes_no_sense_is_unknown():
    probe = Probe("x", 5, lambda output, wanted: int(output.text))
    assert probe.read(Output("12"), WANTED) == 12
    assert probe.read(Output("twelve"), WANTED) == Unknown(
        "the answer cannot be understood (invalid literal for int() with base 10: 'twelve')"
    )
    assert probe.read(Output("", 124), WANTED) == Unknown("no answer within 5 s")
    assert probe.read(None, WANTED) == Unknown("the connection ended before this was read")


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_is_a_script_that_shells_accept(probe):
    for shell in SHELLS:
        ran = subprocess.run([*shell, "-n"], input=probe.script, text=True, capture_output=True, timeout=60)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_a_setting_with_quotes_stays_a_setting():
    wanted = Wanted(env='it\'s $(date) "x"')
    word = script.nonce()
    words = script.compose([text("one", 'printf %s "$env"')], wanted, word)
    ran = subprocess.run(["sh", "-s"], input=words.encode(), capture_output=True, timeout=60)
    assert script.take_apart(ran.stdout, word)[0] == {"one": Output(wanted.env)}
