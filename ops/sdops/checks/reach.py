"""Checks of the topic ``reach``: whether a host can be examined at all. No I/O here.

What ends a connection has a code, one for each cause; the check of that cause has the same name, and
takes its words from the error, which knows the port, the file and the command.
"""

from collections.abc import Callable
from dataclasses import fields

from sdops.checks.finding import Check, Finding, Severity
from sdops.facts.controller import Controller
from sdops.facts.host import NOT_ASKED, HostFacts
from sdops.facts.unknown import Unknown
from sdops.transport import split_hint

_EFFECT = "Nothing can be found out about the host, and no work can be brought there."
_ANSWERS = tuple(
    one.name for one in fields(HostFacts) if one.name not in ("host", "wanted", "reach", "controller")
)


def _answered(facts: HostFacts) -> bool:
    """Whether any question was answered."""
    return any(not isinstance(getattr(facts, name), Unknown) for name in _ANSWERS)


def _ended(code: str) -> Callable[[HostFacts], Finding | None]:
    """Judges by the code that the connection ended with before there was an answer."""

    def judge(facts: HostFacts) -> Finding | None:
        if facts.reach.error != code or _answered(facts):
            return None
        return _told(facts)

    return judge


def _other(facts: HostFacts) -> Finding | None:
    if not facts.reach.error or facts.reach.error in _NAMES or _answered(facts):
        return None
    return _told(facts)


def _told(facts: HostFacts) -> Finding:
    """What the error itself says."""
    remedy, commands = split_hint(facts.reach.hint)
    return Finding(
        summary=facts.reach.message or f"{facts.host} could not be examined ({facts.reach.error}).",
        effect=_EFFECT,
        evidence=_keys(facts.controller) if facts.reach.error in _ABOUT_KEYS else (),
        remedy=remedy or "See what was printed above.",
        commands=commands,
    )


_ABOUT_KEYS = ("ssh-key-missing", "ssh-key-locked", "login-refused")


def _keys(side: Controller | Unknown) -> tuple[str, ...]:
    """Which keys this machine has."""
    if not isinstance(side, Controller) or isinstance(side.keys, Unknown):
        return ()
    agent = "no agent" if side.agent_keys < 0 else f"in the agent: {side.agent_keys}"
    return (f"key files here: {', '.join(side.keys) or 'none'}; {agent}",)


def _shell(facts: HostFacts) -> Finding | None:
    if facts.reach.error != "shell-unusable":
        return None
    login = facts.wanted.login
    return Finding(
        summary=facts.reach.message,
        effect=_EFFECT,
        evidence=tuple(facts.reach.noise.splitlines()[-3:]),
        remedy=f"Give {login} a shell, on the host's console at the provider, or name another account in the "
        "inventory (ansible_user).",
        commands=(f"usermod --shell /bin/bash {login}",),
    )


def _cut_off(facts: HostFacts) -> Finding | None:
    if facts.reach.whole or not _answered(facts):
        return None
    missing = [name for name in _ANSWERS if _is_missing(getattr(facts, name))]
    return Finding(
        summary=f"The answers of {facts.host} were cut off.",
        effect="What was not answered is not judged.",
        evidence=tuple(
            line for line in (facts.reach.message, f"missing: {', '.join(missing) or 'only the end'}") if line
        ),
        remedy="Ask again. If it happens again, look at the connection, and at what keeps the host busy.",
    )


def _is_missing(fact: object) -> bool:
    return isinstance(fact, Unknown) and fact != NOT_ASKED


def _sshfs(facts: HostFacts) -> Finding | Unknown | None:
    side = facts.controller
    if isinstance(side, Unknown):
        return side
    if side.sshfs:
        return None
    return Finding(
        summary="sshfs is not installed on this machine.",
        effect="Folders of hosts cannot be mounted here. Pictures are brought here all the same.",
        remedy="Install it if you want that.",
        commands=("sudo apt install sshfs",),
    )


