"""The fake nvidia-smi plays what was recorded: text, errors, exit status, hanging."""

from __future__ import annotations

import pytest

from .gpu import Answer, install_fake_gpu, remove_fake_gpu
from .host import Host

pytestmark = pytest.mark.hosts


def test_answers_are_chosen_by_arguments(host: Host) -> None:
    query = "--query-gpu=name,memory.total --format=csv,noheader"
    failed = Answer("", 9, "NVIDIA-SMI has failed: it's the driver\n")
    install_fake_gpu(host, {"": "a table\n", query: "GRID A100D-10C, 10240 MiB\n", "*": failed})
    assert host.run(["nvidia-smi"]).stdout == "a table\n"
    assert host.run(["nvidia-smi", *query.split()]).stdout == "GRID A100D-10C, 10240 MiB\n"
    other = host.run(["nvidia-smi", "-L"], check=False)
    assert (other.rc, other.stdout, other.stderr) == (9, "", failed.stderr)


def test_one_answer_serves_every_call_and_can_be_replaced(host: Host) -> None:
    install_fake_gpu(host, "No devices were found\n", rc=6)
    assert host.run(["nvidia-smi", "-q"], check=False).rc == 6
    install_fake_gpu(host, {"-L": "GPU 0: 100% $HOME `x` 'y'\n"})
    assert host.run(["nvidia-smi", "-L"]).stdout == "GPU 0: 100% $HOME `x` 'y'\n"
    assert host.run(["nvidia-smi"], check=False).rc == 250
    remove_fake_gpu(host)
    assert host.run(["which", "nvidia-smi"], check=False).rc == 1


def test_a_tool_that_hangs_can_be_played(host: Host) -> None:
    install_fake_gpu(host, Answer("late\n", seconds=30))
    assert host.run(["timeout", "1", "nvidia-smi"], check=False).rc == 124
