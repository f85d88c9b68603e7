"""A real ansible-playbook drives hosts from the controller."""

from __future__ import annotations

from pathlib import Path

import pytest
from plays import program

from .command import Argument
from .lab import Lab

pytestmark = pytest.mark.hosts

PLAYBOOK = """
- hosts: all
  gather_facts: true
  tasks:
    - name: Ping
      ansible.builtin.ping:
    - name: Copy a file
      ansible.builtin.copy:
        content: "{{ ansible_facts.distribution_release }}\\n"
        dest: /root/release
        mode: "0644"
"""


def test_a_playbook_converges_on_every_release(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    hosts = lab.hosts("bullseye", "bookworm", "trixie")
    try:
        play: list[Argument] = [program(), "-i", lab.inventory(*hosts), tmp_path / "site.yml"]
        first = lab.controller.run(play, timeout=180)
        second = lab.controller.run(play, timeout=180)
        assert first.stdout.count("changed=1 ") == 3, first.stdout
        assert second.stdout.count("changed=0 ") == 3, second.stdout
        releases = [host.run(["cat", "/root/release"]).stdout.strip() for host in hosts]
        assert releases == [host.release for host in hosts]
    finally:
        for host in hosts:
            lab.remove(host)
