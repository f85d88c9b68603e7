"""A fake nvidia-smi: plays recorded answers, because there is no GPU in a test host.

It stands for the driver's tool only: no device node, no library, no kernel module.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from .host import Host

PLACE = "/usr/bin/nvidia-smi"
ANSWERS = "/usr/local/share/fake-nvidia-smi"

HEAD = """#!/bin/sh
# A fake of sdops' test hosts: plays what was recorded.
play() {
    [ -z "$3" ] || sleep "$3"
    cat "$1.out"
    cat "$1.err" >&2
    exit "$2"
}
case "$*" in
"""

TAIL = """esac
echo "fake nvidia-smi: no answer is recorded for: $*" >&2
exit 250
"""


@dataclass(frozen=True)
class Answer:
    """What one call of nvidia-smi does: text, exit status, and seconds that it hangs before it answers."""

    stdout: str = ""
    rc: int = 0
    stderr: str = ""
    seconds: float = 0


def install_fake_gpu(host: Host, answers: Answer | str | Mapping[str, Answer | str], rc: int = 0) -> None:
    """Puts a fake nvidia-smi on a host, in the place of one that may be there.

    answers: one answer for every call, or one for each string of arguments (``""`` is the bare call,
    ``"*"`` all others; shell patterns are not meant). rc: exit status of answers given as text.
    Calls without an answer exit with 250, which the real tool never does.
    """
    by_arguments = answers if isinstance(answers, Mapping) else {"*": answers}
    host.inside(["rm", "-rf", ANSWERS])
    cases = []
    # The first case that fits is taken: "all others" comes last.
    for number, arguments in enumerate(sorted(by_arguments, key=lambda text: text == "*")):
        given = by_arguments[arguments]
        answer = given if isinstance(given, Answer) else Answer(given, rc)
        host.put(f"{ANSWERS}/{number}.out", answer.stdout)
        host.put(f"{ANSWERS}/{number}.err", answer.stderr)
        pattern = "*" if arguments == "*" else shlex.quote(arguments)
        seconds = f"{answer.seconds:g}" if answer.seconds else "''"
        cases.append(f"{pattern}) play {ANSWERS}/{number} {answer.rc} {seconds} ;;\n")
    host.put(PLACE, HEAD + "".join(cases) + TAIL, mode=0o755)


def remove_fake_gpu(host: Host) -> None:
    """Takes the fake away: a host without a driver."""
    host.inside(["rm", "-rf", PLACE, ANSWERS])
