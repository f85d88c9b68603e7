"""Checks of the topic ``runtime``: what is deployed. No I/O here."""

from sdops.checks import worker
from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import playbook
from sdops.checks.sure import sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.unknown import Unknown


@unless_unknown
def _deployed(facts: HostFacts) -> Finding | None:
    runtime = worker.runtime(facts)
    if not runtime or sure(runtime.archive):
        return None
    return Finding(
        "The runtime is not on the host.",
        "There is nothing that makes pictures.",
        ("~/.local/lib/sdops/sdops-runtime.pyz is not there",),
        "Deploy it.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _launcher(facts: HostFacts) -> Finding | None:
    runtime = worker.runtime(facts)
    if not runtime or sure(runtime.launcher) == "yes":
        return None
    what = "is not there" if runtime.launcher == "none" else "cannot be executed"
    return Finding(
        f"The runtime's launcher, ~/.local/bin/sdops-runtime, {what}.",
        "Neither the service nor a person can start the runtime.",
        (f"~/.local/bin/sdops-runtime {what}",),
        "Deploy the runtime anew.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _damaged(facts: HostFacts) -> Finding | None:
    runtime = worker.runtime(facts)
    if not runtime:
        return None
    receipt, archive = sure(runtime.receipt), sure(runtime.archive)
    if receipt and receipt.digest == archive:
        return None
    return Finding(
        "The runtime is not the one that was deployed."
        if receipt
        else "The runtime was not deployed to its end.",
        "It may not start, or not do what it should.",
        (f"deployed: {receipt.digest if receipt else 'no receipt'}", f"there now: {archive}"),
        "Deploy it anew.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _protocol(facts: HostFacts) -> Finding | Unknown | None:
    runtime = worker.runtime(facts)
    if not runtime:
        return None
    if not facts.wanted.protocol:
        return Unknown("this side does not know the protocol of its own")
    receipt = sure(runtime.receipt)
    if not receipt or receipt.protocol == facts.wanted.protocol:
        return None
    side = (
        "The host's runtime is older" if receipt.protocol < facts.wanted.protocol else "This sdops is older"
    )
    return Finding(
        f"{side}: it speaks another protocol.",
        "Neither understands the other: no job can be given to the host.",
        (f"the host: protocol {receipt.protocol}, this side: {facts.wanted.protocol}",),
        "Deploy this side's runtime, or use the sdops that the host was provisioned with.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _stale(facts: HostFacts) -> Finding | Unknown | None:
    runtime = worker.runtime(facts)
    if not runtime:
        return None
    if not facts.wanted.digest:
        return Unknown("this side has no runtime of its own to compare it with")
    found = sure(runtime.archive)
    if found == facts.wanted.digest:
        return None
    receipt = sure(runtime.receipt)
    return Finding(
        "The host's runtime is another than this side would deploy.",
        "They understand each other, but what was mended or added since is not there.",
        (
            f"the host: {found[:16]}… (version {receipt.version if receipt else 'unknown'})",
            f"this side: {facts.wanted.digest[:16]}…",
        ),
        "Deploy this side's.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _manager(facts: HostFacts) -> Finding | None:
    runtime = worker.runtime(facts)
    if not runtime or sure(runtime.manager):
        return None
    return Finding(
        f"The own systemd of {facts.wanted.user} does not run.",
        "None of the account's services do, the worker neither.",
        ("its socket below /run/user is not there",),
        "Start it.",
        playbook(facts, "service_user"),
    )


@unless_unknown
def _unit(facts: HostFacts) -> Finding | None:
    runtime = worker.runtime(facts)
    if not runtime or sure(runtime.unit):
        return None
    return Finding(
        f"The worker's service, {worker.UNIT}, is not installed.",
        "No job that is queued is worked on.",
        (f"~/.config/systemd/user/{worker.UNIT} is not there",),
        "Deploy the runtime anew.",
        playbook(facts, "runtime"),
    )


_BASE = ("account", "home")
_BROKE_OFF = "The playbook has not come this far, or the file was removed."
_DEPLOY = "The tag `runtime` deploys it."

CHECKS: tuple[Check, ...] = (
    Check(
        "runtime-deployed",
        "runtime",
        "the runtime is there",
        Severity.ERROR,
        _deployed,
        _BROKE_OFF,
        _DEPLOY,
        _BASE,
    ),
    Check(
        "launcher",
        "runtime",
        "the launcher is there",
        Severity.ERROR,
        _launcher,
        _BROKE_OFF,
        _DEPLOY,
        needs=("runtime-deployed",),
    ),
    Check(
        "runtime-damaged",
        "runtime",
        "the runtime is what was deployed",
        Severity.ERROR,
        _damaged,
        "The program was changed by hand or cut off by a full disk, or the playbook was stopped while it "
        "deployed.",
        _DEPLOY,
        needs=("runtime-deployed",),
    ),
    Check(
        "runtime-protocol",
        "runtime",
        "both sides speak the same protocol",
        Severity.ERROR,
        _protocol,
        "sdops was upgraded on this side only, or the host was provisioned by somebody with a newer one.",
        "The tag `runtime` deploys the runtime that belongs to this side's sdops.",
        needs=("runtime-damaged",),
    ),
    Check(
        "runtime-stale",
        "runtime",
        "the runtime is this side's",
        Severity.WARNING,
        _stale,
        "sdops was upgraded or changed on this side since the host was provisioned.",
        "The tag `runtime` deploys this side's; the picture in hand is finished first.",
        needs=("runtime-protocol",),
    ),
    Check(
        "user-manager",
        "runtime",
        "the account's systemd runs",
        Severity.ERROR,
        _manager,
        "It was stopped, or failed when the host booted.",
        "The tag `service_user` starts it.",
        needs=("account", "home", "linger"),
    ),
    Check(
        "unit",
        "runtime",
        "the service is installed",
        Severity.ERROR,
        _unit,
        _BROKE_OFF,
        _DEPLOY,
        needs=("runtime-deployed",),
    ),
    *worker.CHECKS,
)
