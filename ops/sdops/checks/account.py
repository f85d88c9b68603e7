"""Checks of the topic ``system`` about the account that owns everything of sdops. No I/O here."""

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.system import Account
from sdops.facts.unknown import Unknown


def of(facts: HostFacts) -> Account | Unknown:
    """The account; unknown where there is none, which is a check of its own."""
    found = sure(sure(facts.system).account)
    return Unknown(f"there is no account {facts.wanted.user}") if found is None else found


@unless_unknown
def _account(facts: HostFacts) -> Finding | None:
    if sure(sure(facts.system).account) is not None:
        return None
    return Finding(
        f"The host has no account {facts.wanted.user}: it is not provisioned.",
        "Nothing of what makes pictures is there.",
        (f"getent passwd {facts.wanted.user}: nothing",),
        "Run the whole playbook.",
        playbook(facts),
    )


@unless_unknown
def _home(facts: HostFacts) -> Finding | None:
    found = sure(of(facts))
    if sure(found.home_there):
        return None
    return Finding(
        f"The account's home, {found.home}, is not there.",
        "All that sdops installs and keeps has its place there.",
        (f"test -d {found.home}: no",),
        "Mount the disk that it lies on, or make it anew and run the whole playbook.",
        (there(facts, f"mkhomedir_helper {facts.wanted.user}"), *playbook(facts)),
    )


@unless_unknown
def _unprivileged(facts: HostFacts) -> Finding | None:
    if sure(of(facts)).uid != 0:
        return None
    return Finding(
        f"Pictures are made as {facts.wanted.user}, with root's rights.",
        "Whatever a model or a library of the stack does, it may do to the whole machine.",
        (f"uid=0({facts.wanted.user})",),
        "Use an account without privileges."
        if is_local(facts)
        else "Set sdops_user to the name of an account without privileges, and run the whole playbook.",
        playbook(facts),
    )


@unless_unknown
def _shell(facts: HostFacts) -> Finding | None:
    shell = sure(of(facts)).shell
    if is_local(facts) or shell.rpartition("/")[2] not in ("nologin", "false"):
        return None
    return Finding(
        f"Nobody can log in as {facts.wanted.user}: its shell is {shell}.",
        "Pictures cannot be fetched or looked at as that account.",
        (f"getent passwd {facts.wanted.user}: {shell}",),
        "Have the playbook set it right.",
        playbook(facts, "service_user"),
    )


@unless_unknown
def _keys(facts: HostFacts) -> Finding | None:
    found = sure(of(facts))
    if is_local(facts) or (sure(found.keys) and not found.loose):
        return None
    if not found.keys:
        summary, evidence = "holds no key", f"{found.home}/.ssh/authorized_keys: no line with a key"
    else:
        summary = "is not trusted by sshd, since others may write it or a folder above it"
        evidence = f"not the account's own alone: {', '.join(found.loose)}"
    commands = playbook(facts, "service_user")
    if found.home in found.loose:
        commands = (there(facts, f"chmod go-w {found.home}"), *commands)
    return Finding(
        f"The account's authorized_keys {summary}.",
        f"Nobody can log in as {facts.wanted.user}.",
        (evidence,),
        "Have the playbook write it anew.",
        commands,
    )


@unless_unknown
def _linger(facts: HostFacts) -> Finding | None:
    if is_local(facts) or sure(sure(of(facts)).linger):
        return None
    return Finding(
        f"Services of {facts.wanted.user} run only while somebody is logged in as it (linger is off).",
        "The worker, and the job in hand, end with the last login, and do not start when the host boots.",
        (f"/var/lib/systemd/linger/{facts.wanted.user} is not there",),
        "Switch it on.",
        playbook(facts, "service_user"),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "account",
        "system",
        "the account is there",
        Severity.ERROR,
        _account,
        "The playbook has not run on this host, or `sdops_user` was changed since.",
        "Run the whole playbook.",
        needs=("reach", "release", "architecture"),
    ),
    Check(
        "home",
        "system",
        "the account has its home",
        Severity.ERROR,
        _home,
        "Its folder was removed, or lies on a disk that is not mounted.",
        "Mount the disk. If all is lost, the playbook installs everything anew.",
        needs=("account",),
    ),
    Check(
        "unprivileged",
        "system",
        "pictures are not made as root",
        Severity.WARNING,
        _unprivileged,
        "Models and libraries come from many hands, and some formats of models can hold programs.",
        "Work as an account without privileges.",
        needs=("account",),
    ),
    Check(
        "shell",
        "system",
        "the account can be logged in to",
        Severity.ERROR,
        _shell,
        "Somebody has given the account a shell that ends every login.",
        "The tag `service_user` gives it its shell back.",
        needs=("account",),
    ),
    Check(
        "keys",
        "system",
        "keys open the account",
        Severity.ERROR,
        _keys,
        "The account has no password. Its file of keys is empty or gone, or sshd does not trust it because "
        "others can write it.",
        "The tag `service_user` writes it with root's keys, or those that the inventory names.",
        needs=("home",),
    ),
    Check(
        "linger",
        "system",
        "the account's services run without a login",
        Severity.ERROR,
        _linger,
        "systemd starts an account's services when it logs in and ends them when it logs out, unless it "
        "lingers. Somebody has switched that off, or the playbook broke off before.",
        "The tag `service_user` switches it on and starts the account's systemd.",
        needs=("account",),
    ),
)
