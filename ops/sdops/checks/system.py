"""Checks of the topic ``system``: the host itself. No I/O here."""

from sdops.checks import account, room
from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.unknown import Unknown

#: The same as the role preflight's; a test holds them together.
RELEASES = {"debian": ("11", "12", "13"), "ubuntu": ("22.04", "24.04")}

#: Seconds that a clock may be off. Signed addresses of downloads hold for some minutes at least.
SKEW = 300


@unless_unknown
def _release(facts: HostFacts) -> Finding | None:
    system = sure(facts.system)
    name, version = sure(system.release_id), sure(system.release_version)
    if is_local(facts) or version in RELEASES.get(name, ()):
        return None
    known = " and ".join(f"{name.capitalize()} {', '.join(which)}" for name, which in RELEASES.items())
    return Finding(
        f"The host runs {system.release or name}, which sdops does not know.",
        "The playbook refuses it, and nothing that sdops does was tried there.",
        (f"ID={name} VERSION_ID={version}",),
        f"Make the host anew with one of {known}.",
    )


@unless_unknown
def _architecture(facts: HostFacts) -> Finding | None:
    found = sure(sure(facts.system).architecture)
    if is_local(facts) or found in ("x86_64", "amd64"):
        return None
    return Finding(
        f"The host's processor is {found}.",
        "There are no packages of the stack for it.",
        (f"uname -m: {found}",),
        "Take a host with an x86_64 processor.",
    )


@unless_unknown
def _python(facts: HostFacts) -> Finding | None:
    if is_local(facts) or sure(sure(facts.system).python):
        return None
    return Finding(
        "The host has no python3.",
        "Ansible cannot work there, and so the playbook can neither install nor mend anything.",
        ("command -v python3: nothing",),
        "Install it.",
        (there(facts, "apt-get update && apt-get install --yes python3"),),
    )


@unless_unknown
def _clock(facts: HostFacts) -> Finding | Unknown | None:
    if is_local(facts):
        return None
    system, reach = sure(facts.system), facts.reach
    clock = sure(system.clock_utc)
    if not reach.started or not reach.answered:
        return Unknown("it was not noted when the host was asked")
    ahead = max(clock - reach.answered, 0) or min(clock - reach.started, 0)
    if abs(ahead) <= SKEW:
        return None
    command = "systemctl restart chrony || systemctl restart systemd-timesyncd"
    if system.ntp == "none":
        command = "apt-get update && apt-get install --yes systemd-timesyncd && timedatectl set-ntp true"
    return Finding(
        f"The host's clock is {_span(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}.",
        "Certificates and the signed addresses of downloads hold for a limited time: the hub, package "
        "indexes and the server of a vGPU's licence may be refused, or refuse.",
        (f"the host: {clock:.0f}, this side: {reach.answered:.0f} (seconds of the epoch)",),
        "Set it right, and have it kept right.",
        (there(facts, command),),
    )


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


@unless_unknown
def _reboot(facts: HostFacts) -> Finding | None:
    system = sure(facts.system)
    evidence = []
    if system.kernel_gone:
        evidence.append(f"the running kernel, {system.kernel}, is not installed any more")
    if sure(system.reboot_required):
        why = f" ({', '.join(system.reboot_packages[:5])})" if system.reboot_packages else ""
        evidence.append(f"/run/reboot-required is there{why}")
    if not evidence:
        return None
    return Finding(
        "The host waits for a reboot.",
        "Upgrades are not in effect until then, and modules of the kernel, the GPU's driver among them, may "
        "not fit or not load.",
        tuple(evidence),
        "Reboot it. Jobs go on afterwards with the first picture that is missing.",
        (there(facts, "systemctl reboot"),),
    )


@unless_unknown
def _packages(facts: HostFacts) -> Finding | None:
    half = sure(sure(facts.system).half_installed)
    if is_local(facts) or not half:
        return None
    return Finding(
        f"The installation of {len(half)} package{'s' if len(half) > 1 else ''} was interrupted.",
        "They may not work, and no other package can be installed.",
        (", ".join(half[:10]),),
        "Finish it.",
        (there(facts, "dpkg --configure --pending && apt-get --yes --fix-broken install"),),
    )


