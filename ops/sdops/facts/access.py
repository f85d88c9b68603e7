"""Whether the hub lets the account read the wanted model, as the runtime found out. No I/O here."""

import json
from dataclasses import dataclass

from sdops.facts.lines import Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Access:
    """What came of asking for the model.

    code: "" where it may be read, else the runtime's code for the error, such as token-refused. message:
    its words. token: where the token came from that went along, "" for none.
    """

    code: str = ""
    message: str = ""
    token: str = ""


def parse(output: Output, wanted: Wanted) -> Access | Unknown:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    asked = lines.text("asked")
    if lines.text("account") == "":
        return Unknown(f"there is no account {wanted.user}")
    if asked == "needless":
        return Access()
    if asked == "missing":
        return Unknown("the runtime, which would ask the hub, is not on the host")
    if output.timed_out:
        return Unknown("the runtime, which asks the hub, gave no answer in time")
    said = lines.text("said")
    try:
        answer = json.loads(said) if isinstance(said, str) else {}
    except ValueError:
        answer = {}
    if not isinstance(answer, dict) or not (answer.get("code") or answer.get("kind") == "access"):
        return Unknown("the runtime, which would ask the hub, does not run")
    return Access(
        str(answer.get("code") or ""), str(answer.get("message") or ""), str(answer.get("token") or "")
    )


PROBE = Probe("access", 60, parse, quick=False)