#: The causes that end a connection: code and name of the check, title, cause, remedy.
_CAUSES = (
    (
        "ssh-settings",
        "ssh can read its settings for the host",
        "`sdops` asks the program `ssh` itself how it would get to a host (`ssh -G`), so that "
        "`~/.ssh/config` and "
        "`ansible_ssh_common_args` count as they do for Ansible. It is not installed, or a file or an option "
        "is wrong.",
        "Install OpenSSH's client, or mend what the message names. `ssh -G HOST` says the same.",
    ),
    (
        "connection-unsupported",
        "the host is reached by SSH",
        "`ansible_connection` names something other than SSH or this machine itself.",
        "Set `ansible_connection` to `ssh`, or leave it out.",
    ),
    (
        "host-name-unknown",
        "the host's name has an address",
        "The name that the inventory gives (`ansible_host`, or the host's own name) is misspelt, is not "
        "in the "
        "name service, or this machine has no name server at the moment.",
        "Correct `ansible_host`, or put the address there. `getent hosts NAME` tries the name alone.",
    ),
    (
        "host-unreachable",
        "the host answers",
        "Nothing comes back from the address: the machine is switched off or was destroyed, the address is "
        "another's, a firewall drops what this machine sends, or this machine is offline.",
        "Look at the provider whether the machine runs and which address it has, then at its firewall. A "
        "machine that was just made needs a minute.",
    ),
    (
        "ssh-refused",
        "an SSH server listens on the host",
        "The machine is there and refuses the connection: its SSH server does not run, or listens at another "
        "port than the inventory says.",
        "Start it on the provider's console (`systemctl enable --now ssh`), or set `ansible_port`.",
    ),
    (
        "ssh-closed",
        "the SSH server lets the connection live",
        "The connection was accepted and ended before a login was tried. It is no SSH server that listens "
        "there, or one that turns this machine away for a while: too many connections at once "
        "(`MaxStartups`), a "
        "ban after failed logins, or no method of encryption in common. With `ProxyCommand`, it is that "
        "program "
        "which failed.",
        "`ssh -v` shows how far it comes. Wait out a ban, or lift it on the provider's console.",
    ),
    (
        "host-slow",
        "the host gets ready in time",
        "The connection stands and nothing comes of it in time: the machine swaps, its disk hangs, or the "
        "connection loses most of what is sent.",
        "Wait, or see on the provider's console what keeps the machine; a reboot there is the last means.",
    ),
    (
        "host-key-unknown",
        "the host's key is known here",
        "Nobody on this machine has accepted the host's key yet. `sdops` accepts none by itself, whatever "
        "`StrictHostKeyChecking` says, because the first connection is the one that can be tapped.",
        "Log in once with `ssh`, compare the fingerprint with the one on the provider's console, and say "
        "yes.",
    ),
    (
        "host-key-changed",
        "the host's key is the known one",
        "The address shows another key than the one that was accepted. Most often the machine was made "
        "anew at "
        "the same address; it may also be that somebody is in between.",
        "Compare the fingerprint with the one on the provider's console. Only if they agree, forget the "
        "old key "
        "with `ssh-keygen -R` and accept the new one.",
    ),
    (
        "ssh-key-missing",
        "this machine has an SSH key",
        "There is no private key in the usual files, none that the inventory or ssh's settings name, and "
        "none in an "
        "agent; or the files cannot be read.",
        "Make one with `ssh-keygen -t ed25519`, and give the provider or the host its public half.",
    ),
    (
        "ssh-key-locked",
        "the SSH key can be used",
        "The private key has a passphrase, and `sdops` never asks for one: it may be talking to fifty hosts.",
        "Give the key to an agent once: `ssh-add`.",
    ),
    (
        "login-refused",
        "the host lets this machine in",
        "The host knows none of the keys that were tried, the account is another, or it wants more than "
        "a key. At "
        "most five keys are tried, because servers hang up at the sixth.",
        "Put your public key into the account's `authorized_keys`, or name the right account and key: "
        "`ansible_user`, `ansible_ssh_private_key_file`.",
    ),
    (
        "connection-lost",
        "the connection lasts",
        "The connection stood, and broke off before the first answer.",
        "Try again. If it happens again, see whether the machine still runs, and what its journal says.",
    ),
)

_NAMES = frozenset((*(name for name, *_ in _CAUSES), "shell-unusable"))

CHECKS: tuple[Check, ...] = (
    *(
        Check(name, "reach", title, Severity.ERROR, _ended(name), cause, remedy)
        for name, title, cause, remedy in _CAUSES
    ),
    Check(
        "shell-unusable",
        "reach",
        "the account runs commands",
        Severity.ERROR,
        _shell,
        "The login succeeds, and `sh` does not run: the account's shell is `nologin` or is gone, its "
        "start files "
        "end the session, or a command is forced on the key.",
        "Give the account a shell, or log in as another one.",
    ),
    Check(
        "not-examined",
        "reach",
        "nothing else keeps it from being examined",
        Severity.ERROR,
        _other,
        "The examination ended with an error that has no check of its own.",
        "Do what the message says.",
    ),
    # Not of the topic reach: what did arrive is judged all the same.
    Check(
        "answers-cut-off",
        "answers",
        "all answers arrived",
        Severity.ERROR,
        _cut_off,
        "The connection ended, or the time was over, before the host had answered everything.",
        "Ask again. Something on the host may hang: a disk, or the GPU's driver.",
    ),
    Check(
        "sshfs-missing",
        "reach",
        "sshfs is installed here",
        Severity.WARNING,
        _sshfs,
        "`sshfs` is what mounts a host's folders on this machine.",
        "Install it: `apt install sshfs` on Debian and Ubuntu.",
    ),
)
