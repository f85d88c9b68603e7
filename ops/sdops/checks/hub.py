"""Checks of the topic ``hub``: the hub, and what it gives. No I/O here."""

import re

from sdops.checks import model, token
from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import there
from sdops.checks.sure import sure, unless_unknown
from sdops.checks.token import PAGE, keep
from sdops.facts.access import Access
from sdops.facts.host import HostFacts
from sdops.facts.hub import Hub, at_hub
from sdops.facts.unknown import Unknown

_EFFECT = "The model cannot be downloaded."

#: What the kinds of a failed connection are for people.
_CONNECTION = {
    "refused": "refuses the connection",
    "unreachable": "cannot be reached over the network",
    "timeout": "does not answer in time",
    "unconnected": "cannot be connected to",
    "proxy": "is not let through by the proxy",
    "cut": "ends the connection",
    "other": "cannot be asked",
}


def _name(facts: HostFacts) -> str:
    """The hub's host, without a password that stands before it."""
    found = re.match(r"[a-z]+://(?:[^/@]*@)?([^/]+)", facts.wanted.hub)
    return found[1] if found else facts.wanted.hub


def _hub(facts: HostFacts) -> Hub | None:
    """The hub's answer; None where nothing is wanted of it: the model is here."""
    if keep(facts):
        return None
    return sure(facts.hub)


@unless_unknown
def _dns(facts: HostFacts) -> Finding | None:
    hub = _hub(facts)
    if not hub or hub.problem != "dns":
        return None
    return Finding(
        f"The host cannot look up the hub's name, {_name(facts)}.",
        _EFFECT,
        (hub.said,),
        "Set right where the host looks up names, or the hub's address, sdops_hub_endpoint.",
        (there(facts, f"cat /etc/resolv.conf; getent hosts {_name(facts).split(':')[0]}"),),
    )


@unless_unknown
def _tls(facts: HostFacts) -> Finding | None:
    hub = _hub(facts)
    if not hub or hub.problem != "tls":
        return None
    return Finding(
        f"The host does not trust who answers as {_name(facts)}.",
        _EFFECT,
        (hub.said,),
        "Install the system's certificates; behind a proxy or mirror with its own, add that one.",
        (there(facts, "apt-get update && apt-get install --yes ca-certificates && update-ca-certificates"),),
    )


@unless_unknown
def _connection(facts: HostFacts) -> Finding | None:
    hub = _hub(facts)
    if not hub or hub.problem not in _CONNECTION:
        return None
    return Finding(
        f"The hub at {_name(facts)} {_CONNECTION[hub.problem]}.",
        _EFFECT,
        (hub.said,),
        "Look at the firewall, the network and HTTPS_PROXY; or set sdops_hub_endpoint to a mirror that "
        "answers, or bring the model's folder there and name it in sdops_model.",
        (there(facts, f"curl -sSI {facts.wanted.hub}"),) if "@" not in facts.wanted.hub else (),
    )


@unless_unknown
def _answer(facts: HostFacts) -> Finding | None:
    hub = _hub(facts)
    if not hub or hub.problem or hub.status is None:
        return None
    if hub.genuine is False or (hub.status == 403 and not hub.genuine):
        return Finding(
            f"What answers at {_name(facts)} is not the hub.",
            _EFFECT,
            (f"HTTP status {hub.status}, without the hub's own headers",),
            "Look for a login page or a proxy in between, and check sdops_hub_endpoint.",
        )
    if hub.status == 429 or hub.status >= 500:
        return Finding(
            f"The hub at {_name(facts)} answers with an error of its own.",
            _EFFECT,
            (f"HTTP status {hub.status}",),
            "Wait some minutes and ask again, or use a mirror.",
        )
    return None


@unless_unknown
def _offline(facts: HostFacts) -> Finding | None:
    if not at_hub(facts.wanted.model) or not sure(sure(facts.cache).complete):
        return None
    hub = sure(facts.hub)
    if not hub.problem:
        return None
    return Finding(
        f"The hub at {_name(facts)} cannot be reached; the model is on the disk.",
        "Pictures are made with what is there. Another model or a newer version of it cannot be had.",
        (hub.said,),
        "Nothing needs to be done, if the host is meant to be offline.",
    )


def _access(facts: HostFacts, *codes: str) -> Access | None:
    """What the runtime was told, if it is one of these codes, and the model is not here."""
    if keep(facts):
        return None
    access = sure(facts.access)
    return access if access.code in codes else None


@unless_unknown
def _refused(facts: HostFacts) -> Finding | None:
    if not at_hub(facts.wanted.model):
        return None
    access = sure(facts.access)
    if access.code != "token-refused":
        return None
    return Finding(
        "The hub refuses the host's access token.",
        "Nothing can be downloaded with it, open models neither.",
        (access.message,),
        f'It was revoked, or has ended. Make a new one of role "read" at {PAGE}, and store it.',
        token.store(facts),
    )


@unless_unknown
def _licence(facts: HostFacts) -> Finding | None:
    access = _access(facts, "licence-not-accepted")
    if not access:
        return None
    return Finding(
        f"The token's owner has not accepted the licence of {facts.wanted.model}.",
        _EFFECT,
        (access.message,),
        f"Read and accept it at {facts.wanted.hub.rstrip('/')}/{facts.wanted.model}, logged in as the "
        "token's owner.",
    )


