"""Fresh hosts and the mirrors that they are made into Stable Diffusion hosts from, in two ways.

Real are the hosts' systemd, sshd, apt, users, Python, pip and its packages, Ansible, and a solver of conda
packages. Stand-ins, all in the test network: a package index with the wheels of the guide's lock, conda's
channels with torch, CUDA and MKL as shells without their gigabytes, Miniconda, the hub, the GPU.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from doubles import hub, model_files, wheelhouse
from doubles.conda import mirror
from hosts.gpu import install_fake_gpu
from hosts.host import Host
from hosts.lab import Lab, Service
from plays import Outcome, Play
from sdops_runtime import stack

from . import guide

ROOT = Path(__file__).parents[2]
LOCKS = Path(stack.__file__).with_name("locks")
STACK = stack.load("guide")

#: What the role service_user installs by default.
PACKAGES = "tmux openssh-sftp-server ca-certificates sudo dbus-user-session libpam-systemd"
#: wget, which any cloud's image has and the guide needs; no proxy for pip, whose index needs none; a GPU.
FURNISH = """export DEBIAN_FRONTEND=noninteractive
apt-get -q update && apt-get -q -y --no-install-recommends install wget
apt-get clean && rm -rf /var/lib/apt/lists/* /etc/pip.conf
echo '{"capability": [8, 0]}' >/usr/local/share/fake-torch-gpu.json
"""
GPU = {
    "": "| NVIDIA-SMI 535.129.03   Driver Version: 535.129.03   CUDA Version: 12.2     |\n",
    "*": "GRID A100D-10C, 10240, 8.0\n",
}


@dataclass(frozen=True)
class Step:
    """A task, or a part of the plain list. role: that it belongs to."""

    role: str
    name: str
    seconds: float


@dataclass(frozen=True)
class Taken:
    """Seconds that something took in all, and its steps, which leave out the start and the end."""

    seconds: float
    steps: tuple[Step, ...]

    def of(self, role: str) -> float:
        """Seconds of a role."""
        return sum(step.seconds for step in self.steps if step.role == role)


class Fleet:
    """Makes hosts and provisions them. release: which Debian.

    real_torch: PyPI's torch by pip, with all its weight but for CUDA, in place of conda's, which is a shell.
    """

    def __init__(self, lab: Lab, folder: Path, release: str, real_torch: bool) -> None:
        self.lab, self.folder, self.release, self.real_torch = lab, folder, release, real_torch
        self._lock = LOCKS / (STACK.cpu_lock if real_torch else STACK.lock)
        self._runs = 0
        made = mirror.ready()
        self._conda = made.serve(lab)
        self._index = self._files(wheelhouse.ready(self._lock.name))
        (folder / "model").mkdir()
        self._hub = self._serve(hub.__file__, "--model-dir", model_files.write_model(folder / "model"))
        self._installer = f"{self._conda.url}/miniconda/Miniconda3-{mirror.VERSIONS[-1]}-Linux-x86_64.sh"
        self.variables: dict[str, object] = {
            "miniconda_version": mirror.VERSIONS[-1],
            "miniconda_base_url": self._installer.rpartition("/")[0],
            "miniconda_sha256": made.installers[mirror.VERSIONS[-1]],
            "sdops_conda_channel_alias": f"{self._conda.url}/channels",
            "sdops_pip_index_url": f"{self._index.url}/simple",
            "sdops_hub_endpoint": self._hub.url,
            "hub_token_value": hub.GOOD,
            **({"stack_env_torch_by_pip": True, "sdops_expect_gpu": False} if real_torch else {}),
        }

    def fresh(self) -> Host:
        """A host that nothing was done to."""
        host = self.lab.host(release=self.release)
        install_fake_gpu(host, GPU)
        host.inside(["sh", "-ec", FURNISH], timeout=300)
        return host

    def by_site(self, *hosts: Host) -> tuple[Taken, Outcome]:
        """Runs site.yml against hosts, over new connections."""
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        folder.mkdir()
        play = Play(self.lab, folder, playbook="site.yml", variables=self.variables)
        # No connection that an earlier run left open; the path must be short.
        done = play.run(*hosts, ansible_control_path_dir=str(self.lab.folder / f"c{self._runs}"))
        return Taken(done.seconds, tasks(done.text)), done

    def by_list(self, host: Host) -> Taken:
        """Types the guide's commands: one login as root, one as the account."""
        pyz, lock = self.folder / "sdops-runtime.pyz", self.folder / "pip.txt"
        lock.write_bytes(self._lock.read_bytes())
        pins = [] if self.real_torch else [_spec(pin) for pin in STACK.conda if pin.name != "python"]
        values = {
            "packages": PACKAGES,
            "miniconda_url": self._installer,
            "channels": self.variables["sdops_conda_channel_alias"],
            "cuda": STACK.cuda,
            "python": STACK.python,
            "conda_packages": " ".join(pins),
            "index": self.variables["sdops_pip_index_url"],
            "index_host": self._index.address,
            "token": self.variables["hub_token_value"],
        }
        run, config = self.lab.controller.run, self.lab.controller.ssh_config
        build = run([sys.executable, ROOT / "runtime" / "build_pyz.py", pyz])
        root = self._type(host, "root", guide.ROOT, values)
        copied = run(["scp", "-q", "-F", config, lock, pyz, f"sdops@{host.name}:"])
        account = self._type(host, "sdops", guide.ACCOUNT, values)
        rest = build.seconds + copied.seconds
        steps = (*root.steps, *account.steps, Step("runtime", "build and copy", rest))
        return Taken(root.seconds + account.seconds + rest, steps)

    def packages(self, host: Host) -> str:
        """What pip finds in the account's environment."""
        script = "conda activate env1 && python -m pip list --disable-pip-version-check --format=freeze"
        return host.run(["bash", "-lc", script], user="sdops", timeout=120).stdout

    def _type(self, host: Host, user: str, script: str, values: Mapping[str, object]) -> Taken:
        head = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())
        done = host.run(["bash", "-s"], user=user, stdin=head + script + "at end\n", timeout=600)
        marks = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("@ ")]
        times = [(name, float(time)) for name, time in marks]
        following = times[1:]
        steps = [Step(name, name, end - at) for (name, at), (_, end) in zip(times, following, strict=False)]
        return Taken(done.seconds, tuple(steps))

    def _files(self, folder: Path) -> Service:
        return self._serve("-m", "http.server", "--directory", folder, port_by_name=False)

    def _serve(self, *words: str | Path, port_by_name: bool = True) -> Service:
        port = ["--port", "8080"] if port_by_name else ["8080"]
        return self.lab.serve(lambda address: [sys.executable, *words, "--bind", address, *port], 8080)


def _spec(pin: stack.Pin) -> str:
    """How conda's command line asks for a pinned package."""
    version = pin.version if pin.version[0] in "<>=!~" else f"={pin.version}"
    return f"{pin.name}{version}={pin.build}" if pin.build else f"{pin.name}{version}"


def tasks(text: str) -> tuple[Step, ...]:
    """The tasks of a run by the json callback's report, each until the next one begins."""
    told, _ = json.JSONDecoder().raw_decode(text[text.find("{") :])
    listed = [task["task"] for play in told["plays"] for task in play["tasks"]]
    begun = [datetime.fromisoformat(task["duration"]["start"]) for task in listed]
    if not listed:
        return ()
    ends = [*begun[1:], datetime.fromisoformat(listed[-1]["duration"].get("end", begun[-1].isoformat()))]
    steps = []
    for task, start, end in zip(listed, begun, ends, strict=True):
        role, _, name = task["name"].partition(" : ")
        steps.append(Step(role, name, (end - start).total_seconds()))
    return tuple(steps)
