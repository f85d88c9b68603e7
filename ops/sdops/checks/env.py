"""Checks of the topic ``env``: the environment of the stack. No I/O here."""

import re

from sdops_runtime import stack

from sdops.checks import hook, rot
from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.numbers import begins, numbers
from sdops.checks.remedy import home, playbook, rebuild, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.env import Env, normal
from sdops.facts.host import HostFacts

#: Packages that are told of when an environment has drifted; the rest is a number.
SHOWN = 6


@unless_unknown
def _missing(facts: HostFacts) -> Finding | None:
    env = sure(facts.env)
    if is_local(facts) or (sure(env.kind) != "none" and sure(env.folder)):
        return None
    lost = env.kind == "link"
    return Finding(
        f"The environment {facts.wanted.env} {'leads to a folder that is gone' if lost else 'is not there'}.",
        "Nothing that makes pictures starts.",
        (f"~/.conda/envs/{facts.wanted.env}: {'a link to nothing' if lost else 'nothing'}",),
        "Have the playbook build it.",
        playbook(facts, "stack_env"),
    )


@unless_unknown
def _foreign(facts: HostFacts) -> Finding | None:
    env = sure(facts.env)
    if is_local(facts) or env.kind == "link":
        return None
    return Finding(
        f"The environment {facts.wanted.env} was not made by the playbook.",
        "What is in it nobody knows, and the playbook does not touch it.",
        (f"~/.conda/envs/{facts.wanted.env} is a {env.kind}",),
        "Rename it, or set sdops_env to another name; then have the playbook build its own.",
        (
            there(
                facts,
                f"mv {home(facts)}/.conda/envs/{facts.wanted.env} "
                f"{home(facts)}/.conda/envs/{facts.wanted.env}-own",
            ),
            *playbook(facts, "stack_env"),
        ),
    )


@unless_unknown
def _incomplete(facts: HostFacts) -> Finding | None:
    env = sure(facts.env)
    if is_local(facts) or (env.receipt and sure(env.history)):
        return None
    return Finding(
        f"The environment {facts.wanted.env} is not complete.",
        "Something in it is missing, and it may fail at any point.",
        (
            "its receipt .sdops.json is not there, or cannot be read"
            if not env.receipt
            else "no conda-meta/history",
        ),
        "Have the playbook build it anew.",
        rebuild(facts) if env.receipt else playbook(facts, "stack_env"),
    )


@unless_unknown
def _other(facts: HostFacts) -> Finding | None:
    receipt = sure(facts.env).receipt
    if receipt is None or receipt.stack == facts.wanted.stack:
        return None
    return Finding(
        f"The host has the stack {receipt.stack}, and the inventory asks for {facts.wanted.stack}.",
        "Pictures come out a little different from those of your other hosts.",
        (f".sdops.json: {receipt.stack}",),
        "Have the playbook build the one that is asked for; the old one stays beside it.",
        playbook(facts, "stack_env", "runtime"),
    )


@unless_unknown
def _python(facts: HostFacts) -> Finding | None:
    wanted = stack.load(facts.wanted.stack).python
    found = sure(sure(facts.env).python)
    if found == wanted:
        return None
    return Finding(
        f"The environment has Python {found}, and the stack {wanted}.",
        "Its packages are built for another Python, and do not load.",
        (f"lib/python{found}",),
        "Build the environment anew, from the stack's lock.",
        rebuild(facts),
    )


@unless_unknown
def _drift(facts: HostFacts) -> Finding | None:
    found = differences(sure(facts.env), facts)
    if not found:
        return None
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return Finding(
        f"{len(found)} package{'s' if len(found) > 1 else ''} of the environment "
        f"{'are' if len(found) > 1 else 'is'} not what the stack's lock says.",
        "Nobody has tried them together, and pictures may come out different from those of other hosts.",
        (*found[:SHOWN], *more),
        "Build the environment anew, from the stack's lock. Install things of your own into another one.",
        rebuild(facts),
    )


def differences(env: Env, facts: HostFacts) -> list[str]:
    """What pip's packages are and should be, and what conda's are and should be, a line each."""
    wanted = stack.load(facts.wanted.stack)
    by_pip = facts.wanted.torch_by_pip or bool(env.receipt and env.receipt.torch_by_pip)
    lines = []
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", wanted.lock_text(not by_pip), re.MULTILINE):
        have = env.pip.get(normal(name), ())
        if len(have) > 1:
            lines.append(f"{name}: {' and '.join(have)} at the same time, {version} wanted")
        elif not have or numbers(have[0]) != numbers(version):
            lines.append(f"{name}: {have[0] if have else 'missing'}, {version} wanted")
    for pin in wanted.conda:
        if by_pip and pin.name != "python":
            continue
        have = env.conda.get(pin.name.lower(), ())
        bound = pin.version[:1] == "<"
        right = have and (
            numbers(have[-1]) < numbers(pin.version) if bound else begins(have[-1], pin.version)
        )
        # pip may have put another one over it, which is looked at above.
        if not right and not (have and normal(pin.name) in env.pip):
            lines.append(f"{pin.name} (conda): {have[-1] if have else 'missing'}, {pin.version} wanted")
    return lines


CHECKS: tuple[Check, ...] = (
    Check(
        "env-missing",
        "env",
        "the environment is there",
        Severity.ERROR,
        _missing,
        "It was removed, or the playbook broke off before it.",
        "The tag `stack_env` builds it.",
        needs=("account", "home", "conda-missing", "conda-broken"),
    ),
    Check(
        "env-foreign",
        "env",
        "the environment is the playbook's",
        Severity.ERROR,
        _foreign,
        "Somebody made an environment of that name by hand. The playbook does not touch what it did "
        "not make.",
        "Rename it, or set `sdops_env` to another name.",
        needs=("env-missing",),
    ),
    Check(
        "env-incomplete",
        "env",
        "the environment is complete",
        Severity.ERROR,
        _incomplete,
        "The building was interrupted, or files were removed.",
        "The tag `stack_env` builds it anew.",
        needs=("env-foreign",),
    ),
    Check(
        "stack-other",
        "env",
        "the environment has the stack that is asked for",
        Severity.ERROR,
        _other,
        "`sdops_stack` was changed, and the playbook has not run since.",
        "Run it: the new environment is built beside the old one and takes its name when it works.",
        needs=("env-incomplete",),
    ),
    Check(
        "python-version",
        "env",
        "the environment has the stack's Python",
        Severity.ERROR,
        _python,
        "conda was asked to update everything, and took a newer Python.",
        "Build the environment anew.",
        needs=("stack-other",),
    ),
    *rot.CHECKS,
    Check(
        "env-drift",
        "env",
        "the packages are those of the stack's lock",
        Severity.WARNING,
        _drift,
        "Something was installed, upgraded or removed by hand.",
        "Build the environment anew. Install things of your own into another one.",
        needs=(*rot.NEEDS, *(check.id for check in rot.CHECKS)),
    ),
    *hook.CHECKS,
)