@unless_unknown
def _model(facts: HostFacts) -> Finding | Unknown | None:
    hub = _hub(facts)
    if not hub:
        return None
    message = "X-Error-Code: RepoNotFound"
    # To a visitor the hub does not say whether a model is private; with a token it does.
    if hub.error_code != "RepoNotFound" or token.given(facts):
        access = _access(facts, "model-unknown")
        if not access:
            return None
        message = access.message
    return Finding(
        f"The hub has no model {facts.wanted.model}, or does not show it.",
        _EFFECT,
        (message,),
        "Check sdops_model. For a private model the host needs a token of somebody who may read it.",
    )


@unless_unknown
def _revision(facts: HostFacts) -> Finding | Unknown | None:
    hub = _hub(facts)
    if not hub:
        return None
    message = "X-Error-Code: RevisionNotFound"
    if hub.error_code != "RevisionNotFound":
        access = _access(facts, "revision-unknown")
        if not access:
            return None
        message = access.message
    return Finding(
        f"The model {facts.wanted.model} has no revision {facts.wanted.revision or 'main'}.",
        _EFFECT,
        (message,),
        "Set sdops_model_revision to one that it has.",
    )


@unless_unknown
def _environment(facts: HostFacts) -> Finding | Unknown | None:
    """Whether the runtime reaches the hub where the host does."""
    access = _access(facts, "hub-offline", "hub-failed")
    if not access:
        return None
    return Finding(
        "The host reaches the hub, but the runtime's environment does not.",
        _EFFECT,
        (access.message,),
        "Its libraries bring certificates of their own: behind a proxy or mirror with another one, name that "
        "in REQUESTS_CA_BUNDLE and SSL_CERT_FILE for the account's services.",
    )


_NO_HUB = "The host's network, its name server or a firewall is in the way, or `sdops_hub_endpoint` is wrong."
_OTHER_WAY = "Set right what the finding names. A model's folder can also be brought to the host by hand."

CHECKS: tuple[Check, ...] = (
    Check("hub-dns", "hub", "the hub's name is known", Severity.ERROR, _dns, _NO_HUB, _OTHER_WAY, ("reach",)),
    Check(
        "hub-tls",
        "hub",
        "the hub's certificate is trusted",
        Severity.ERROR,
        _tls,
        "The host has no or old certificates of authorities, its clock is wrong, or a proxy answers in the "
        "hub's place.",
        _OTHER_WAY,
        needs=("reach", "clock"),
    ),
    Check(
        "hub-connection",
        "hub",
        "the hub can be connected to",
        Severity.ERROR,
        _connection,
        _NO_HUB,
        _OTHER_WAY,
        needs=("reach",),
    ),
    Check(
        "hub-answer",
        "hub",
        "the hub answers",
        Severity.ERROR,
        _answer,
        "The hub has a disturbance, limits how often it is asked, or something else answers at its address: "
        "a login page, or a proxy that forbids it.",
        "Wait, or set `sdops_hub_endpoint` right.",
        needs=("hub-dns", "hub-tls", "hub-connection"),
    ),
    Check(
        "hub-offline",
        "hub",
        "the hub can be reached for what comes next",
        Severity.WARNING,
        _offline,
        "The model is on the disk, so that pictures can be made, but the hub does not answer.",
        _OTHER_WAY,
        needs=("reach",),
    ),
    *token.CHECKS,
    Check(
        "token-refused",
        "hub",
        "the hub accepts the token",
        Severity.ERROR,
        _refused,
        "The token was revoked at the hub, has ended, or was copied from another hub.",
        "Make another one and store it with the tag `hub_token`.",
        needs=("token-form", "hub-answer"),
    ),
    Check(
        "licence",
        "hub",
        "the model's licence is accepted",
        Severity.ERROR,
        _licence,
        "The model is given only to people who have accepted its licence, and the token's owner has not.",
        "Read it on the model's page at the hub and accept it there. What may be done with its pictures "
        "stands in it.",
        needs=("token-missing", "token-refused"),
    ),
    Check(
        "model-unknown",
        "hub",
        "the hub has the model",
        Severity.ERROR,
        _model,
        "The name is misspelt, the model was deleted, or it is private.",
        "Set `sdops_model` right.",
        needs=("token-missing", "token-refused", "hub-answer"),
    ),
    Check(
        "revision-unknown",
        "hub",
        "the model has the revision",
        Severity.ERROR,
        _revision,
        "Models differ in their branches: `fp16` is one of the default model, others have `main` only.",
        "Set `sdops_model_revision` right.",
        needs=("model-unknown",),
    ),
    Check(
        "hub-environment",
        "hub",
        "the runtime reaches the hub",
        Severity.ERROR,
        _environment,
        "The libraries of the environment have their own certificates and settings of proxies.",
        "Give the account's services what the system has.",
        needs=("env", "hub-answer", "hub-dns", "hub-tls", "hub-connection"),
    ),
    *model.CHECKS,
)
