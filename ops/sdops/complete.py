"""What the shell offers when Tab is pressed: hosts, and jobs. Raises nothing, and asks no host."""

from typing import Any

from sdops.errors import SdopsError


def hosts(ctx: Any, incomplete: str) -> list[str]:
    """Hosts and groups that begin like this, and this machine.

    Of the inventory that stands earlier on the line, else of the usual one. ctx: what the parser made of it.
    """
    from sdops import inventory

    try:
        found = inventory.read(ctx.params.get("inventory") or ())
    except (SdopsError, OSError):
        return []  # a line that is being typed is no place for an error
    names = {inventory.LOCAL, *(host.name for host in found.hosts), *found.groups}
    return sorted(name for name in names if name.startswith(incomplete))


def jobs(incomplete: str) -> list[str]:
    """Jobs that were given to hosts from here, the newest first; by the end of their names, too."""
    from sdops.jobs import ticket

    names = sorted(ticket.names(), reverse=True)
    return [name for name in names if name.startswith(incomplete)] or [
        name[-8:] for name in names if name[-8:].startswith(incomplete)
    ]


def mounted(incomplete: str) -> list[str]:
    """Hosts whose folders are mounted here, or those folders, that begin like this."""
    from sdops import mounts

    there = mounts.mounts()
    return sorted({one.host for one in there if one.host.startswith(incomplete)}) or sorted(
        {str(one.folder) for one in there if str(one.folder).startswith(incomplete)}
    )
