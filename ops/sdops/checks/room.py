"""Checks of the topic ``system`` about memory and disk. No I/O here."""

from collections.abc import Iterable

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.host import NOT_ASKED, HostFacts
from sdops.facts.hub import at_hub
from sdops.facts.system import Disk
from sdops.facts.unknown import Unknown

#: What the role preflight asks for, in MB, with its reasons there; a test holds them together.
STACK_MB = {"guide": 10000, "cu124": 9800, "cu130": 8800}
MODEL_MB = 3500
MEMORY_MB = 3500

#: Free disk in MiB, and inodes, below which next to nothing can be written any more.
FULL_MIB = 100
FULL_INODES = 1000

#: Free disk in MiB below which it is time to make room: some hundred pictures.
LOW_MIB = 500


def mib(megabytes: int) -> int:
    """MB in MiB, rounded up."""
    return -(-megabytes * 1_000_000 // 2**20)


def amount(found: int) -> str:
    """MiB for people."""
    return f"{found / 1024:.1f} GiB" if found >= 1024 else f"{found} MiB"


@unless_unknown
def _memory(facts: HostFacts) -> Finding | None:
    total = sure(sure(facts.system).memory_total_mib)
    if facts.wanted.model == "demo" or total >= mib(MEMORY_MB):
        return None
    return Finding(
        f"The host has {amount(total)} of memory.",
        f"Loading the model needs {amount(mib(MEMORY_MB))}; without it the kernel ends the worker.",
        (f"MemTotal: {total} MiB",),
        "Take a larger host.",
    )


@unless_unknown
def _read_only(facts: HostFacts) -> Finding | None:
    fixed = _mounts(disk for disk in sure(sure(facts.system).disks) if disk.read_only)
    if not fixed:
        return None
    return Finding(
        f"The file system at {' and '.join(fixed)} can only be read.",
        "Nothing can be installed, downloaded or written there. The kernel does that when a disk fails.",
        tuple(f"/proc/mounts: {mount} ro" for mount in fixed),
        "Look for what the kernel said. After a fault of the disk, reboot the host, or make it anew.",
        (there(facts, "dmesg | grep -i -e error -e remount | tail -n 20"),),
    )


@unless_unknown
def _full(facts: HostFacts) -> Finding | None:
    full = [
        disk for disk in sure(sure(facts.system).disks) if disk.free_mib < FULL_MIB and not disk.read_only
    ]
    if not full:
        return None
    return Finding(
        f"The disk at {' and '.join(_mounts(full))} is full.",
        "No picture, model or job can be written: the worker waits, and installations break off.",
        _evidence(full),
        "Delete what is not needed. Of sdops it is downloaded packages, and pictures that were fetched.",
        _look(facts, full),
    )


@unless_unknown
def _inodes(facts: HostFacts) -> Finding | None:
    few = [
        disk
        for disk in sure(sure(facts.system).disks)
        if disk.inodes_free is not None and disk.inodes_free < FULL_INODES and not disk.read_only
    ]
    if not few:
        return None
    mount = _mounts(few)[0]
    return Finding(
        f"The file system at {mount} has no room for more files (inodes), whatever their size.",
        "No picture, model or job can be written, though there is free disk.",
        tuple(dict.fromkeys(f"{disk.mount}: {disk.inodes_free} inodes free" for disk in few)),
        "Delete many small files. This shows where they are.",
        (there(facts, f"du --inodes -x --max-depth 3 {mount} 2>/dev/null | sort -n | tail -n 20"),),
    )


@unless_unknown
def _small(facts: HostFacts) -> Finding | Unknown | None:
    """Whether there is room for what is not there yet: the stack, the model."""
    system = sure(facts.system)
    disks = {disk.name: disk for disk in sure(system.disks)}
    if facts.cache == NOT_ASKED:
        return NOT_ASKED
    needed: dict[str, int] = {}
    what = []
    anew = not is_local(facts) and not sure(system.env_there)
    if anew and facts.wanted.stack in STACK_MB:
        _add(needed, disks["conda"], mib(STACK_MB[facts.wanted.stack]))
        what.append(f"stack {facts.wanted.stack}")
    cache = None if isinstance(facts.cache, Unknown) else facts.cache
    if at_hub(facts.wanted.model) and not (cache and cache.complete):
        if isinstance(facts.cache, Unknown) and system.account is not None:
            return facts.cache
        rest = cache.needed_mib if cache and not anew else None
        _add(needed, disks["models"], mib(MODEL_MB) if rest is None else rest)
        what.append("the model")
    for disk in disks.values():
        room = disk.free_mib + (system.occupied_mib or 0 if anew and disk.mount == disks["home"].mount else 0)
        if needed.get(disk.mount, 0) > room:
            return Finding(
                f"The disk at {disk.mount} is too small for {' and '.join(what)}.",
                f"{amount(needed[disk.mount])} are needed, and {amount(room)} are there: installing and "
                "downloading would break off.",
                _evidence([disk]),
                "Make room on it, or take a host with a larger one.",
                _look(facts, [disk]),
            )
    return None


def _add(needed: dict[str, int], disk: Disk, size: int) -> None:
    needed[disk.mount] = needed.get(disk.mount, 0) + size


@unless_unknown
def _low(facts: HostFacts) -> Finding | None:
    low = [
        disk
        for disk in sure(sure(facts.system).disks)
        if disk.name in ("home", "models", "jobs") and FULL_MIB <= disk.free_mib < LOW_MIB
    ]
    if not low:
        return None
    return Finding(
        f"The disk at {' and '.join(_mounts(low))} has {amount(low[0].free_mib)} left.",
        "It is full after some hundred pictures more, and the worker will wait then.",
        _evidence(low),
        "Delete what is not needed.",
        _look(facts, low),
    )


def _mounts(disks: Iterable[Disk]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(disk.mount for disk in disks))


def _evidence(disks: Iterable[Disk]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(f"{disk.mount}: {disk.free_mib} MiB free of {disk.size_mib} MiB" for disk in disks)
    )


def _look(facts: HostFacts, disks: Iterable[Disk]) -> tuple[str, ...]:
    """Commands: where it has gone, and what can go at once."""
    mount = _mounts(disks)[0]
    look = there(facts, f"du -xm --max-depth 4 {mount} 2>/dev/null | sort -n | tail -n 20")
    if is_local(facts) or sure(sure(facts.system).account) is None:
        return (look,)
    return (look, there(facts, "apt-get clean"))


CHECKS: tuple[Check, ...] = (
    Check(
        "disk-read-only",
        "system",
        "the disks can be written",
        Severity.ERROR,
        _read_only,
        "The kernel mounts a file system for reading only when it finds it damaged, mostly because the disk "
        "behind it failed. Some rescue systems do so, too.",
        "Look at what the kernel said about the disk. A reboot checks and repairs it; if it comes again, "
        "make the host anew.",
        needs=("reach",),
    ),
    Check(
        "disk-full",
        "system",
        "there is free disk",
        Severity.ERROR,
        _full,
        "Downloaded packages, several models and the pictures of all jobs add up. A full disk makes many "
        "things fail in ways of their own, so this comes before all of them.",
        "See what takes the space and delete it: pictures that were fetched, models that are not used any "
        "more, environments of earlier stacks. The worker goes on by itself when there is room again.",
        needs=("reach", "disk-read-only"),
    ),
    Check(
        "disk-inodes",
        "system",
        "there is room for more files",
        Severity.ERROR,
        _inodes,
        "Some file systems hold a fixed number of files, which conda's caches can use up long before the "
        "disk is full.",
        "Delete many small files, such as conda's downloaded packages.",
        needs=("reach", "disk-read-only"),
    ),
    Check(
        "disk-small",
        "system",
        "there is room for what is still to be installed",
        Severity.ERROR,
        _small,
        "The stack and the model are gigabytes. While they are not there, their room has to be, and the "
        "playbook refuses to begin without it.",
        "Make room, or take a host with a larger disk. For a model that needs less than the default one, "
        "ignore this check.",
        needs=("disk-full", "disk-inodes"),
    ),
    Check(
        "disk-low",
        "system",
        "there is room for pictures",
        Severity.WARNING,
        _low,
        "Every job keeps its inputs and pictures on the host until somebody deletes them.",
        "Delete pictures that were fetched, and what else is not needed.",
        needs=("disk-full", "disk-small"),
    ),
    Check(
        "memory",
        "system",
        "there is enough memory",
        Severity.ERROR,
        _memory,
        "The model is read into main memory before it goes to the GPU. With too little, the kernel ends the "
        "worker in the middle of that, again and again.",
        "Take a host with more memory.",
        needs=("reach",),
    ),
)
