"""One host of each Debian release, and the runs that every role has to stand, each on all of them at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hosts import base
from hosts.contents import difference, listing
from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError
from plays import Outcome, Play


@dataclass(frozen=True)
class Fleet:
    """Hosts by release, and what four runs did to them: --check before, the first, the second, --check after.

    touched: what was not the same on a host after the first --check as before it; see hosts.contents.
    """

    hosts: Mapping[str, Host]
    foretold: Outcome
    touched: tuple[str, ...]
    first: Outcome
    second: Outcome
    after: Outcome

    @property
    def any(self) -> Host:
        """The host of Debian 12, or another."""
        return self.hosts.get("bookworm") or next(iter(self.hosts.values()))

    def settled(self) -> None:
        """Asserts that after the first run nothing is done or announced any more."""
        assert self.first.changed
        assert self.second.changed == ()
        assert self.after.changed == ()


@contextlib.contextmanager
def of_each_release(lab: Lab, *, packages: bool = True) -> Iterator[dict[str, Host]]:
    """A fresh host of each release that can be had here, by release."""
    releases = []
    for name in base.RELEASES:
        with contextlib.suppress(UnavailableError):
            base.ready(name)
            releases.append(name)
    hosts = dict(zip(releases, lab.hosts(*releases, packages=packages), strict=True))
    try:
        yield hosts
    finally:
        for host in hosts.values():
            lab.remove(host)


def converge(play: Play, hosts: Mapping[str, Host]) -> Fleet:
    """Brings hosts to what a play asks for."""
    everyone = tuple(hosts.values())
    before = [listing(host) for host in everyone]
    foretold = play.run(*everyone, check=True)
    after = [listing(host) for host in everyone]
    touched = tuple(line for pair in zip(before, after, strict=True) for line in difference(*pair))
    first, second = play.run(*everyone), play.run(*everyone)
    return Fleet(hosts, foretold, touched, first, second, play.run(*everyone, check=True))
