"""What is on a host, to be compared before and after something that must change nothing."""

from __future__ import annotations

from .host import Host

#: Folders that change without anybody's doing, or by a login alone.
VOLATILE = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/log",
    "/var/lib/systemd",
    "/var/lib/wtmpdb",
    "/tmp/systemd-private*",
)


def listing(host: Host) -> str:
    """Everything on a host's disk with mode, owner, size and time, and its packages.

    Left out is what changes by itself, or by a login: /run and the like, and logs.
    """
    fields = r"%p %M %U:%G %l %s %T@\n"
    skipped = [word for path in VOLATILE for word in ("-path", path, "-prune", "-o")]
    folders = ["-type", "d", "-printf", fields.replace(" %s %T@", ""), "-o", "-printf", fields]
    files = host.inside(["find", "/", "-xdev", *skipped, *folders]).stdout
    packages = host.inside(["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Status}\n"]).stdout
    return "\n".join(sorted(files.splitlines())) + packages


def difference(before: str, after: str) -> list[str]:
    """The lines that only one of two listings has."""
    return sorted(set(before.splitlines()) ^ set(after.splitlines()))
