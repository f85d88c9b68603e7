"""Hosts get packages through the proxy, from the registries of this machine and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from . import registries
from .host import Host
from .lab import Lab
from .proxy import RefusedError, split_target

APT = "apt-get -q update && apt-get -q install -y --no-install-recommends tree && tree --version"

#: As pip does it: by the proxy and the certificates of its settings.
INDEX = """
import configparser, ssl, sys, urllib.request
pip = configparser.ConfigParser()
pip.read("/etc/pip.conf")
proxy = urllib.request.ProxyHandler({"https": pip["global"]["proxy"], "http": pip["global"]["proxy"]})
tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=pip["global"]["cert"]))
try:
    print(urllib.request.build_opener(proxy, tls).open(sys.argv[1], timeout=30).status)
except OSError as error:
    print(error)
"""


@pytest.mark.hosts
def test_apt_installs_a_package(new_host: Callable[..., Host], release: str) -> None:
    assert new_host(release=release).run(["sh", "-c", APT], timeout=180).stdout.count("tree v") == 1


@pytest.mark.hosts
def test_the_package_index_is_reached_with_the_machines_certificates(host: Host) -> None:
    name = min(registries.pip_names())  # either of them answers at its root
    assert host.run(["python3", "-c", INDEX, f"https://{name}/"]).stdout in (
        "200\n",
        "HTTP Error 404: Not Found\n",
    )


@pytest.mark.hosts
def test_nothing_else_is_reached(lab: Lab, host: Host) -> None:
    assert "403" in host.run(["python3", "-c", INDEX, "https://registry.invalid/"]).stdout
    assert "403" in host.run(["python3", "-c", INDEX, "http://registry.invalid/"]).stdout
    assert "not a package registry of this machine: registry.invalid:443" in lab.proxy_log()


@pytest.mark.hosts
def test_a_host_can_be_without_packages(new_host: Callable[..., Host]) -> None:
    host = new_host(packages=False)
    assert host.run(["sh", "-c", "grep -rl Proxy /etc/apt; ls /etc/pip.conf"], check=False).stdout == ""


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("CONNECT", "index.test:443", ("index.test", 443, "")),
        ("GET", "http://mirror.test/debian/x", ("mirror.test", 80, "/debian/x")),
        ("GET", "http://mirror.test:80", ("mirror.test", 80, "/")),
    ],
)
def test_targets_are_understood(method: str, target: str, expected: tuple[str, int, str]) -> None:
    assert split_target(method, target) == expected


@pytest.mark.parametrize(
    ("method", "target"),
    [("CONNECT", "index.test:22"), ("CONNECT", "index.test"), ("GET", "/x"), ("GET", "ftp://mirror.test/")],
)
def test_other_targets_are_refused(method: str, target: str) -> None:
    with pytest.raises(RefusedError):
        split_target(method, target)
