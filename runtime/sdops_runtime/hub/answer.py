"""What the hub's refusals mean, told apart as a person has to act on them. No I/O here.

The hub gives one status for different things: 401 tells a visitor without a
token that the model is gated (X-Error-Code: GatedRepo), or private, or not
there at all; a visitor with a token, that the token is bad. Sources: the
errors modules of both generations of huggingface_hub.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import token as hub_token
from sdops_runtime.hub.token import Token

RETRY = "Try again in some minutes. A local folder and --model demo need no hub."

#: Statuses that pass by themselves: a moment later the same request may succeed.
PASSING = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Request:
    """What was asked of the hub: a revision of a model, and the token sent along."""

    endpoint: str
    name: str
    revision: str
    token: Optional[Token] = None

    @property
    def page(self) -> str:
        """The model's page for people."""
        return f"{self.endpoint}/{self.name}"


def refusal(status: int, headers: Mapping[str, str], request: Request) -> SdopsError:
    """The error that an answer with a status of 400 or more amounts to.

    headers: the answer's, looked up whatever the case of their names.
    """
    code = headers.get("X-Error-Code") or ""
    said = _said(headers, request.token)
    if code == "RevisionNotFound":
        return revision_unknown(request, ())
    if code == "EntryNotFound":
        return SdopsError("hub-failed", f"The hub lists a file of {request.name} that it lacks.", RETRY)
    if status == 401 and request.token is None:
        return _wants_token(code, request)
    if status == 401 and (code != "RepoNotFound" or "credentials" in said.lower()):
        return _bad_token(request.token)
    if status in (401, 404):
        return _not_there(request)
    if status == 403:
        return _forbidden(code, said, request)
    return failed(status, headers, said)


def revision_unknown(request: Request, known: Sequence[str]) -> SdopsError:
    """The error for a revision that the model does not have; ``known``: those it has, if asked for."""
    names = sorted(known, key=lambda name: (name != "main", name))
    there = f" It has {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}." if names else ""
    hint = (
        f"Use --revision {names[0]}." if names else f"Its revisions are listed at {request.page}/tree/main."
    )
    return SdopsError(
        "revision-unknown", f"The model {request.name} has no revision {request.revision!r}.{there}", hint
    )


def failed(status: int, headers: Mapping[str, str], said: str = "") -> SdopsError:
    """The error for an answer that nothing here has caused."""
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    wait = headers.get("Retry-After") or ""
    hint = f"Try again in {wait} seconds." if re.fullmatch(r"\d{1,5}", wait) else RETRY
    words = f" It says: {said}" if said else ""
    return SdopsError("hub-failed", f"The hub answered with HTTP status {status}{phrase}.{words}", hint)


def offline(request: Request, why: str) -> SdopsError:
    """The error for a hub that cannot be reached."""
    return SdopsError(
        "hub-offline",
        f"The hub at {request.endpoint} cannot be reached: {why}.",
        "Check the network, and HTTPS_PROXY where one is needed; or use a local folder, or --model demo.",
    )


def unfinished(why: str) -> SdopsError:
    """The error for an answer that broke off."""
    return SdopsError("hub-failed", f"The hub did not finish its answer: {why}.", RETRY)


def not_a_hub(request: Request) -> SdopsError:
    """The error for an answer of a kind that the hub does not give."""
    return SdopsError(
        "hub-failed",
        f"What answers at {request.endpoint} is not the hub.",
        "Look for a login page or proxy in between (open that address in a browser), and check HF_ENDPOINT.",
    )


def _wants_token(code: str, request: Request) -> SdopsError:
    if code == "GatedRepo":
        return SdopsError(
            "token-missing",
            f"The hub gives {request.name} only to people who accepted its licence; no token was found.",
            f"Accept the licence at {request.page}. {hub_token.advice()}",
        )
    if code == "RepoNotFound":
        # To visitors without a token the hub does not say which of these it is.
        return SdopsError(
            "model-unknown",
            f"The hub shows no model {request.name} to visitors: it is misspelt, deleted, or private.",
            f"Check the spelling at {request.page}. For a private model: {_lower(hub_token.advice())}",
        )
    return SdopsError(
        "token-missing",
        f"The hub wants an access token for {request.name} (if that model is there); none was found.",
        f"Check the spelling at {request.page}. {hub_token.advice()}",
    )


def _bad_token(token: Optional[Token]) -> SdopsError:
    source = f" ({token.source})" if token else ""
    return SdopsError(
        "token-refused",
        f"The hub does not accept the access token{source}: it is mistyped, expired or deleted.",
        f"Replace it by a working one from {hub_token.PAGE}, or remove it if the model is open to everybody.",
    )


def _not_there(request: Request) -> SdopsError:
    whom = "the access token's owner may not see it" if request.token else "it is private"
    return SdopsError(
        "model-unknown",
        f"The hub shows no model {request.name}: it is misspelt or deleted, or {whom}.",
        f"Check the spelling at {request.page}, or use a local folder, or --model demo.",
    )


def _forbidden(code: str, said: str, request: Request) -> SdopsError:
    words = f" The hub says: {said}" if said else ""
    if "disabled" in said.lower():
        return SdopsError(
            "model-unknown", f"The hub has disabled the model {request.name}.", f"See {request.page}."
        )
    if code != "GatedRepo" and "gated" not in said.lower():
        if request.token is None:
            return failed(403, {}, said)
        return SdopsError(
            "token-refused",
            f"The access token ({request.token.source}) may not read {request.name}.{words}",
            f"Give it the right to read this model at {hub_token.PAGE}.",
        )
    if request.token is None:
        return _wants_token("GatedRepo", request)
    return SdopsError(
        "licence-not-accepted",
        f"The owner of the access token ({request.token.source}) has not accepted the licence of "
        f"{request.name}, or waits for approval.{words}",
        f"Log in as that owner, accept at {request.page}, and try again. A fine-grained token also needs the "
        f"right to read gated repositories: {hub_token.PAGE}",
    )


def _said(headers: Mapping[str, str], token: Optional[Token]) -> str:
    """The hub's own words, made harmless: one line, no control characters, never the token."""
    text = headers.get("X-Error-Message") or ""
    if token is not None:
        text = text.replace(token.value, "(token)")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:300]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
