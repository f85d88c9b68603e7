"""What ``sdops run`` adds to the making of pictures on a host, against the guide's way by hand.

    make bench-run                             (or: make bench-run ROUNDS=5)

A test host behind 50 ms a round trip and 20 Mbit/s; a 12-megapixel JPEG (matplotlib's portrait of Grace
Hopper, in the public domain, scaled up, with a film's grain, so that it has the size that cameras give); the
demo model, with the same libraries, prompt and settings both ways. By hand: scp the photograph, ssh to a
script like the guide's that imports, loads and makes the pictures, scp them back. With sdops: with the
worker stopped before (cold), and with the model in its memory (warm). Turn by turn in one run, so that other
load on the machine falls on all alike. It reports and judges nothing; it fails only where something did not
work.

Generation is what the pipeline's calls took, without the saving, both ways. A picture counts as here once its
last byte is. Host and controller share a clock, so when the host had made the last picture can be told here.
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
from dataclasses import dataclass, replace
from importlib.metadata import files
from pathlib import Path
from typing import Any

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
#: The goals: seconds that sdops adds when warm, and what it sends of the photograph's bytes.
ADDED, SENT = 1.5, 0.1
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
    print("took", time.time() - began, flush=True)
    made.save(f"made-{{number}}.png")
"""


@dataclass(frozen=True)
class Taken:
    """Seconds, from the start of the command or the first of them. generation: making pictures alone.

    first: until the first picture lies here. up, down: bytes on the host's cable. Of sdops alone, after: from
    when the last picture was made; last: that one's bytes; hidden: pictures that were here by then.
    """

    total: float
    first: float
    generation: float
    up: int
    down: int
    after: float = 0
    last: int = 0
    hidden: int = 0

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

        return self._measure(act, here)[0]

    def by_sdops(self, cold: bool) -> Taken:
        """``sdops run``. cold: with the worker stopped before."""
        if cold:
            self._host.run(["systemctl", "--user", "stop", "sdops-runtime"], user="sdops")
        here = self._person.folder / "by-sdops"
        shutil.rmtree(here, ignore_errors=True)
        pictures: list[dict[str, Any]] = []

        def act() -> float:
            words = ["run", "photo.jpg", PROMPT, "--model", "demo", "--steps", STEPS, "--images", IMAGES]
            ran = self._person.sdops(*words, "--seed", 7, "--out", here, "--host", self._host.name, "--json")
            told = json.loads(ran.stdout) if ran.stdout else {}
            if not told.get("ok"):
                raise SystemExit(f"sdops run failed, with {ran.rc}:\n{ran.stdout}{ran.stderr}")
            pictures.extend(told["pictures"])
            return sum(picture["seconds"] for picture in pictures)

        taken, ended = self._measure(act, here)
        made = max(picture["at"] for picture in pictures)
        found = [(here / picture["name"]).stat() for picture in sorted(pictures, key=lambda one: one["at"])]
        hidden = sum(one.st_mtime < made for one in found)
        return replace(taken, after=ended - made, last=found[-1].st_size, hidden=hidden)

    def _measure(self, act: Callable[[], float], here: Path) -> tuple[Taken, float]:
        """What something took, and when it ended, by the clock."""
        before = self._bytes()
        began = time.monotonic()
        first: list[float] = []
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.01):
                if here.exists() and any(map(_is_whole, here.glob("*.png"))):
                    first.append(time.monotonic() - began)
                    return

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        generation = act()
        total, clock = time.monotonic() - began, time.time()
        ended.set()
        watcher.join()
        up, down = (now - then for now, then in zip(self._bytes(), before, strict=True))
        return Taken(total, first[0] if first else total, generation, up, down), clock

    def _bytes(self) -> tuple[int, int]:
        """Bytes that the host has got and sent."""
        told = self._host.inside(["cat", "/proc/net/dev"]).stdout
        counters = told.partition("eth0:")[2].split()
        return int(counters[0]), int(counters[8])


def _is_whole(path: Path) -> bool:
    """Whether a PNG has its end: scp writes to the file's own name."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        return file.read(4) == b"IEND"


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


def report(taken: dict[str, list[Taken]], size: int, load: float) -> None:
    """Prints medians, and what they are to the goals. load: of the machine, at the start."""
    table = Table(title=f"{IMAGES} pictures, {STEPS} steps at strength 0.8; seconds, medians")
    for column in ("", "total", "first picture", "generation", "overhead", "sent, kB", "fetched, kB"):
        table.add_column(column, justify="right" if column else "left")
    for name, rounds in taken.items():
        seconds = [f"{median(rounds, column):.2f}" for column in ("total", "first", "generation", "overhead")]
        traffic = [f"{median(rounds, way) / 1000:.0f}" for way in ("up", "down")]
        table.add_row(name, *seconds, *traffic)
    Console().print(table)
    hand, cold, warm = taken.values()
    for name, ours in (("cold", cold), ("warm", warm)):
        total, first, added = (
            median(hand, column) / median(ours, column) for column in ("total", "first", "overhead")
        )
        print(
            f"By hand, as a multiple of sdops {name}: {total:.1f} in all, {first:.1f} to the first picture,"
        )
        print(f"{added:.1f} of what is added to generation.")
    added, sent = median(warm, "overhead"), median(warm, "up") / size
    hidden, after = min(one.hidden for one in warm), median(warm, "after")
    way = median(warm, "last") * 8 / (int(RATE.removesuffix("mbit")) * 1e6) + ROUND_TRIP / 2
    goal(f"Added when warm: {added:.2f} s", f"under {ADDED} s", added < ADDED)
    goal(f"Sent: {sent:.1%} of the photograph's {size / 1e6:.1f} MB", f"at most {SENT:.0%}", sent <= SENT)
    goal(f"Here when the last was made: {hidden} of {IMAGES}", "all but that one", hidden >= IMAGES - 1)
    print(f"From then to the end when warm: {after:.2f} s, of which that one's way here takes {way:.2f} s.")
    print(f"Load of {os.cpu_count()} cores, at the start and the end: {load:.1f}, {os.getloadavg()[0]:.1f}.")


def median(rounds: list[Taken], column: str) -> float:
    """The median of one column."""
    return statistics.median(getattr(one, column) for one in rounds)


def goal(found: str, wanted: str, reached: bool) -> None:
    """Prints what was found, and whether it is what was wanted."""
    print(f"{found} (goal: {wanted}: {'reached' if reached else 'not reached'}).")


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description="Time sdops run against the guide's way.")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    try:
        load = os.getloadavg()[0]
        report(*measure(parser.parse_args().rounds), load)
    except UnavailableError as reason:
        raise SystemExit(f"No test hosts here: {reason}") from None


if __name__ == "__main__":
    sys.exit(main())
