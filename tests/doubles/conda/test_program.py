"""The look-alike conda does, on this machine and over loopback, what the roles rely on."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hosts import machine
from sdops_runtime import stack

from . import mirror

pytestmark = pytest.mark.hosts

GUIDE = stack.load("guide")
PINS = [
    f"{pin.name}{'' if pin.version[0] in '<>' else '='}{pin.version}{'=' + pin.build if pin.build else ''}"
    for pin in GUIDE.conda
]
CHANNELS = ["--override-channels", *(word for name in GUIDE.channels for word in ("-c", name))]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[mirror.Mirror, str]]:
    """The mirror, and its address on loopback."""
    try:
        machine.require()
        made = mirror.ready()
    except machine.UnavailableError as reason:
        pytest.skip(str(reason))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(made.folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield made, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class Conda:
    """An installation of it."""

    def __init__(self, home: Path, made: mirror.Mirror, url: str) -> None:
        self.home, self.prefix = home, home / "miniconda3"
        self.installer = made.folder / "miniconda" / f"Miniconda3-{mirror.VERSIONS[1]}-Linux-x86_64.sh"
        self.environment = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "CONDA_CHANNEL_ALIAS": f"{url}/channels",
        }
        self.install()

    def install(self) -> subprocess.CompletedProcess[str]:
        return self.shell(f"sh {self.installer} -b -p {self.prefix}")

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script], env=self.environment, capture_output=True, text=True, timeout=120
        )

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.prefix / "bin/conda"), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def conda(served: tuple[mirror.Mirror, str], tmp_path: Path) -> Conda:
    return Conda(tmp_path, *served)


def test_the_guides_commands_give_its_versions_and_an_explicit_list_gives_them_again(conda: Conda) -> None:
    made = conda("create", "-y", "-n", "env1", *CHANNELS, *PINS)
    assert made.returncode == 0, made.stderr
    told = conda.shell(
        f". {conda.prefix}/etc/profile.d/conda.sh && conda activate env1 &&"
        " python -c 'import torch, numpy; print(torch.version.cuda, numpy.__version__)'"
        ' && conda deactivate && echo "${CONDA_PREFIX-none} $PATH"'
    )
    assert told.stdout.splitlines() == [
        f"{GUIDE.cuda} {GUIDE.pin('numpy')}",
        f"none {conda.prefix}/condabin:/usr/bin:/bin",
    ]
    (conda.home / "list.txt").write_text(conda("list", "-n", "env1", "--explicit", "--md5").stdout)
    again = conda("create", "-y", "-n", "env2", *CHANNELS, "--file", str(conda.home / "list.txt"))
    assert again.returncode == 0, again.stderr
    first, second = (json.loads(conda("list", "-n", name, "--json").stdout) for name in ("env1", "env2"))
    assert first == second
    assert len(first) > len(PINS)
    repeated = json.loads(conda("install", "-y", "--json", "-n", "env1", *CHANNELS, *PINS).stdout)
    assert "actions" not in repeated
    assert conda("run", "-n", "env1", "sh", "-c", "exit 7").returncode == 7


def test_without_the_pins_it_goes_wrong_as_it_really_does(conda: Conda) -> None:
    conda("create", "-y", "-n", "env1", *CHANNELS, "python=3.9", f"pytorch={GUIDE.pin('torch')}")
    failed = conda("run", "-n", "env1", "python", "-c", "import torch")
    assert "undefined symbol: iJIT_NotifyEvent" in failed.stderr
    conda("install", "-y", "-n", "env1", *CHANNELS, *[pin for pin in PINS if pin.startswith("mkl")])
    told = conda("run", "-n", "env1", "python", "-c", "import torch; print(torch.version.cuda)")
    assert told.stdout == "None\n"  # the CPU build: the solver's own choice


def test_terms_of_the_default_channels_are_not_accepted_in_silence(conda: Conda) -> None:
    refused = conda("create", "-y", "-n", "env1", "python")
    assert refused.returncode == 1
    assert "CondaToSNonInteractiveError" in refused.stderr
    as_json = conda("create", "-y", "--json", "-n", "env1", "python")
    assert json.loads(as_json.stdout)["exception_name"] == "CondaToSNonInteractiveError"


def test_a_package_that_is_not_the_listed_one_is_refused(conda: Conda) -> None:
    conda("create", "-y", "-n", "env1", *CHANNELS, "probe")
    listed = conda("list", "-n", "env1", "--explicit", "--md5").stdout
    (conda.home / "list.txt").write_text(listed[:-33] + "0" * 32 + "\n")
    refused = conda("create", "-y", "-n", "env2", *CHANNELS, "--file", str(conda.home / "list.txt"))
    assert "ChecksumMismatchError" in refused.stderr


def test_the_installer_never_touches_what_exists_and_leaves_half_a_prefix_when_cut_short(
    conda: Conda,
) -> None:
    again = conda.install()
    assert (again.returncode, again.stderr.startswith("ERROR: File or directory already exists")) == (1, True)
    half = conda.home / "half.sh"
    half.write_bytes(conda.installer.read_bytes()[:10_000_000])
    failed = conda.shell(f"sh {half} -b -p {conda.home}/half")
    assert failed.returncode != 0
    assert (conda.home / "half").exists()
    unnamed = conda.shell(f"cp {conda.installer} {conda.home}/installer && sh {conda.home}/installer -b")
    assert "Please run using" in unnamed.stderr


def test_a_channel_that_does_not_answer_is_an_error_with_its_address(conda: Conda) -> None:
    conda.environment["CONDA_CHANNEL_ALIAS"] = "http://127.0.0.1:9"
    failed = conda("create", "-y", "-n", "env1", *CHANNELS, "probe")
    assert failed.returncode == 1
    assert "CondaHTTPError" in failed.stderr
    assert "127.0.0.1:9" in failed.stderr
