"""Asks one probe of this machine, by a real shell, as doctor would ask a host."""

import os
import pwd
import subprocess
from dataclasses import replace

from sdops.facts import script
from sdops.facts.wanted import Wanted

ME = pwd.getpwuid(os.getuid())


def ask(probe, shell="sh", before="", environment=None, **fields):
    """The record, and all that the probe printed. before: shell text that the probe's own comes after."""
    wanted = replace(Wanted(user=ME.pw_name), **fields)
    given = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_", "HUGG"))}
    word = script.nonce()
    text = script.compose([probe], wanted, word)
    if before:
        text = text.replace("# shellcheck disable=SC2154\n", f"# shellcheck disable=SC2154\n{before}\n", 1)
    ran = subprocess.run(
        [shell, "-s"],
        input=text.encode(),
        capture_output=True,
        check=True,
        timeout=60,
        env={**given, **(environment or {})},
    )
    assert ran.stderr == b""
    outputs, whole = script.take_apart(ran.stdout, word)
    assert whole
    output = outputs[probe.name]
    return probe.read(output, wanted), output.text
