"""What ``sdops run`` adds to the making of pictures on a host, against the guide's way by hand.

    make bench-run                             (or: make bench-run ROUNDS=5)

A test host behind 50 ms a round trip and 20 Mbit/s; a 12-megapixel JPEG (matplotlib's portrait of Grace
Hopper, in the public domain, scaled up, with a film's grain, so that it has the size that cameras give); the
demo model, with the same libraries, prompt and settings both ways. By hand: scp the photograph, ssh to a
script like the guide's that imports, loads and makes the pictures, scp them back. With sdops: with the
worker stopped before (cold), and with the model in its memory (warm). Turn by turn in one run, so that other
load on the machine falls on all alike. It reports and judges nothing; it fails only where something did not
work.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path

import makers
from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError
from people import Person
from PIL import Image, ImageChops
from rich.console import Console
from rich.table import Table

ROUND_TRIP, RATE = 0.05, "20mbit"
IMAGES, STEPS, PROMPT = 4, 10, "wearing a christmas hat"
QUALITY, GRAIN = 92, 12
ENV = "/home/sdops/miniconda3/envs/env1"

#: The guide's script, with its model, prompt and settings, and the times that are compared here.
SCRIPT = """import time
from io import BytesIO
import torch
from PIL import Image
from diffusers import StableDiffusionImg2ImgPipeline
pipe = StableDiffusionImg2ImgPipeline.from_pretrained("{model}")
image = Image.open("photo.jpg").convert("RGB")
width = 512
height = int(width * image.height / image.width) // 8 * 8
image = image.resize((width, height))
for number in range({images}):
    began = time.time()
    generator = torch.Generator().manual_seed(7 + number)
    made = pipe(prompt="{prompt}", init_image=image, strength=0.8, guidance_scale=7.5,
                num_inference_steps={steps}, generator=generator).images[0]
    made.save(f"made-{{number}}.png")
    print("took", time.time() - began, flush=True)
