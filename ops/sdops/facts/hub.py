"""Whether the model hub can be reached from the host. No I/O here."""

import re
from dataclasses import dataclass

from sdops.facts.lines import Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

#: What curl's exit codes say (its manual page).
_CURL = {
    **dict.fromkeys((6,), "dns"),
    **dict.fromkeys((5, 97), "proxy"),
    **dict.fromkeys((28,), "timeout"),
    **dict.fromkeys((35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91), "tls"),
    **dict.fromkeys((52, 55, 56), "cut"),
}

#: And the words of curl, Python, wget and bash, in this order.
_WORDS = (
    (r"gaierror|resolve host|name or service not known|temporary failure in name", "dns"),
    (r"ssl|certificate|tls", "tls"),
    (r"proxy|tunnel", "proxy"),
    (r"connection ?refused", "refused"),
    (r"unreachable|no route", "unreachable"),
    (r"timed? ?out", "timeout"),
    (r"connect to", "unconnected"),
    (r"reset|closed|disconnected|incomplete|badstatus", "cut"),
)

#: ``timeout`` has ended the tool: of the coreutils, by its signal, of busybox.
_TIMED_OUT = (124, 137, 143)


@dataclass(frozen=True)
class Hub:
    """How the hub answered when it was asked for the wanted model's index, without a token.

    tool: what asked: curl, python3, wget or bash. problem: "" where something answered, else dns, refused,
    unreachable, timeout, unconnected (one of these three), tls, proxy, cut or other. said: in the tool's
    words. status: of HTTP; None without an answer, and where the tool speaks no HTTP. error_code: the hub's
    own word for a refusal. genuine: whether it is the hub that answered; None where that does not show.
    """

    tool: str
    problem: str = ""
    said: str = ""
    status: int | None = None
    error_code: str = ""
    genuine: bool | None = None


def parse(output: Output, wanted: Wanted) -> Hub | Unknown:
    """The facts in what the probe printed."""
    if output.timed_out:
        return Hub("", "timeout", "no answer in time")
    lines = Lines(output.text)
    tool, code = lines.text("tool"), lines.whole("exit")
    if tool == "none":
        return Unknown("the host has no curl, python3, wget or bash to ask the hub with")
    if isinstance(tool, Unknown) or isinstance(code, Unknown):
        return Unknown("the host's answer does not say")
    said = lines.all("said")
    answers = [number for number, line in enumerate(said) if _status(line) is not None]
    if not answers:
        if tool == "bash" and code == 0:
            return Hub(tool)
        return Hub(tool, _problem(tool, code, " ".join(said)), _told(said))
    # After a proxy's own answer, and those on the way, comes the one that counts.
    status = _status(said[answers[-1]])
    if status == 407 or (code and "CONNECT tunnel" in " ".join(said)):
        return Hub(tool, "proxy", _told(said[answers[-1] :]), status)
    headers = dict(_header(line) for line in said[answers[-1] + 1 :] if ":" in line)
    error_code = headers.get("x-error-code", "")
    genuine = True if error_code or "x-repo-commit" in headers else None
    if genuine is None and status is not None and status < 400 and at_hub(wanted.model):
        genuine = False
    return Hub(tool, "", "", status, error_code[:40], genuine)


def at_hub(model: str) -> bool:
    """Whether a model is meant to come from the hub: it is no folder, and not the demo model."""
    return model != "demo" and model[:1] not in ("/", ".", "~")


def _status(line: str) -> int | None:
    match = re.match(r"\s*HTTP/[\d.]+ (\d{3})\b", line)
    return int(match[1]) if match else None


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.strip().partition(":")
    return name.lower(), value.strip()


def _problem(tool: str, code: int, said: str) -> str:
    if code in _TIMED_OUT:
        return "timeout"
    if tool == "curl" and code in _CURL:
        return _CURL[code]
    return next((kind for words, kind in _WORDS if re.search(words, said, re.IGNORECASE)), "other")


def _told(said: tuple[str, ...]) -> str:
    """The last line that says something, without a password that stands in an address."""
    full = [line for line in said if line.strip()]
    return re.sub(r"//[^/@\s]*@", "//…@", full[-1].strip())[:200] if full else ""


PROBE = Probe("hub", 15, parse)
