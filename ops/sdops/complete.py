"""What the shell offers when Tab is pressed: hosts, and jobs. Raises nothing, and asks no host."""

from sdops.errors import SdopsError


def hosts(incomplete: str) -> list[str]:
    """Hosts and groups of the usual inventory that begin like this, and this machine."""
    from sdops import inventory

    try:
        found = inventory.read()
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
