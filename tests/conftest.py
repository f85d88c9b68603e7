"""What all tests share: one thread, a cache of their own, the demo model. Python 3.9."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# What is started in the background inherits that Ctrl-C is ignored, and so would everything from here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is imported: two threads on a busy machine are many times slower than one here,
# and their sums round differently.
os.environ["OMP_NUM_THREADS"] = "1"

INTERN = sys.intern

# The runtime's tests run on the guide's Python, too, which the test hosts are too new for.
if sys.version_info >= (3, 11):  # noqa: UP036
    pytest_plugins = ["hosts.fixtures", "makers"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keeps the tests away from the person's caches and tokens."""
    patch = pytest.MonkeyPatch()
    cache = tmp_path_factory.mktemp("cache")
    patch.setenv("XDG_CACHE_HOME", str(cache))
    patch.setenv("HF_HOME", str(cache / "huggingface"))
    patch.delenv("HF_TOKEN", raising=False)
    yield cache
    patch.undo()


@pytest.fixture(scope="module", autouse=True)
def unchanged_python():
    """Fails the tests that let a library change Python itself, instead of those that suffer from it."""
    yield
    assert sys.intern is INTERN, "Ansible's modules were imported here, which breaks torch's import"


@pytest.fixture(scope="session")
def libraries():
    """Imports the libraries once; their own warnings are not ours."""
    from sdops_runtime import dialect

    dialect.libraries()


@pytest.fixture(scope="session")
def demo_folder(own_cache, libraries) -> Path:
    """The demo model, built once."""
    from sdops_runtime import demo

    return demo.ensure()


@pytest.fixture(scope="session")
def engine(demo_folder):
    """The demo model, loaded on the CPU in float32."""
    import torch
    from sdops_runtime import device, pipeline

    return pipeline.load(demo_folder, device.pick("cpu"), torch.float32)


@pytest.fixture
def photo(tmp_path) -> Path:
    """A small JPEG with structure, wider than high."""
    from PIL import Image

    path = tmp_path / "photo.jpg"
    bands = [Image.linear_gradient("L").rotate(turn).resize((300, 200)) for turn in (0, 90, 180)]
    Image.merge("RGB", bands).save(path, quality=95)
    return path


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 34 MiB; needs root."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=34m", "tmpfs", str(place)], stderr=subprocess.PIPE
    )
    if made.returncode:
        pytest.skip("mounting is not allowed here: " + made.stderr.decode().strip())
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
