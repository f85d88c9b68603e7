"""pytest fixtures for tests that need hosts.

    def test_something(new_host, lab, release):
        host = new_host(release=release)

``lab`` lasts for the session; hosts are cheap (half a second) and end with their test.
Where hosts cannot be made, tests skip and say why; with SDOPS_REQUIRE_HOSTS=1 they fail instead,
so that a machine which is meant to run them cannot pass by skipping.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from . import base
from .host import Host
from .lab import Lab
from .machine import ReleaseGoneError, UnavailableError


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab of this session: controller, network, services. Skips where there can be none."""
    try:
        made = Lab()
    except UnavailableError as reason:
        do_without(reason)
    with made:
        yield made


@pytest.fixture(params=sorted(base.RELEASES))
def release(request: pytest.FixtureRequest, lab: Lab) -> str:
    """Each Debian release in turn; skips those that apt's mirror does not have (any more)."""
    name: str = request.param
    need_release(name)
    return name


@pytest.fixture
def new_host(lab: Lab) -> Iterator[Callable[..., Host]]:
    """Makes hosts, with the parameters of Lab.host; they end with the test."""
    made: list[Host] = []

    def make(**options: Any) -> Host:
        need_release(options.get("release", "bookworm"))
        # Not waited for before it is on the list: a host that does not come up is ended, too.
        made.append(lab.host(**{**options, "wait": False}))
        if options.get("wait", True):
            made[-1].wait_up()
        return made[-1]

    yield make
    for host in made:
        lab.remove(host)


@pytest.fixture
def host(new_host: Callable[..., Host]) -> Host:
    """One fresh Debian 12 host."""
    return new_host()


def need_release(name: str) -> None:
    """Skips the test when a release cannot be had."""
    try:
        base.ready(name)
    except ReleaseGoneError as reason:
        pytest.skip(f"RELEASE NOT TESTED: {reason}")
    except UnavailableError as reason:
        do_without(reason)


def do_without(reason: UnavailableError) -> NoReturn:
    """Skips the test, or fails it where hosts are required."""
    if os.environ.get("SDOPS_REQUIRE_HOSTS"):
        pytest.fail(f"SDOPS_REQUIRE_HOSTS is set, but {reason}")
    pytest.skip(str(reason))
