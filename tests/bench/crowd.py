"""How a fleet's images per second grow with its hosts, and what a very large one costs its head.

    make bench-fleet

Hosts: a real scheduler and real workers on this machine, with real TLS; a picture is a pause and so many
bytes, since this machine's cores are not GPUs. Efficiency is images a second and worker, against one worker.

A very large fleet: the head's side alone, with a thousand members that need no time, and a job of a million
pictures of which so many are made. What is measured is what the head does for each picture: choosing,
cutting, checking, saving, writing it down, one result after the other, each from another member. Who is there
comes as the engine sends it. What the engine needs for handing a piece over is measured with a real one, and
belongs to it: its scheduler is a process of its own, its client a thread beside.
"""

import argparse
import contextlib
import cProfile
import functools
import hashlib
import io
import os
import pickle
import pstats
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import crews
from sdops_runtime import course
from sdops_runtime.course import Place
from sdops_runtime.fleet import dask_engine, member, membership, piece, sharing
from sdops_runtime.fleet.engine import Done, There
from sdops_runtime.inputs import Inputs
from sdops_runtime.jobfolder import Job, Journal
from sdops_runtime.protocol import Event, JobRequest, Settings

#: Of a picture of 512 x 512 pixels, about.
BYTES = 400_000
ABOUT = {"model": "none", "revision": None, "stack": None, "versions": {}, "device": "none", "dtype": "none"}


class Sleeper(member.Member):
    """A member that sleeps instead of computing. PAUSE: seconds for a picture, from the environment."""

    def begin(self, topic, digest, text, size):
        """Has nothing to load."""
        return beginning(self.name, len(JobRequest.from_json(text).items()))

    def make(self, topic, number, text, inputs):
        """Sleeps, and gives pictures of random bytes."""
        items = piece.read(text).items()
        pause = float(os.environ["PAUSE"]) * len(items)
        time.sleep(pause)
        return result(self.name, items, lambda: os.urandom(BYTES), pause)


def beginning(name, total, batch=8):
    """What a member says that has begun."""
    loaded = {**ABOUT, "batch": batch, "first": 0, "seconds": 0.0}
    planned = {"total": total, "passes": 1, "fewest": 1}
    return {"name": name, "events": [["loaded", loaded], ["planned", planned]]}


@functools.lru_cache(maxsize=4)
def digest(data):
    """Of a picture's bytes; at once if it is the same as before, which the head does not know."""
    return hashlib.sha256(data).hexdigest()


def result(name, items, data, seconds):
    """What a member gives for a piece."""
    events, files = [], {}
    for item in items:
        file = f"{item.index}.png"
        files[file] = data()
        told = {"index": item.index, "seed": item.seed, "input": item.input, "prompt": item.prompt}
        more = {"sha256": digest(files[file]), "input_sha256": "", "seconds": seconds}
        size = {"width": 512, "height": 512, "flagged": False, "retried": False, "name": file}
        events.append(["image", {**told, **more, **size}])
    return {"name": name, "events": [*events, ["done", {}]], "files": files, "seconds": seconds}


class Thousand:
    """Members that need no time, and an engine that needs none: what is left is the head."""

    def __init__(self, count, data):
        self._rows = {
            f"gpu{n}/0": [f"gpu{n}/0", f"tls://10.0.{n // 250}.{n % 250}:8790", f"Worker-{n}", False]
            for n in range(count)
        }
        self._done = deque()
        self._tickets = 0
        self._data = data
        self._turn = 0

    def members(self):
        # As ``DaskCrew``: what comes over the network is decoded, and two tables are made of it.
        told = pickle.loads(pickle.dumps(list(self._rows.values())))
        self._addresses = {name: address for name, address, _, _ in told}
        return {name: There(process, busy) for name, _, process, busy in told}

    def toll(self, ticket):
        return 0

    def hand(self, action, words, among):
        self._tickets += 1
        self._turn += 1
        addresses = sorted(among)
        name = addresses[self._turn % len(addresses)]
        if action == "begin":
            self._done.append(Done(self._tickets, beginning(name, 0)))
        else:
            items = piece.read(words[2]).items()
            self._done.append(Done(self._tickets, result(name, items, lambda: self._data, 0.5 * len(items))))
        return self._tickets

    def withdraw(self, ticket):
        pass

    def next(self, seconds):
        return self._done.popleft() if self._done else None

    def heard(self):
        return []

    def close(self):
        pass


