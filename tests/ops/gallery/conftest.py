"""Pictures that were not made by any model, and a real browser to look at their page with."""

import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from sdops.jobs import manifest
from sdops.jobs.entry import Input, Item, Output
from sdops_runtime import png
from sdops_runtime.record import Record

CHROMIUM, DRIVER = "chromium", "chromedriver"


def draw(number, size=(96, 64)):
    """A picture of one colour, another for each number."""
    return Image.new("RGB", size, (number * 37 % 256, number * 101 % 256, number * 61 % 256))


@dataclass
class Folder:
    """A folder with an input, into which pictures are put as a job would."""

    path: Path
    source: Path

    @property
    def sha256(self):
        return sha256(self.source.read_bytes()).hexdigest()

    def add(self, seed, prompt="a hat", name="", noted=True, seconds=1.5, named=None, **settings):
        """One picture, and its line in the manifest. named: the model, as that line has it."""
        record = Record(
            **{
                "model": "demo",
                "revision": None,
                "stack": "cu130",
                "versions": {},
                "device": "NVIDIA A100",
                "dtype": "float16",
                "batch": 1,
                "prompt": prompt,
                "seed": seed,
                "index": 0,
                "strength": 0.8,
                "guidance": 7.5,
                "steps": 50,
                "width": 96,
                "height": 64,
                "background": "white",
                "input_sha256": self.sha256,
                "input_size": (300, 200),
                "flagged": False,
                "retried_float32": False,
                **settings,
            }
        )
        name = name or f"photo-{seed}.png"
        digest = png.save_png(draw(seed), self.path / name, record, overwrite=True)
        if noted:
            source = Input(manifest.shorten(self.source, self.path), record.input_sha256)
            output = Output(name, digest, 96, 64, seconds, record.flagged, False)
            whose = {"run": "r", "job": None, "host": "gpu1", "time": "2026-11-23T00:00:00Z", "index": 0}
            what = {"prompt": prompt, "seed": seed, "settings": {"model": named}, "batch": 1, "engine": {}}
            manifest.append(self.path, Item(**whose, **what, input=source, output=output, failure=None))
        return self.path / name


@pytest.fixture
def folder(tmp_path, photo):
    """``pictures``, beside the photograph that they are made from."""
    path = tmp_path / "pictures"
    path.mkdir()
    return Folder(path, photo)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless Chromium with a home of its own.

    Where there is none, tests skip and say so; with SDOPS_REQUIRE_HOSTS=1 they fail instead.
    """
    missing = [name for name in (CHROMIUM, DRIVER) if shutil.which(name) is None]
    if missing:
        reason = f"there is no {' and no '.join(missing)} on this machine"
        if os.environ.get("SDOPS_REQUIRE_HOSTS"):
            pytest.fail(f"SDOPS_REQUIRE_HOSTS is set, but {reason}")
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which(CHROMIUM))
    home = tmp_path_factory.mktemp("chromium")
    # No sandbox: it does not run as root. The last: nothing of its own goes to any network.
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1200,900",
        f"--user-data-dir={home}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which(DRIVER))))
    yield driver
    driver.quit()
