"""Checks of the topic ``hub`` about the access token. Its value is nowhere here. No I/O here."""

import shlex

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.cache import Cache
from sdops.facts.host import HostFacts
from sdops.facts.hub import Hub, at_hub
from sdops.facts.token import Token
from sdops.facts.unknown import Unknown

PAGE = "https://huggingface.co/settings/tokens"

#: What is wrong with a token's file, without a letter of it.
FORMS = {
    "quoted": "has quotation marks around it",
    "lines": "has more than one line",
    "blank": "has a blank inside",
    "characters": "holds characters that no token has",
    "folder": "is a folder",
}


def _file(facts: HostFacts) -> Token | None:
    """The token's file, None where there is none."""
    token = sure(facts.token)
    return token if sure(token.there) else None


def given(facts: HostFacts) -> bool:
    """Whether the host has a token that can be one."""
    token = sure(facts.token)
    return bool(token.variable) or (sure(token.there) and sure(token.form) == "good")


def keep(facts: HostFacts) -> bool:
    """Whether the model is all there, so that the hub is not needed for it."""
    return not at_hub(facts.wanted.model) or (isinstance(facts.cache, Cache) and facts.cache.complete is True)


def _path(facts: HostFacts) -> str:
    return str(sure(sure(facts.token).path))


def _mend(facts: HostFacts) -> tuple[str, ...]:
    """Commands that make the token's file the account's own and nobody else's."""
    path = shlex.quote(_path(facts))
    standard = path.endswith("/.cache/huggingface/token")
    mend = f"chown {facts.wanted.user}: {path} && chmod 600 {path}"
    return (standard and playbook(facts, "hub_token")) or (there(facts, mend),)


def store(facts: HostFacts) -> tuple[str, ...]:
    """Commands that store another token; the playbook asks for it, so that it stands nowhere."""
    return tuple(f"{command} -e hub_token_prompt=true" for command in playbook(facts, "hub_token"))


@unless_unknown
def _owner(facts: HostFacts) -> Finding | None:
    token = _file(facts)
    if not token or sure(token.own):
        return None
    return Finding(
        f"The hub's access token belongs to {token.owner or 'somebody else'}, not to {facts.wanted.user}.",
        "The worker cannot read it, or somebody else decides what it reads.",
        (f"{token.path}: owner {token.owner}, mode {sure(token.mode):04o}",),
        "Make it the account's own.",
        _mend(facts),
    )


@unless_unknown
def _open(facts: HostFacts) -> Finding | None:
    token = _file(facts)
    if not token or sure(token.form) == "folder" or not sure(token.mode) & 0o077:
        return None
    return Finding(
        "The hub's access token can be read by others than its owner.",
        "Whoever works on the host can act at the hub as the token's owner.",
        (f"{token.path}: mode {sure(token.mode):04o}",),
        f"Close it. If others work on the host, make a new token at {PAGE}.",
        _mend(facts),
    )


@unless_unknown
def _form(facts: HostFacts) -> Finding | None:
    token = _file(facts)
    what = FORMS.get(sure(token.form)) if token else None
    if not token or what is None:
        return None
    return Finding(
        f"The hub's access token cannot be one: its file {what}.",
        "Every job that needs the hub fails, for open models, too.",
        (f"{token.path}: {what}",),
        f"A token is one word such as hf_AbCd. Copy it again from {PAGE}, and store it.",
        store(facts),
    )


@unless_unknown
def _missing(facts: HostFacts) -> Finding | Unknown | None:
    if keep(facts) or given(facts):
        return None
    code = facts.hub.error_code if isinstance(facts.hub, Hub) else ""
    said = getattr(facts.access, "code", "")
    if code != "GatedRepo" and said != "token-missing":
        return facts.hub if isinstance(facts.hub, Unknown) else None
    return Finding(
        f"The hub gives {facts.wanted.model} only to people who accepted its licence, and the host has no "
        "access token.",
        "The model cannot be downloaded.",
        (f"{_path(facts)} is {'empty' if sure(sure(facts.token).there) else 'not there'}",),
        f"Accept the licence at {facts.wanted.hub.rstrip('/')}/{facts.wanted.model}, make a token of role "
        f'"read" at {PAGE}, and {"put it into that file" if is_local(facts) else "store it"}.',
        store(facts),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "token-owner",
        "hub",
        "the token is the account's own",
        Severity.ERROR,
        _owner,
        "The token's file was written as another account, root mostly.",
        "The tag `hub_token` makes it the account's own.",
        needs=("account",),
    ),
    Check(
        "token-open",
        "hub",
        "the token can be read by its owner only",
        Severity.ERROR,
        _open,
        "The file was made by hand or copied, with a mode such as 0644.",
        "The tag `hub_token` closes it, without being given the token again.",
        needs=("account",),
    ),
    Check(
        "token-form",
        "hub",
        "the token can be one",
        Severity.ERROR,
        _form,
        "What was put into the file is not a token alone: it has quotation marks, further lines or signs "
        "that came along when it was copied.",
        "Copy it again and store it. The tag `hub_token` asks for it with `-e hub_token_prompt=true`.",
        needs=("token-owner",),
    ),
    Check(
        "token-missing",
        "hub",
        "there is a token where one is needed",
        Severity.ERROR,
        _missing,
        "Some models are given only to people who have accepted their licence, which the hub knows by the "
        "token. Open models need none.",
        "Accept the licence on the model's page, make a token and store it with the tag `hub_token`.",
        needs=("token-form", "hub-dns", "hub-tls", "hub-connection", "hub-answer"),
    ),
)
