"""Checks of the topic ``env``: what activating it does, and what may come before it. No I/O here."""

import re
import shlex

from sdops_runtime import stack

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import home, playbook, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.env import Env, normal
from sdops.facts.host import HostFacts

#: Packages that are told of; the rest is left out.
SHOWN = 6


@unless_unknown
def _hook(facts: HostFacts) -> Finding | None:
    env = sure(facts.env)
    if is_local(facts) or (sure(env.hook) and sure(env.unhook) and _library(env)):
        return None
    if env.hook and env.unhook:
        said = f"after activation LD_LIBRARY_PATH is {':'.join(sure(env.path)) or 'empty'}"
    else:
        said = f"etc/conda/{'activate.d' if not env.hook else 'deactivate.d'}/env_vars.sh is not there"
    return Finding(
        "The hook that puts the environment's libraries on the loader's path is missing or does not work.",
        "torch may not find its CUDA libraries.",
        (said,),
        "Have the playbook write it.",
        playbook(facts, "stack_env"),
    )


def _library(env: Env) -> bool:
    """Whether the environment's own folder is on the path after activation."""
    return any(one.endswith("/lib") and "/envs/" in one for one in sure(env.path))


@unless_unknown
def _doubled(facts: HostFacts) -> Finding | None:
    env = sure(facts.env)
    if is_local(facts):
        return None
    once, twice = sure(env.path), sure(env.path_twice)
    foreign = [one for one in env.setters if one != "env_vars.sh"]
    if once == twice and "" not in once and len(set(once)) == len(once) and not foreign:
        return None
    if foreign:
        files = " ".join(shlex.quote(f"{env.folder}/etc/conda/activate.d/{one}") for one in foreign)
        return Finding(
            "More than one file sets the loader's path when the environment is activated.",
            "The path has folders twice, or in an order that nobody meant.",
            (f"activate.d: {', '.join(foreign)}, beside env_vars.sh",),
            "Remove the one that is not the playbook's.",
            (there(facts, f"rm {files}"), *playbook(facts, "stack_env")),
        )
    return Finding(
        "The hook puts folders on the loader's path that do not belong there.",
        "It grows with every activation, or has an empty element, which stands for the current directory.",
        (f"once: {':'.join(once)}", f"twice: {':'.join(twice)}"),
        "Have the playbook write it anew.",
        playbook(facts, "stack_env"),
    )


@unless_unknown
def _stub(facts: HostFacts) -> Finding | None:
    env = sure(facts.env)
    lines = [line for line in env.shells if "/stubs" in line]
    if is_local(facts) or not (env.stubs or lines):
        return None
    commands = tuple(there(facts, f"rm {shlex.quote(one)}") for one in env.stubs)
    if lines:
        file = lines[0].partition(":")[0]
        commands = (*commands, there(facts, f"sed -i '/LD_LIBRARY_PATH=.*stubs/d' {shlex.quote(file)}"))
    return Finding(
        "A stub of libcuda comes before the driver's own.",
        'A stub is there to link against and computes nothing: "CUDA driver is a stub library", error 34.',
        (*env.stubs, *lines),
        "Take it off the path. Mostly a package of the CUDA toolkit brought it.",
        commands,
    )


@unless_unknown
def _own(facts: HostFacts) -> Finding | None:
    env = sure(facts.env)
    lock = stack.load(facts.wanted.stack).lock_text()
    wanted = {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)} | {"torch"}
    found = [name for name in env.own if name in wanted]
    if is_local(facts) or not found:
        return None
    return Finding(
        "Packages in the account's home come before those of the environment.",
        "In shells of yours other versions run than in the worker, which passes them over.",
        (f"~/.local/lib/python{env.python}: {', '.join(found[:SHOWN])}",),
        "Remove them. They come from pip install --user, or from pip outside the environment.",
        (there(facts, f"rm -r {home(facts)}/.local/lib/python{env.python}"),),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "hook-missing",
        "env",
        "activating the environment puts its libraries on the loader's path",
        Severity.ERROR,
        _hook,
        "The files env_vars.sh in activate.d and deactivate.d were removed or changed.",
        "The tag `stack_env` writes them.",
        needs=("env-incomplete",),
    ),
    Check(
        "hook-doubled",
        "env",
        "the loader's path has each folder once",
        Severity.WARNING,
        _doubled,
        "A second file sets it, or the hook was changed to the guide's own line, which adds to it "
        "every time.",
        "Remove the second file; the tag `stack_env` writes the hook anew.",
        needs=("hook-missing",),
    ),
    Check(
        "libcuda-shadowed",
        "env",
        "no stub stands before the driver's libcuda",
        Severity.ERROR,
        _stub,
        "Packages of the CUDA toolkit carry a stub of libcuda, and somebody has put its folder on the path.",
        "Take it off.",
        needs=("env-incomplete",),
    ),
    Check(
        "user-packages",
        "env",
        "no packages in the account's home come before the environment's",
        Severity.WARNING,
        _own,
        "pip install --user, or pip outside the environment, puts packages where every Python of that "
        "version "
        "finds them first.",
        "Remove them.",
        needs=("env-incomplete",),
    ),
)
