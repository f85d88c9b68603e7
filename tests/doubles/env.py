"""Stand-in for Miniconda and its environment on a test host: the real ones are gigabytes.

It has their places and their behaviour as far as a launcher sees it: ``conda.sh`` with
``conda activate``, which runs the environment's activate.d, and a Python. That is the
host's own in a venv; in it are the hub's real libraries, of the guide's versions, and in
place of torch, diffusers and the like modules that are named like them and do nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from hosts.host import Host

LOCK = Path(__file__).parents[2] / "runtime" / "sdops_runtime" / "locks" / "guide.txt"
#: huggingface_hub and what it needs. All of it runs without its compiled parts, on any Python from 3.9 on.
HUB = (
    "certifi",
    "charset-normalizer",
    "filelock",
    "fsspec",
    "huggingface-hub",
    "idna",
    "packaging",
    "pyyaml",
    "requests",
    "tqdm",
    "typing-extensions",
    "urllib3",
)

CONDA_SH = """conda() {
    [ "$1" = activate ] || return 2
    if [ ! -x "$HOME/miniconda3/envs/$2/bin/python" ]; then
        echo "EnvironmentNameNotFound: Could not find conda environment: $2" >&2
        return 1
    fi
    export CONDA_PREFIX="$HOME/miniconda3/envs/$2" CONDA_DEFAULT_ENV="$2"
    export PATH="$CONDA_PREFIX/bin:$PATH"
    for hook in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$hook"; done
    echo "conda says something"
}
"""
#: As the role stack_env writes it, and something that only a careless hook does.
HOOK = """export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$CONDA_PREFIX/lib"
echo "a hook says something"
"""

PILLOW = """import sys
from unittest.mock import MagicMock

Image = ImageChops = ImageCms = ImageColor = MagicMock()
sys.modules["PIL.PngImagePlugin"] = MagicMock()
"""
FAKES = {
    "torch": "__version__ = '0'\n",
    "numpy": "",
    "PIL": PILLOW,
    "transformers": "",
    "diffusers": (
        "class StableDiffusionImg2ImgPipeline:\n    def __call__(self, prompt, init_image): pass\n"
    ),
}


def hub_lock() -> str:
    """The part of the guide's lock that is the hub's libraries."""
    blocks = re.split(r"\n(?=\S)", LOCK.read_text())
    wanted = [block for block in blocks if re.split("==", block)[0].lower() in HUB]
    assert len(wanted) == len(HUB), wanted
    return "\n".join(wanted) + "\n"


def hub_libraries(folder: Path) -> Path:
    """Installs the hub's libraries into a folder, from the guide's lock, checked against its hashes."""
    (folder / "requirements.txt").write_text(hub_lock())
    place = ["--target", folder / "libraries", "--python-version", "3.9", "--only-binary", ":all:"]
    platforms = ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, *place, *platforms, "-r", folder / "requirements.txt"], check=True, timeout=300)
    return folder / "libraries"


def conda(host: Host, name: str = "env1", user: str = "sdops", python: str = "python3") -> Path:
    """Makes conda and an environment without libraries, which are root's as yet.

    Returns the folder for libraries, seen from outside. python: what it is made with, on the host.
    """
    home = f"/home/{user}"
    prefix = f"{home}/miniconda3/envs/{name}"
    host.inside(["runuser", "-u", user, "--", python, "-m", "venv", "--without-pip", prefix])
    host.put(f"{home}/miniconda3/etc/profile.d/conda.sh", CONDA_SH)
    host.put(f"{prefix}/etc/conda/activate.d/env_vars.sh", HOOK)
    (site,) = (host.root / prefix.lstrip("/") / "lib").glob("python3*/site-packages")
    return site


def furnish(host: Host, libraries: Path | None, name: str = "env1", user: str = "sdops") -> None:
    """Makes the stand-in in the account's home."""
    site = conda(host, name, user)
    if libraries is not None:
        shutil.copytree(libraries, site, dirs_exist_ok=True)
    for module, text in FAKES.items():
        (site / f"{module}.py").write_text(text)
    host.inside(["chown", "-R", f"{user}:{user}", f"/home/{user}"])
