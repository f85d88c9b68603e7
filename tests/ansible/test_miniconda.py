"""The role miniconda, on real hosts, from a look-alike mirror."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.conda import mirror
from fleets import Fleet, converge, of_each_release
from groundwork import account
from hosts.host import Host
from hosts.lab import Lab, Service
from plays import Play

pytestmark = pytest.mark.hosts

OLD, NEW = mirror.VERSIONS
HOME = "/home/sdops"


@pytest.fixture
def play(lab: Lab, tmp_path: Path, made: mirror.Mirror, served: Service) -> Play:
    """The role, as a person behind a mirror would run it."""
    return Play(lab, tmp_path, "miniconda", variables=variables(made, served))


def variables(made: mirror.Mirror, served: Service, version: str = NEW) -> dict[str, object]:
    return {
        "miniconda_version": version,
        "miniconda_base_url": f"{served.url}/miniconda",
        "miniconda_sha256": made.installers[version],
        "sdops_conda_channel_alias": f"{served.url}/channels",
    }


def conda_says(host: Host, *words: str) -> str:
    return host.run(["bash", "-lc", f"conda {' '.join(words)}"], user="sdops").stdout.strip()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"miniconda_version": "latest"}, 'miniconda_version is "latest". Set it to an exact version'),
        (
            {"miniconda_version": "py39_1.2.3-4", "miniconda_sha256": ""},
            "sdops does not know the SHA-256 of Miniconda py39_1.2.3-4. Set miniconda_sha256",
        ),
        ({"miniconda_sha256": "123"}, "miniconda_sha256 is not a SHA-256: 64 hexadecimal digits."),
        (
            {"miniconda_base_url": "repo.example"},
            'miniconda_base_url is "repo.example". Set it to an address',
        ),
        ({"sdops_user": "nobody-here"}, "There is no account nobody-here on "),
    ],
    ids=["latest", "unknown", "hash", "url", "account"],
)
def test_wrong_input_is_refused(play: Play, shared: Host, setting: dict[str, str], said: str) -> None:
    outcome = play.run(shared, ok=False, **setting)
    assert said in outcome.message
    assert outcome.changed == ()


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[Host]:
    """A host with the account, on which nothing gets installed."""
    host = lab.host()
    account(host)
    yield host
    lab.remove(host)


@pytest.fixture(scope="module")
def fleet(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, made: mirror.Mirror, served: Service
) -> Iterator[Fleet]:
    play = Play(lab, tmp_path_factory.mktemp("fleet"), "miniconda", variables=variables(made, served))
    with of_each_release(lab, packages=False) as hosts:
        for host in hosts.values():
            account(host)
        yield converge(play, hosts)


def test_hosts_converge_and_stay(fleet: Fleet) -> None:
    assert fleet.touched == ()
    for host in fleet.hosts.values():
        assert "Run the installer" in fleet.foretold.on(host).changed
    fleet.settled()


def test_before_there_is_an_account_check_mode_foretells_nothing(play: Play, fleet: Fleet) -> None:
    assert play.run(*fleet.hosts.values(), check=True, sdops_user="nobody-here").changed == ()


def test_the_accounts_shells_have_conda(provisioned: Host) -> None:
    version = NEW.split("_")[1].split("-")[0]
    login = provisioned.run(["bash", "-lc", "conda --version; command -v conda"], user="sdops")
    assert login.stdout.splitlines() == [f"conda {version}", "conda"]
    interactive = provisioned.run(["bash", "-ic", "conda --version"], user="sdops")
    assert interactive.stdout == f"conda {version}\n"
    owners = provisioned.run(["find", f"{HOME}/miniconda3/", "-not", "-user", "sdops"])
    assert owners.stdout == ""
    assert provisioned.run(["find", HOME, "-name", "Miniconda*"]).stdout == ""
    terms = provisioned.run(
        ["bash", "-lc", "conda create -y -n other -c defaults python"], user="sdops", check=False
    )
    assert "CondaToSNonInteractiveError" in terms.stderr


def test_the_persons_own_environments_do_not_matter(play: Play, fleet: Fleet) -> None:
    for host in fleet.hosts.values():
        host.run(["bash", "-lc", "conda create -y -n mine probe && conda activate mine"], user="sdops")
    assert play.run(*fleet.hosts.values()).changed == ()


def test_another_version_takes_the_place_and_environments_stay(
    play: Play, host: Host, made: mirror.Mirror, served: Service
) -> None:
    account(host)
    play.run(host, **variables(made, served, OLD))
    assert conda_says(host, "--version") == "conda 25.7.0"
    host.run(["bash", "-lc", "conda create -y -n mine probe"], user="sdops")
    changed = play.run(host, **variables(made, served, NEW)).changed
    assert "Set conda up and put this version in place" in changed
    assert conda_says(host, "--version") == "conda 25.9.1"
    assert "probe" in conda_says(host, "list", "-n", "mine")
    assert host.run(["test", "-e", f"{HOME}/miniconda3/envs/mine/share/probe.txt"]).rc == 0
    assert play.run(host).changed == ()
    left = host.run(["sh", "-c", f"ls -d {HOME}/miniconda3*"]).stdout.split()
    assert left == [f"{HOME}/miniconda3", f"{HOME}/miniconda3-{NEW}"]


def test_half_an_installation_is_made_whole(play: Play, host: Host) -> None:
    account(host)
    half = f"{HOME}/miniconda3-{NEW}"
    host.run(["mkdir", "-p", f"{half}/bin"], user="sdops")
    host.run(["cp", "/bin/false", f"{half}/bin/conda"], user="sdops")
    play.run(host)
    assert conda_says(host, "--version") == "conda 25.9.1"
    assert play.run(host).changed == ()


def test_killed_in_the_middle_it_converges_the_next_time(play: Play, host: Host, lab: Lab) -> None:
    account(host)
    host.link.shape(rate="80mbit")  # 10 MB a second: the installer takes 3
    watch = threading.Event()

    def kill() -> None:
        while not watch.is_set():
            started = host.run(["pgrep", "-u", "sdops", "tar"], check=False).stdout.split()
            if started:
                host.run(["pkill", "-KILL", "-u", "sdops"], check=False)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = play.run(host, ok=False)
    watch.set()
    killer.join()
    assert outcome.failed
    host.link.shape()
    play.run(host)
    assert conda_says(host, "--version") == "conda 25.9.1"
    assert play.run(host).changed == ()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"miniconda_sha256": "0" * 64}, "The file there is not the one that is expected."),
        ({"miniconda_base_url": "http://198.18.0.1:9/x"}, "Set miniconda_base_url to a place that the host"),
    ],
    ids=["other file", "no mirror"],
)
def test_a_failed_download_says_what_to_set(
    play: Play, shared: Host, setting: dict[str, str], said: str
) -> None:
    outcome = play.run(shared, ok=False, **setting)
    assert said in outcome.message
    assert shared.run(["sh", "-c", f"ls -d {HOME}/miniconda3*"], check=False).stdout == ""


def test_somebody_elses_conda_is_left_alone(play: Play, shared: Host) -> None:
    shared.run(["mkdir", f"{HOME}/miniconda3"], user="sdops")
    outcome = play.run(shared, ok=False)
    shared.run(["rmdir", f"{HOME}/miniconda3"])
    assert f"{HOME}/miniconda3 exists on {shared.name} and was not made by sdops." in outcome.message
    assert outcome.changed == ()


def test_the_terms_of_defaults_are_the_persons_to_accept(
    lab: Lab, play: Play, host: Host, served: Service
) -> None:
    account(host)
    play.run(host, miniconda_accept_defaults_terms=True)
    settings = host.run(["cat", f"{HOME}/miniconda3/.condarc"]).stdout
    assert "  - defaults\n" in settings
    create = f"CONDA_DEFAULT_CHANNELS={served.url}/channels/main conda create -y -n mine -c defaults python"
    host.run(["bash", "-lc", create], user="sdops")
    changed = play.run(host).changed
    assert changed == ("Set conda up and put this version in place",)
    assert "defaults" not in host.run(["cat", f"{HOME}/miniconda3/.condarc"]).stdout
