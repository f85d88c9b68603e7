"""The README's own commands, typed by somebody in a fresh clone, from a fresh host to a page with pictures.

What is typed is read out of the README; what must differ here is in one table, each line of which has to be
needed. So README and program cannot part ways.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from doubles import hub
from hosts.command import Completed
from hosts.host import Host
from people import Newcomer

pytestmark = pytest.mark.hosts

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(heading: str) -> list[str]:
    """The commands of the first block below a heading, without remarks."""
    text = README.partition(f"\n{heading}\n")[2]
    found = re.search(r"(?:^    .+\n)+", text, re.MULTILINE)
    assert found, heading
    return [re.sub(r"\s{2,}#.*", "", line).strip() for line in found[0].splitlines()]


@dataclass
class Reader(Newcomer):
    """Somebody who types what the README says. swaps: what must differ here, with the reason."""

    swaps: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        """In her clone: its code, and the programs that her Python environment has."""
        found = super().environment
        return {**found, "PYTHONPATH": f"{self.folder / 'ops'}:{self.folder / 'runtime'}"}

    def reads(self, heading: str, codes: tuple[int, ...] = (0,)) -> Iterator[Completed]:
        """Types the block below a heading, line by line."""
        for line in block(heading):
            for before, after in self.swaps.items():
                if before in line:
                    self.used.add(before)
                    line = line.replace(before, after)
            if line:
                yield self.enters(line, codes)

    def enters(self, line: str, codes: tuple[int, ...] = (0,)) -> Completed:
        """Types a line into a shell, which has to end with one of some codes."""
        shell = f'sdops() {{ {shlex.join(self.program)} "$@"; }}\n{line}'
        ran = self.lab.controller.run(
            ["bash", "-c", shell], timeout=900, check=False, env=self.environment, cwd=self.folder
        )
        assert ran.rc in codes, f"$ {line}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        return ran

    @property
    def program(self) -> list[str]:
        """What the word sdops is for her."""
        from people import SDOPS

        return SDOPS


@pytest.fixture(scope="module")
def fresh(lab) -> Iterator[Host]:
    """A host as the provider gives it."""
    (host,) = lab.hosts("bookworm")
    (host.root / "etc/pip.conf").unlink()
    yield host
    lab.remove(host)


@pytest.fixture
def reader(lab, fresh, mirrored, tmp_path_factory, photo) -> Reader:
    # Short: ssh's sockets are in it, whose paths may have 107 letters.
    folder = tmp_path_factory.mktemp("w") / "sdops"
    # As it is committed: what is not has no README yet.
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    one = Reader.of_key(lab, folder)
    assert isinstance(one, Reader)
    (folder / "mirrors.json").write_text(json.dumps(mirrored))
    shutil.copy(photo, folder / "photo.jpg")
    one.swaps = {
        # Ansible is here already, beside sdops.
        "python3 -m venv ~/ansible && ~/ansible/bin/pip install ansible": "ansible-playbook --version",
        "export PATH=~/ansible/bin:$PATH": "",
        # A host of the test's, whose key she compares beforehand, and a token.
        "sdops init 203.0.113.10": f"HF_TOKEN={hub.GOOD} sdops init {fresh.address} --trust any",
        # What init prints, and mirrors.
        "ansible-playbook -i inventory.ini ansible/site.yml": "$(sed -n 1p next) -e @mirrors.json",
        # She has no GPU, so that nothing but the first two of these can be right; and no patience.
        "nvidia-smi |": "echo 'NVIDIA-SMI has failed' |",
        "--images 5": "--images 1 --width 128 --steps 4",
        "--strength 0.3..0.9:0.2": "--host gpu1 --out pictures --width 128 --steps 4 --strength 0.5..0.9:0.2",
    }
    return one


def test_from_a_fresh_clone_to_a_page_with_pictures(reader: Reader, fresh: Host) -> None:
    hosts = reader.reads("## Hosts")
    assert "ansible-playbook" in next(hosts).stdout
    taken = next(hosts)
    exported, *commands = [line.strip() for line in taken.stdout.splitlines()]
    assert len(commands) == 3
    # Each line of hers is a terminal of its own here.
    commands[0] = f"env {exported.removeprefix('export ')} {commands[0]}"
    (reader.folder / "next").write_text("\n".join(commands) + "\n")
    assert "gpu1" in next(hosts).stdout
    assert list(hosts) == []
    # The inventory has the mirrors from now on, as that of somebody who has some.
    with (reader.folder / "inventory.ini").open("a") as inventory:
        told = json.loads((reader.folder / "mirrors.json").read_text())
        inventory.writelines(f"{name}={value}\n" for name, value in told.items())
    assert fresh.run(["cat", ".cache/huggingface/token"], user="sdops").stdout == hub.GOOD

    # The other two that init has printed, and what else there is to ask doctor.
    reader.enters(commands[1])
    told_wrong = [ran.stderr for ran in reader.reads("## Doctor", codes=(0, 1, 3)) if ran.rc == 3]
    assert len(told_wrong) <= 1  # the output of an nvidia-smi that has failed
    reader.enters(f"{commands[2]} --out pictures --width 128 --steps 4")

    for ran in reader.reads("### Jobs"):
        assert "2 pictures" in ran.stdout + ran.stderr or "made" in ran.stdout + ran.stderr
    assert len(list((reader.folder / "pictures").glob("*.png"))) == 3
    assert len(list(reader.reads("### Trying settings"))) == 1
    assert len(list((reader.folder / "pictures").glob("photo-*-s0.7-g7.5.png"))) == 1
    assert len(list(reader.reads("### Looking at pictures"))) == 1
    page = (reader.folder / "pictures/index.html").read_text()
    assert "wearing a christmas hat" in page and "as a statue" in page
    assert page.count("data:image/") > 10


def test_nothing_is_swapped_that_the_readme_does_not_have(reader: Reader) -> None:
    whole = "\n".join(
        line
        for heading in ("## Hosts", "### Jobs", "### Trying settings", "### Looking at pictures", "## Doctor")
        for line in block(heading)
    )
    assert [swap for swap in reader.swaps if swap not in whole] == []


def test_a_command_that_is_none_ends_the_walk(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="runn"):
        reader.enters("sdops runn photo.jpg")
