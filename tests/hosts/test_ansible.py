"""A real ansible-playbook drives hosts from the controller."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def ansible_playbook() -> str:
    """The ansible-playbook beside this Python, or else on the PATH."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    if not found:
        pytest.skip("ansible-playbook is not installed")
    return found


def test_a_playbook_converges_on_every_release(lab: Lab, ansible_playbook: str, tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    hosts = lab.hosts("bullseye", "bookworm", "trixie")
    try:
        play: list[Argument] = [ansible_playbook, "-i", lab.inventory(*hosts), tmp_path / "site.yml"]
        first = lab.controller.run(play, timeout=180)
        second = lab.controller.run(play, timeout=180)
        assert first.stdout.count("changed=1 ") == 3, first.stdout
        assert second.stdout.count("changed=0 ") == 3, second.stdout
        releases = [host.run(["cat", "/root/release"]).stdout.strip() for host in hosts]
        assert releases == [host.release for host in hosts]
    finally:
        for host in hosts:
            lab.remove(host)
