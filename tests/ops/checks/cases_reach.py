"""Facts that trigger the checks of the topic ``reach``, one by one."""

from dataclasses import replace

from sdops.facts.controller import Controller
from sdops.facts.host import HostFacts
from sdops.facts.reach import Reach
from sdops.facts.registry import PROBES
from sdops.facts.unknown import Unknown
from sdops.transport import hint

HEALTHY = {
    "reach": Reach(started=1_700_000_000.0, answered=1_700_000_000.2),
    "controller": Controller(("/home/jo/.ssh/id_ed25519",), agent_keys=1, known=True, sshfs=True),
}

PROBED = tuple(probe.name for probe in PROBES)


def ended(code):
    """The connection ended with an error before there was an answer."""

    def change(facts: HostFacts) -> HostFacts:
        advice = hint("Do this.", "do this")
        reach = Reach(code, "It is so.", advice, whole=False, noise="Welcome.")
        return replace(facts, reach=reach, **{name: Unknown("the host was not reached") for name in PROBED})

    return change


def cut_off(facts: HostFacts) -> HostFacts:
    """The last probe's answer is missing."""
    reach = replace(facts.reach, error="connection-lost", message="It broke off.", whole=False)
    found = {name: getattr(facts, name) for name in PROBED}
    return replace(
        facts,
        reach=reach,
        **{
            **{name: one or "here" for name, one in found.items()},
            "kernel": Unknown("the connection ended before this was read"),
        },
    )


def without_sshfs(facts: HostFacts) -> HostFacts:
    assert isinstance(facts.controller, Controller)
    return replace(facts, controller=replace(facts.controller, sshfs=False))


CODES = (
    "ssh-settings",
    "connection-unsupported",
    "host-name-unknown",
    "host-unreachable",
    "ssh-refused",
    "ssh-closed",
    "host-slow",
    "host-key-unknown",
    "host-key-changed",
    "ssh-key-missing",
    "ssh-key-locked",
    "login-refused",
    "connection-lost",
    "shell-unusable",
)

CASES = {
    **{code: ended(code) for code in CODES},
    "not-examined": ended("internal-error"),
    "answers-cut-off": cut_off,
    "sshfs-missing": without_sshfs,
}
