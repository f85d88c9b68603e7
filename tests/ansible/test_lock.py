"""lock.yml writes down what a solver chose, and later hosts get just that without a solve."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from doubles.conda import mirror
from groundwork import conda
from hosts.host import Host
from hosts.lab import Lab, Service
from plays import Play

pytestmark = pytest.mark.hosts

PUBLIC = "https://conda.anaconda.org/"


@pytest.fixture
def site(lab: Lab, tmp_path: Path, small: dict[str, object]) -> Play:
    """The part of site.yml that matters here."""
    (tmp_path / "site").mkdir()
    return Play(lab, tmp_path / "site", "stack_env", variables=small)


@pytest.fixture
def lock(lab: Lab, tmp_path: Path, small: dict[str, object]) -> Play:
    return Play(lab, tmp_path, playbook="lock.yml", variables=small)


def packages(host: Host) -> str:
    return host.run(["bash", "-lc", "conda list -n env1 --explicit --md5"], user="sdops").stdout


def test_a_later_host_gets_the_same_packages_without_a_solve(
    lock: Play,
    site: Play,
    ready: Host,
    new_host: Callable[..., Host],
    made: mirror.Mirror,
    served: Service,
    tmp_path: Path,
) -> None:
    early = lock.run(ready, ok=False)
    assert f"The environment env1 on {ready.name} is not what the stack alpha asks for." in early.message
    site.run(ready)
    assert lock.run(ready, check=True).changed[-1:] == ("Write the list on the controller",)
    assert not (tmp_path / "locks").exists()
    lock.run(ready)
    written = (tmp_path / "locks/alpha.txt").read_text().splitlines()
    urls = [line for line in written if "://" in line]
    assert all(url.startswith(PUBLIC) for url in urls)
    seen = [line for line in packages(ready).splitlines() if "://" in line]
    assert [url.removeprefix(PUBLIC) for url in urls] == [
        url.removeprefix(f"{served.url}/channels/") for url in seen
    ]
    assert lock.run(ready).changed == ()

    # The host that the list was read from is what the list asks for.
    listed = {"stack_env_lock": str(tmp_path / "locks/alpha.txt")}
    assert site.run(ready, **listed).changed == ()

    later = new_host(packages=False)
    conda(later, made, served)
    before = served.log.read_text()
    site.run(later, **listed)
    asked = served.log.read_text()[len(before) :]
    assert ".tar.bz2" in asked
    assert "repodata" not in asked
    assert packages(later) == packages(ready)
    assert site.run(later, **listed).changed == ()


def test_packages_of_a_folder_on_the_host_are_listed_by_their_public_address(
    lock: Play, site: Play, ready: Host, made: mirror.Mirror, tmp_path: Path
) -> None:
    shutil.copytree(made.folder / "channels", ready.root / "srv/channels")
    folder = {"sdops_conda_channel_alias": "file:///srv/channels"}
    site.run(ready, **folder)
    lock.run(ready, **folder)
    urls = [line for line in (tmp_path / "locks/alpha.txt").read_text().splitlines() if "://" in line]
    assert urls
    assert all(url.startswith(PUBLIC) for url in urls)
    listed = {"stack_env_lock": str(tmp_path / "locks/alpha.txt")}
    assert site.run(ready, **folder, **listed).changed == ()


def test_each_stack_has_a_list_from_one_of_its_hosts(
    lab: Lab, tmp_path: Path, small: dict[str, object], made: mirror.Mirror, served: Service
) -> None:
    hosts = lab.hosts("bookworm", "bookworm", packages=False)
    try:
        settings = {name: value for name, value in small.items() if name != "sdops_stack"}
        play = Play(lab, tmp_path, "stack_env", variables=settings)
        lock = Play(lab, tmp_path, playbook="lock.yml", variables=settings)
        for host, name in zip(hosts, ("alpha", "beta"), strict=True):
            conda(host, made, served)
            play.give(host, sdops_stack=name)
        play.run(*hosts)
        lock.run(*hosts)
        lists = sorted((tmp_path / "locks").iterdir())
        assert [path.name for path in lists] == ["alpha.txt", "beta.txt"]
        assert ["probe-1.0-0" in path.read_text() for path in lists] == [True, False]
        assert play.run(*hosts).changed == ()
    finally:
        for host in hosts:
            lab.remove(host)


def test_a_list_for_other_pins_is_refused(site: Play, ready: Host, tmp_path: Path) -> None:
    stale = tmp_path / "locks.txt"
    digest = "0" * 64
    stale.write_text(
        f"# pins: {digest}\n@EXPLICIT\n{PUBLIC}conda-forge/noarch/probe-1.0-0.tar.bz2#{'0' * 32}\n"
    )
    refused = site.run(ready, ok=False, stack_env_lock=str(stale))
    assert "was made for other pins than those that the stack alpha has now." in refused.message
    assert refused.changed == ()
    stale.write_text(stale.read_text().replace(f"# pins: {digest}\n", ""))
    altered = site.run(ready, ok=False, stack_env_lock=str(stale))
    assert "conda could not make the environment for alpha" in altered.message
    assert "mismatch" in altered.message
