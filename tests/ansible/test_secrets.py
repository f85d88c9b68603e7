"""A token given to site.yml gets to its one place on the host, and nowhere else is a trace of it.

Looked for: output, processes, journals, disks, Ansible's own folders and caches; at the highest
verbosity that people use, with differences shown, whether all goes well or the hub refuses the token.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts.host import Host
from hosts.lab import Lab
from plays import SHOWN, TIMEOUT, Play, program

from .leaks import Canary, Watch

pytestmark = pytest.mark.hosts

TOKEN = "/home/sdops/.cache/huggingface/token"


@dataclass(frozen=True)
class Seen:
    """What a run did, and where the canary was during and after it. elsewhere: other than in its file."""

    rc: int
    text: str
    elsewhere: tuple[str, ...]


class Site:
    """site.yml with everything switched on that writes down what Ansible knows."""

    def __init__(self, lab: Lab, folder: Path, variables: dict[str, object], host: Host) -> None:
        self.lab, self.folder, self.host = lab, folder, host
        self.canary = Canary()
        self.play = Play(lab, folder, playbook="site.yml", variables={**variables, "sdops_expect_gpu": False})
        self.log = folder / "ansible.log"
        temporary = folder / "tmp"
        temporary.mkdir()
        self.environment = {
            **SHOWN,
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
            "ANSIBLE_LOG_PATH": str(self.log),
            "TMPDIR": str(temporary),
        }

    def run(self, words: tuple[str, ...] = (), *, env: dict[str, str], **variables: object) -> Seen:
        """Runs it, watched, and looks everywhere."""
        argv = self.play.argv(self.host, words=("-vvv", "--diff", *words), **variables)
        environment = self.play.environment(**self.environment, **env)
        with Watch(self.canary, self.host) as watch:
            ran = self.lab.controller.run(argv, timeout=TIMEOUT, check=False, env=environment)
        rc, text, canary = ran.rc, ran.stdout + ran.stderr, self.canary
        places = [*sorted(watch.seen)]
        places += [name for name, found in (("output", canary.is_in(text)),) if found]
        places += ["journal"] * canary.in_journal(self.host)
        places += [place for place in canary.files_on(self.host) if place != TOKEN]
        places += canary.files(self.folder, self.lab.folder)
        # Where nothing was written, nothing was to be found.
        assert self.log.stat().st_size > 1000
        assert watch.samples > 50
        return Seen(rc, canary.hidden(text), tuple(places))

    def stored(self) -> tuple[str, bool]:
        """Owner and mode of the token's file, and whether the canary is all of it."""
        told = self.host.inside(["stat", "--format=%U:%G %a", TOKEN]).stdout.strip()
        return told, (self.host.root / TOKEN[1:]).read_text() == self.canary.token


@pytest.fixture
def site(lab: Lab, tmp_path: Path, small_site: dict[str, object], new_host: Callable[..., Host]) -> Site:
    host = new_host()
    (host.root / "etc/pip.conf").unlink()
    return Site(lab, tmp_path, small_site, host)


def test_what_is_looked_for_is_found(site: Site) -> None:
    canary, host = site.canary, site.host
    with Watch(canary, host) as watch:
        host.inside(["sh", "-c", "sleep 0.5; true", canary.token])
        host.inside(["env", f"GIVEN={canary.token}", "sleep", "0.5"])
    seen = watch.seen
    assert {"command line of sh", "environment of sleep"} <= seen
    host.put("/var/lib/somewhere", f"...{canary.token}...")
    assert canary.files_on(host) == ["/var/lib/somewhere"]
    assert canary.files(host.root / "var/lib") == [str(host.root / "var/lib/somewhere")]


def test_a_token_of_the_environment_is_seen_nowhere(site: Site) -> None:
    """Over one connection; and once more when the hub refuses it."""
    given = {"HF_TOKEN": site.canary.token}
    seen = site.run(env=given)
    assert (seen.rc, seen.elsewhere) == (0, ()), seen.text[-3000:]
    assert site.stored() == ("sdops:sdops 600", True)
    refused = site.run(env=given, hub_token_check=True)
    assert (refused.rc, "(token-refused)" in refused.text, refused.elsewhere) == (2, True, ())
    assert site.stored() == ("sdops:sdops 600", True)


def test_a_token_of_the_vault_is_seen_nowhere(site: Site, lab: Lab) -> None:
    """With modules sent as files, as where sudo wants a terminal."""
    password, vault = site.folder / "password", site.folder / "vault.yml"
    password.write_text(secrets.token_hex())
    vault.write_text(f"hub_token_value: {site.canary.token}\n")
    lab.controller.run([program("ansible-vault"), "encrypt", "--vault-password-file", password, vault])
    words = ("-e", f"@{vault}", "--vault-password-file", str(password))
    seen = site.run(words, env={}, ansible_ssh_pipelining=False)
    assert (seen.rc, seen.elsewhere) == (0, ()), seen.text[-3000:]
    assert site.stored() == ("sdops:sdops 600", True)
