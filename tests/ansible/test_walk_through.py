"""The README's own commands, typed by somebody in a fresh clone, from a fresh host to a page with pictures.

What is typed is read out of the README; what must differ here is in one table, each line of which has to be
needed. So README and program cannot part ways.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
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
README = "\n" + (ROOT / "README.md").read_text()


def block(heading: str) -> list[str]:
    """The commands of the first block below a heading, without remarks."""
    text = README.partition(f"\n{heading}\n")[2]
    found = re.search(r"(?:^    .+\n)+", text, re.MULTILINE)
    assert found, heading
    return [re.sub(r"\s{2,}#.*", "", line).strip() for line in found[0].splitlines()]


@dataclass
class Reader(Newcomer):
    """Somebody who types what the README says, into one terminal.

    swaps: what must differ here. used: those that were needed. exports: what this terminal knows of exports.
    """

    swaps: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    exports: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of sdops and Ansible but what the README has her export."""
        found = {name: value for name, value in super().environment.items() if name != "PYTHONPATH"}
        ours = str(Path(sys.executable).parent)
        return {**found, "PATH": ":".join(one for one in found["PATH"].split(":") if one != ours)}

    def reads(self, heading: str) -> Iterator[Completed]:
        """Types the block below a heading, line by line."""
        for line in block(heading):
            for before, after in self.swaps.items():
                if before in line:
                    self.used.add(before)
                    line = line.replace(before, after)
            yield self.enters(line)

    def enters(self, line: str, code: int = 0) -> Completed:
        """Types a line, which has to end with that code."""
        shell = "\n".join([*self.exports, line])
        ran = self.lab.controller.run(
            ["bash", "-c", shell], timeout=900, check=False, env=self.environment, cwd=self.folder
        )
        expected = CODES.get(line, code)
        assert ran.rc == expected, f"$ {line}\n{ran.rc}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        if line.startswith("export "):
            self.exports.append(line)
        return ran

    def install(self) -> None:
        """What make has installed: sdops by her clone's own files, and the libraries, which are lent.

        That they can be installed is seen by whatever runs this.
        """
        place = self.folder / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        (packages,) = place.glob("lib/python3*/site-packages")
        lent = next(Path(path) for path in sys.path if path.endswith("site-packages"))
        (packages / "lent.pth").write_text(f"{lent}\n")
        building = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run(
            [place / "bin/python", "-m", "pip", *building, "--disable-pip-version-check", "--editable", "."],
            cwd=self.folder,
            check=True,
        )
        for program in Path(sys.executable).parent.glob("ansible*"):
            (place / "bin" / program.name).symlink_to(program)
        (place / "ready").touch()


#: Commands that do not end with 0: an nvidia-smi that failed says nothing that can be judged.
CODES = {"echo 'NVIDIA-SMI has failed' | sdops doctor --nvidia-smi -": 3}


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
        # The model's stand-in, for there is no hub outside of the tests' network; and no patience.
        ".venv/bin/sdops run": ".venv/bin/sdops run --model demo --width 128 --steps 4 --out here",
        # A host of the test's, whose key she compares beforehand, and a token.
        "sdops init 203.0.113.10": f"HF_TOKEN={hub.GOOD} sdops init {fresh.address} --trust any",
        # Mirrors of everything.
        "ansible/site.yml": "ansible/site.yml -e @mirrors.json",
        # She has no GPU.
        "nvidia-smi |": "echo 'NVIDIA-SMI has failed' |",
        "--images 5": "--images 1 --width 128 --steps 4",
        "--strength 0.3..0.9:0.2": "--host gpu1 --out pictures --width 128 --steps 4 --strength 0.5..0.9:0.2",
    }
    one.install()
    return one


def test_from_a_fresh_clone_to_a_page_with_pictures(reader: Reader, fresh: Host) -> None:
    first = block("# sdops")[0]
    assert first == "make demo"
    reader.enters(first)
    assert len(list((reader.folder / "demo-pictures").glob("*.png"))) == 1
    assert len(list(reader.reads("## Pictures"))) == 2
    assert len(list((reader.folder / "here").glob("photo-*.png"))) == 1

    hosts = reader.reads("## Hosts")
    next(hosts)
    assert str(reader.folder) in reader.enters("python -c 'import sdops; print(sdops.__file__)'").stdout
    exported, *commands = [line.strip() for line in next(hosts).stdout.splitlines()]
    next(hosts)
    # What init printed is what the README says, by whole names.
    assert exported == f"export ANSIBLE_VAULT_PASSWORD_FILE={reader.folder}/.vault-password"
    assert commands[0].split()[:3] == ["ansible-playbook", "-i", "inventory.ini"]
    assert "gpu1" in next(hosts).stdout
    assert list(hosts) == []
    # The inventory has the mirrors from now on, as that of somebody who has some.
    with (reader.folder / "inventory.ini").open("a") as inventory:
        told = json.loads((reader.folder / "mirrors.json").read_text())
        inventory.writelines(f"{name}={value}\n" for name, value in told.items())
    assert fresh.run(["cat", ".cache/huggingface/token"], user="sdops").stdout == hub.GOOD
    assert "changed=0" in reader.enters(commands[0]).stdout

    # The other two that init has printed, and what else there is to ask doctor.
    reader.enters(commands[1])
    assert len(list(reader.reads("## Doctor"))) == 4
    reader.enters(f"{commands[2]} --out pictures --width 128 --steps 4")

    for ran in reader.reads("### Jobs"):
        assert "2 pictures" in ran.stdout + ran.stderr or "made" in ran.stdout + ran.stderr
    assert len(list((reader.folder / "pictures").glob("*.png"))) == 3
    assert len(list(reader.reads("### Trying settings"))) == 1
    assert len(list((reader.folder / "pictures").glob("photo-*-s0.7-g7.5.png"))) == 1
    assert len(list((reader.folder / "pictures").glob("photo-*-sheet.png"))) == 1
    assert len(list(reader.reads("### Looking at pictures"))) == 1
    page = (reader.folder / "pictures/index.html").read_text()
    assert "wearing a christmas hat" in page and "as a statue" in page
    assert page.count("data:image/") > 10
    # All that differs here is needed, so that the rest is the README's own.
    assert reader.used == set(reader.swaps)


def test_a_command_that_is_none_ends_the_walk(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="runn"):
        reader.enters(".venv/bin/sdops runn photo.jpg")