"""


@dataclass(frozen=True)
class Taken:
    """Seconds, from the start of the command or the first of them. generation: making pictures alone.

    first: until the first picture lies here. up, down: bytes on the host's cable.
    """

    total: float
    first: float
    generation: float
    up: int
    down: int

    @property
    def overhead(self) -> float:
        """What is not generation."""
        return self.total - self.generation


def write_photo(path: Path) -> None:
    """A photograph of 12 megapixels."""
    source = next(one for one in files("matplotlib") or [] if one.name == "grace_hopper.jpg").locate()
    with Image.open(str(source)) as image:
        large = image.convert("RGB").resize((3200, 3750), Image.Resampling.BICUBIC)
    grain = Image.effect_noise(large.size, GRAIN).convert("RGB")
    ImageChops.add(large, grain, 1, -128).save(path, quality=QUALITY)


class Bench:
    """One host, and the ways to have pictures made on it."""

    def __init__(self, lab: Lab, guide: makers.Guide, host: Host, folder: Path) -> None:
        self._lab, self._host = lab, host
        self._person = Person.of(lab, folder / "person", host)
        self.photo = self._person.folder / "photo.jpg"
        write_photo(self.photo)
        model = f"/home/sdops/.cache/{guide.model.relative_to(guide.cache)}"
        text = SCRIPT.format(model=model, images=IMAGES, prompt=PROMPT, steps=STEPS)
        host.put("/home/sdops/script.py", text)
        host.inside(["chown", "sdops:sdops", "/home/sdops/script.py"])

    def by_hand(self) -> Taken:
        """The guide's way. The first picture is here when all are: the script's end is what scp waits for."""
        place, here = f"sdops@{self._host.name}", self._person.folder / "by-hand"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        config = ["-F", self._lab.controller.ssh_config, "-q"]
        run = self._lab.controller.run

        def act() -> float:
            run(["scp", *config, self.photo, f"{place}:photo.jpg"])
            made = run(["ssh", *config, place, f"{ENV}/bin/python script.py"], timeout=300)
            run(["scp", *config, f"{place}:made-*.png", here])
            return sum(float(line.split()[1]) for line in made.stdout.splitlines() if line.startswith("took"))

        return self._measure(act, here)

    def by_sdops(self, cold: bool) -> Taken:
        """``sdops run``. cold: with the worker stopped before."""
        if cold:
            self._host.run(["systemctl", "--user", "stop", "sdops-runtime"], user="sdops")
        here = self._person.folder / "by-sdops"
        shutil.rmtree(here, ignore_errors=True)

        def act() -> float:
            words = ["run", "photo.jpg", PROMPT, "--model", "demo", "--steps", STEPS, "--images", IMAGES]
            ran = self._person.sdops(*words, "--seed", 7, "--out", here, "--host", self._host.name, "--json")
            told = json.loads(ran.stdout)
            if not told["ok"]:
                raise SystemExit(ran.stdout + ran.stderr)
            return sum(picture["seconds"] for picture in told["pictures"])

        return self._measure(act, here)

    def _measure(self, act: Callable[[], float], here: Path) -> Taken:
        before = self._bytes()
        began = time.monotonic()
        first: list[float] = []
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.01):
                if here.exists() and any(path.suffix == ".png" for path in here.iterdir()):
                    first.append(time.monotonic() - began)
                    return

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        generation = act()
        total = time.monotonic() - began
        ended.set()
        watcher.join()
        up, down = (now - then for now, then in zip(self._bytes(), before, strict=True))
        return Taken(total, first[0] if first else total, generation, up, down)

    def _bytes(self) -> tuple[int, int]:
        """Bytes that the host has got and sent."""
        told = self._host.inside(["cat", "/proc/net/dev"]).stdout
        counters = told.partition("eth0:")[2].split()
        return int(counters[0]), int(counters[8])


def measure(rounds: int) -> tuple[dict[str, list[Taken]], int]:
    """What each way took in each round, and the photograph's size."""
    taken: dict[str, list[Taken]] = {"by hand": [], "sdops run, cold": [], "sdops run, warm": []}
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="sdops-bench-") as name:
        folder = Path(name)
        guide = makers.find(folder / "cache")
        with makers.several(lab, guide, folder / "play") as (host,):
            host.link.shape(delay=ROUND_TRIP / 2, rate=RATE)
            bench = Bench(lab, guide, host, folder)
            # Not counted: what is read from the disk for the first time, and the inventory's cache.
            bench.by_sdops(cold=True)
            for number in range(rounds):
                taken["by hand"].append(bench.by_hand())
                # Nothing that an earlier round has sent counts for this one.
                host.inside(["sh", "-c", "rm -rf /home/sdops/.local/share/sdops/inputs"])
                taken["sdops run, cold"].append(bench.by_sdops(cold=True))
                host.inside(["sh", "-c", "rm -rf /home/sdops/.local/share/sdops/inputs"])
                taken["sdops run, warm"].append(bench.by_sdops(cold=False))
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            return taken, bench.photo.stat().st_size


def report(taken: dict[str, list[Taken]], size: int) -> None:
    """Prints medians, and what they are to the goals."""
    table = Table(title=f"{IMAGES} pictures, {STEPS} steps at strength 0.8; seconds, medians")
    for column in ("", "total", "first picture", "generation", "overhead", "sent, kB", "fetched, kB"):
        table.add_column(column, justify="right" if column else "left")
    for name, rounds in taken.items():
        columns = ("total", "first", "generation", "overhead")
        seconds = [f"{statistics.median(getattr(one, column) for one in rounds):.2f}" for column in columns]
        traffic = [
            f"{statistics.median(getattr(one, way) for one in rounds) / 1000:.0f}" for way in ("up", "down")
        ]
        table.add_row(name, *seconds, *traffic)
    Console().print(table)
    hand, warm = taken["by hand"], taken["sdops run, warm"]

    def median(rounds: list[Taken], column: str) -> float:
        return statistics.median(getattr(one, column) for one in rounds)

    total, added = (median(hand, column) / median(warm, column) for column in ("total", "overhead"))
    print(f"By hand takes {total:.1f} times as long as sdops when warm, and adds {added:.1f} times as much.")
    print(f"Added when warm: {median(warm, 'overhead'):.2f} s (goal: under 1.5 s).")
    print(
        f"Sent: {median(warm, 'up') / size:.1%} of the photograph's {size / 1e6:.1f} MB (goal: at most 10 %)."
    )
    print(f"Load of the machine at the end: {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description="Time sdops run against the guide's way.")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    try:
        report(*measure(parser.parse_args().rounds))
    except UnavailableError as reason:
        raise SystemExit(f"No test hosts here: {reason}") from None


if __name__ == "__main__":
    sys.exit(main())
