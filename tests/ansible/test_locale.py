"""Many people's ssh sends their locale along, and a fresh host that lacks it complains at every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hosts.host import Host
from hosts.lab import Lab
from plays import Play

pytestmark = pytest.mark.hosts

#: As SendEnv in a distribution's ssh_config does it with the person's own.
SENT = {"ansible_ssh_extra_args": "-o SetEnv=LC_ALL=de_DE.UTF-8"}


def test_a_locale_that_the_host_lacks_does_no_harm(
    lab: Lab, tmp_path: Path, small_site: dict[str, object], new_host: Callable[..., Host]
) -> None:
    host = new_host()
    (host.root / "etc/pip.conf").unlink()
    asked = lab.controller.ssh_argv(host.name, ["true"])
    complaint = lab.controller.run([*asked[:1], "-o", "SetEnv=LC_ALL=de_DE.UTF-8", *asked[1:]]).stderr
    assert "cannot change locale" in complaint
    settings = {**small_site, **SENT, "sdops_expect_gpu": False}
    play = Play(lab, tmp_path, playbook="site.yml", variables=settings)
    assert play.run(host).changed
    assert play.run(host).changed == ()