def handing(folder, members, pieces=400):
    """Seconds that a real engine's client takes for handing a piece to one of so many members."""
    with contextlib.ExitStack() as stack:
        crew = crews.Crew(folder / "crew", 1)
        crew.scheduler = crew.head.start("fleet-schedule")
        stack.callback(crew.end)
        crews.wait_for(lambda: '"scheduling"' in crew.head.log, "the scheduler had begun")
        one = dask_engine.DaskCrew(crew.head.membership, "bench")
        stack.callback(one.close)
        names = [f"gpu{n}/0" for n in range(members)]
        one._addresses = {name: f"tls://10.0.0.{n}:8790" for n, name in enumerate(names)}
        began = time.process_time()
        for number in range(pieces):
            one.hand("make", ("bench", number, "x" * 2000, [bytes(BYTES // 4)]), names)
        one.members()  # which waits until all was sent
        return (time.process_time() - began) / pieces


def hosts(count, images, folder):
    """Images a second with so many workers."""
    with crews.Crew(folder / "crew", count) as crew:
        for number in range(count):
            crew.workers[str(number)] = crew.hosts[number].start_script(__file__, "sleep")
        crews.wait_for(lambda: len(crew.there()) == count, "all were there")
        picture(folder / "in.png")
        wanted = JobRequest(("in.png",), ("none",), Settings(images=images * count, seed=1))
        one = crew.head.queue.submit(wanted, [folder / "in.png"])
        crews.wait_for(lambda: crew.head.queue.job(one.id).state == "done", "it was done", 600)
        at = [event.data["at"] for event in one.events() if event.kind in ("planned", "done")]
        return images * count / (at[1] - at[0])


def picture(path):
    """Writes a picture of 512 x 512 pixels."""
    from PIL import Image

    Image.effect_noise((512, 512), 50).convert("RGB").save(path)


def head(members, total, images, profile):
    """Seconds before the first picture, and for each picture after it, with the share of each part."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        place = Path(folder)
        (place / "out").mkdir()
        picture(place / "in.png")
        prompts = tuple(f"number {n}" for n in range(total // 10_000))
        request = JobRequest(("in.png",), prompts, Settings(images=10_000, seed=1))
        journal = Journal(Job("", "running", False, place))
        made, first = 0, 0.0
        watch = cProfile.Profile()

        def emit(event: Event) -> None:
            nonlocal made, first
            journal.append(event)
            if event.kind == "image":
                if not made:
                    first = time.monotonic()
                    if profile:
                        watch.enable()
                made += 1
                if made == images:
                    raise KeyboardInterrupt

        share = sharing.Sharing(lambda topic: Thousand(members, os.urandom(BYTES)), "bench")
        began = time.monotonic()
        # Not by course.run: it would say, rightly, that the disk is too small for all of them.
        tally = course.Tally(request, emit)
        inputs = Inputs(request, [place / "in.png"])
        with contextlib.suppress(KeyboardInterrupt):
            share(request, inputs, Place(place / "out", overwrite=True), tally)
        watch.disable()
        ended = time.monotonic()
        if profile:
            text = io.StringIO()
            pstats.Stats(watch, stream=text).sort_stats("cumulative").print_stats(28)
            print(text.getvalue())
        return first - began, (ended - first) / images


def main():
    if sys.argv[1:] == ["sleep"]:
        member.Member = Sleeper
        dask_engine.work(membership.read(), 0, "cpu", 600, lambda: None)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=0.25, help="for a picture")
    parser.add_argument("--images", type=int, default=160, help="for each worker")
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--total", type=int, default=1_000_000)
    parser.add_argument("--made", type=int, default=20_000, help="of the total")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    os.environ["PAUSE"] = str(options.seconds)
    rates = {}
    for count in options.hosts:
        with tempfile.TemporaryDirectory() as folder:
            rate = rates[count] = hosts(count, options.images, Path(folder))
        share = rate / count / (rates[1] if 1 in rates else 1 / options.seconds)
        print(f"{count} workers: {rate:.2f} images/s, efficiency {share:.2f}")
    before, each = head(options.members, options.total, options.made, options.profile)
    print(f"{options.members} members, {options.total} pictures: {before:.1f} s before the first picture,")
    print(f"then {each * 1e3:.2f} ms of the head for each ({1 / each:.0f} images/s at most)")
    with tempfile.TemporaryDirectory() as folder:
        takes = handing(Path(folder), min(options.members, sharing.CHOICE))
    print(f"The engine's client needs {takes * 1e3:.2f} ms beside for each piece of one batch or more.")


if __name__ == "__main__":
    main()
