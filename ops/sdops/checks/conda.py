"""Checks of the topic ``conda``: its installation and settings. No I/O here."""

import shlex

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.host import HostFacts


@unless_unknown
def _missing(facts: HostFacts) -> Finding | None:
    if is_local(facts) or sure(sure(facts.conda).program):
        return None
    return Finding(
        f"There is no conda at {facts.wanted.prefix}.",
        "The environment is activated by it: nothing that makes pictures starts.",
        (f"{facts.wanted.prefix}/bin/conda is not there",),
        "Have the playbook install it.",
        playbook(facts, "miniconda"),
    )


@unless_unknown
def _broken(facts: HostFacts) -> Finding | None:
    conda = sure(facts.conda)
    if is_local(facts) or sure(conda.complete):
        return None
    return Finding(
        "The installation of Miniconda was interrupted.",
        "Parts of it are missing.",
        (f"neither .sdops nor conda-meta/history is in {facts.wanted.prefix}",),
        "Remove what is there, and have the playbook install it anew. The environments lie elsewhere, "
        "and stay.",
        (
            there(facts, f"rm -r {shlex.quote(sure(conda.place) or facts.wanted.prefix)}"),
            *playbook(facts, "miniconda"),
        ),
    )


@unless_unknown
def _owner(facts: HostFacts) -> Finding | None:
    owner = sure(sure(facts.conda).owner)
    if is_local(facts) or owner in (facts.wanted.user, ""):
        return None
    place = shlex.quote(sure(sure(facts.conda).place))
    return Finding(
        f"Miniconda belongs to {owner} and not to {facts.wanted.user}.",
        "The account, and the playbook, can change nothing there.",
        (f"owner of {facts.wanted.prefix}: {owner}",),
        "Give it back to the account. Mostly conda was called as root.",
        (there(facts, f"chown -R {facts.wanted.user}: {place}"),),
    )


@unless_unknown
def _terms(facts: HostFacts) -> Finding | None:
    conda = sure(facts.conda)
    if is_local(facts) or not conda.asks_terms or not conda.uses_defaults or conda.accepted:
        return None
    if any(one.accepts for one in conda.settings):
        return None
    named = [one.path for one in conda.settings if one.channels and "defaults" in one.channels]
    said = (
        f"channel defaults in {named[0]}" if named else "no .condarc names channels, so they are Anaconda's"
    )
    return Finding(
        "conda would use Anaconda's own channels, whose terms of service nobody has accepted.",
        "Every conda command of yours there ends with CondaToSNonInteractiveError.",
        (said,),
        "Read the terms (https://www.anaconda.com/legal). Take the channel out of that file, or "
        "accept them: set "
        "miniconda_accept_defaults_terms=true.",
        playbook(facts, "miniconda"),
    )


@unless_unknown
def _shell(facts: HostFacts) -> Finding | None:
    if is_local(facts) or sure(facts.conda).shells:
        return None
    return Finding(
        "The account's shells do not know conda.",
        f"`conda activate {facts.wanted.env}` is not found there. The worker does not need it.",
        ("neither ~/.profile nor ~/.bashrc speaks of conda",),
        "Have the playbook write it into them.",
        playbook(facts, "miniconda"),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "conda-missing",
        "conda",
        "conda is there",
        Severity.ERROR,
        _missing,
        "It was removed, or the playbook broke off before it.",
        "The tag `miniconda` installs it.",
        needs=("account", "home"),
    ),
    Check(
        "conda-broken",
        "conda",
        "conda is complete",
        Severity.ERROR,
        _broken,
        "Its installer was interrupted: no disk, no patience.",
        "Remove what is there, and run the tag `miniconda`.",
        needs=("conda-missing",),
    ),
    Check(
        "conda-owner",
        "conda",
        "conda belongs to the account",
        Severity.ERROR,
        _owner,
        "Somebody called conda or pip as root.",
        "Give the folder back to the account.",
        needs=("conda-missing",),
    ),
    Check(
        "conda-terms",
        "conda",
        "no channel waits for terms of service",
        Severity.WARNING,
        _terms,
        "Anaconda's channels, `defaults`, may be used by who has accepted their terms. The playbook "
        "leaves them "
        "out; a .condarc of the account's own has them in again.",
        "Take the channel out, or accept the terms: that is yours to do.",
        needs=("conda-broken",),
    ),
    Check(
        "conda-shell",
        "conda",
        "the account's shells know conda",
        Severity.WARNING,
        _shell,
        "The files of the shells were overwritten.",
        "The tag `miniconda` writes its lines again.",
        needs=("conda-missing",),
    ),
)