@unless_unknown
def _login(facts: HostFacts) -> Finding | None:
    system = sure(facts.system)
    if sure(system.login_uid) == 0 or system.login_uid == sure(account.of(facts)).uid:
        return None
    return Finding(
        f"The host was examined as {system.login}, who is neither root nor {facts.wanted.user}.",
        "Much cannot be seen from there, and the playbook cannot change anything.",
        (f"id: uid={system.login_uid}({system.login})",),
        "Set ansible_user: root in the inventory, or the account that the host is entered by.",
    )


@unless_unknown
def _sftp(facts: HostFacts) -> Finding | None:
    if is_local(facts) or sure(sure(facts.system).sftp):
        return None
    return Finding(
        "The host has no SFTP server.",
        "No picture can be sent there or fetched, and sshfs cannot show them.",
        ("/usr/lib/openssh/sftp-server is not there",),
        "Install it. The playbook does not: to the system it is installed, as a part of sshd's.",
        (there(facts, "apt-get update && apt-get install --yes --reinstall openssh-sftp-server"),),
    )


@unless_unknown
def _tmux(facts: HostFacts) -> Finding | None:
    if is_local(facts) or sure(sure(facts.system).tmux):
        return None
    return Finding(
        "tmux is not installed.",
        "What a person starts by hand on the host ends when the connection does. Jobs do not need it.",
        ("command -v tmux: nothing",),
        "Install it.",
        playbook(facts, "service_user"),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "login",
        "system",
        "the login may see everything",
        Severity.WARNING,
        _login,
        "Doctor, like the playbook, logs in as the inventory says. An account other than root and the one "
        "that sdops made can look into neither.",
        "Set `ansible_user: root` for the host.",
        needs=("reach",),
    ),
    Check(
        "release",
        "system",
        "the release is supported",
        Severity.ERROR,
        _release,
        "The playbook knows Debian 11, 12 and 13 and Ubuntu 22.04 and 24.04. Elsewhere packages have other "
        "names and versions.",
        "Make the host anew from an image with one of these.",
        needs=("reach",),
    ),
    Check(
        "architecture",
        "system",
        "the processor is supported",
        Severity.ERROR,
        _architecture,
        "All packages of the stacks are built for x86_64.",
        "Take a host with that.",
        needs=("reach",),
    ),
    Check(
        "python",
        "system",
        "the system has a Python",
        Severity.ERROR,
        _python,
        "Small images come without Python, and somebody may have removed it. Ansible's modules are written "
        "in it; what makes the pictures has its own.",
        "Install Debian's or Ubuntu's package `python3`.",
        needs=("reach",),
    ),
    Check(
        "clock",
        "system",
        "the clock is right",
        Severity.ERROR,
        _clock,
        "A host that was suspended, or that nothing keeps in time, may be off by minutes or days. It is "
        "compared with the clock of this machine.",
        "Install or restart what keeps the clock.",
        needs=("reach",),
    ),
    *room.CHECKS,
    Check(
        "packages",
        "system",
        "no installation was interrupted",
        Severity.WARNING,
        _packages,
        "An upgrade was ended in the middle, by a reboot or a full disk. While a package manager is at work "
        "this says nothing.",
        "Let dpkg and apt finish what was begun.",
        needs=("disk-full", "disk-read-only"),
    ),
    Check(
        "reboot",
        "system",
        "nothing waits for a reboot",
        Severity.WARNING,
        _reboot,
        "A new kernel or library was installed, mostly by unattended upgrades, and the old one still runs.",
        "Reboot the host at a quiet moment. The driver must fit the new kernel: where it was built for the "
        "old one only, the GPU is gone afterwards, so look at the provider's notes first.",
        needs=("reach",),
    ),
    *account.CHECKS,
    Check(
        "sftp",
        "system",
        "files can be sent and fetched",
        Severity.ERROR,
        _sftp,
        "Files go over SSH's own file transfer, for which the host needs a small server. Debian and Ubuntu "
        "bring it along with sshd; somebody has removed it.",
        "Install the package `openssh-sftp-server` again.",
        needs=("account", "release"),
    ),
    Check(
        "tmux",
        "system",
        "tmux is there",
        Severity.WARNING,
        _tmux,
        "It keeps what is started by hand running when the connection breaks.",
        "The tag `service_user` installs it.",
        needs=("account",),
    ),
)
