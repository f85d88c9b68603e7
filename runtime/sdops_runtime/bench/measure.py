"""Measures the guide's script and this runtime, turn by turn, and works out what they come to."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Callable, Optional

import sdops_runtime
from sdops_runtime import compiling, dialect, gains, stack
from sdops_runtime.bench import models
from sdops_runtime.compiling import Load
from sdops_runtime.errors import SdopsError

#: How many pictures of both ways are compared.
COMPARED = 4
Say = Callable[[str], None]
#: Name, pictures, and batch size if it is not left to the runtime.
_Job = tuple[str, int, Optional[int]]


@dataclass(frozen=True)
class Plan:
    """What to measure. full: the full size; otherwise the demo's. rounds: of everything but the UNet alone.

    pixels: side of the square pictures. many: pictures of the long job. batches: sizes to measure beside the
    one that a job gets by itself.
    """

    device: str
    full: bool
    rounds: int
    switches: bool
    folder: Path
    pixels: int
    steps: int
    many: int
    batches: tuple[int, ...]


def plan(device: str, full: bool, rounds: int, switches: bool, folder: Path) -> Plan:
    """The guide's size and steps in full size; else what two CPU cores can do. rounds: 0 is as usual."""
    if full:
        return Plan(device, full, rounds or 2, switches, folder, 512, 50, 16, (1, 2, 4, 8))
    return Plan(device, full, rounds or 5, switches, folder, 256, 10, 16, (1, 8))


class Process:
    """One of the two ways, in a Python of its own."""

    def __init__(
        self, way: str, plan: Plan, model: Path, source: Path, folder: Path, switches: Sequence[str] = ()
    ) -> None:
        environment = {
            **_environment(),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled"),
        }
        if not plan.full:
            # Two threads in the small model's operators wait for each other longer than they compute.
            environment.setdefault("OMP_NUM_THREADS", "1")
        argv = [sys.executable, "-m", f"sdops_runtime.bench.{way}"]
        argv += [str(model), str(source), plan.device, str(plan.steps), *switches]
        # What its libraries say is asked for only where it ends.
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # of what could not be said to one that has ended
            self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """Has it do something; returns what it measured. Raises SdopsError("internal-error")."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **words}) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith("{"):
                    told: dict[str, Any] = json.loads(line)
                    return told
        except BrokenPipeError:
            pass
        status = self._process.wait()
        self._said.seek(0)
        said = [line.strip() for line in self._said if line.strip()]
        last = said[-1] if said else "nothing"
        raise SdopsError("internal-error", f"The measured process ended with {status}. It said last: {last}")


def measure(plan: Plan, say: Say) -> dict[str, Any]:
    """The whole of it, as one JSON object. say: told how far it is."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    say("building the model")
    model = Path(_prepare(plan.device, str(plan.folder), "full" if plan.full else "small")["model"])
    source = plan.folder / f"input-{plan.pixels}.png"
    _draw(source, plan.pixels)
    load = os.getloadavg()[0]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=plan.folder) as folder:
        run = _Run(plan, model, source, Path(folder), say)
        rows = run.rows()
    return {
        "model": "Stable Diffusion 1.4, random weights" if plan.full else "demo",
        "pixels": plan.pixels,
        "steps": plan.steps,
        "rounds": plan.rounds,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {
            "device": run.about.get("device"),
            "cpus": os.cpu_count(),
            "threads": run.about.get("threads"),
            "python": platform.python_version(),
            "stack": stack.identify(dialect.versions()),
            "versions": run.about.get("versions"),
            "matmul_tflops": run.peak,
            "load_before": round(load, 2),
            "load_after": round(os.getloadavg()[0], 2),
        },
        "seconds": round(time.monotonic() - began, 1),
        "rows": rows,
        "compiling": run.gain,
    }


class _Run:
    def __init__(self, plan: Plan, model: Path, source: Path, folder: Path, say: Say) -> None:
        self._plan, self._model, self._source, self._folder, self._say = plan, model, source, folder, say
        self.about: Mapping[str, Any] = {}
        self.peak: Optional[float] = None
        self._folders = 0
        #: What compiling takes and saves; None where it was not tried.
        self.gain: Optional[dict[str, Any]] = None

    def rows(self) -> list[dict[str, Any]]:
        listed_of_guide = _both(_SCRIPT, self._plan.many)
        cold = self._cold()
        with ExitStack() as both:
            guide = both.enter_context(self._process("guide"))
            theirs_ms = {1: self._guide_first(guide)}
            if self._plan.device == "cuda":
                # A GPU's memory is one way's alone, as it is on a host; two CPU cores are shared in turns.
                theirs = self._rounds([(guide, listed_of_guide)])
                both.close()
            ours = both.enter_context(self._process("ours"))
            self._check(self._make(ours, 1))
            self.peak = ours.ask("matmul").get("tflops")
            jobs, many = self._jobs(), self._plan.many
            if self._plan.device == "cuda":
                taken = self._rounds([(ours, jobs)])
            else:
                taken = theirs = self._rounds([(guide, listed_of_guide), (ours, jobs)])
            sizes = {one["batch"] for name, _, _ in jobs for one in taken[name] if "batch" in one}
            ours_ms = {size: ours.ask("unet", batch=size).get("ms") for size in sizes}
            switches = ours.ask("switches") if self._plan.switches else {}
            names = switches.get("names", [])
        rows = []
        for way, listed, ms in (("guide", listed_of_guide, theirs_ms), ("ours", jobs, ours_ms)):
            for name, images, _ in dict.fromkeys(listed):
                row = self._row(name, images, (theirs if way == "guide" else taken)[name], ms)
                if images == 1 and "error" not in row:
                    row["cold_s"] = round(statistics.median(cold[way]), 2)
                if way == "ours":
                    row["faster"] = _faster(theirs[_name(_SCRIPT, images)], taken[name])
                    self._add_sessions(row, cold["guide"])
                rows.append(row)
        if compiling.BLOCKS in names:
            self.gain = self._gain(taken[_name("", self._plan.many)][-1].get("batch", 1))
        elif switches.get("lacks"):
            self.gain = {"error": f"{switches['lacks']} is missing"}
        plain = next(row.get("faster") for row in rows if row["name"] == _name("", many))
        found = {name: self._switched([name], theirs, cold["guide"]) for name in names}
        together = _together({name: pair[0].get("faster") for name, pair in found.items()}, plain)
        if len(together) > 1:
            found[" + ".join(together)] = self._switched(together, theirs, cold["guide"])
        return rows + [row for pair in found.values() for row in pair]

    @staticmethod
    def _add_sessions(row: dict[str, Any], sessions: Sequence[float]) -> None:
        """How many times as fast as a Python session for each picture, as the guide's script begins."""
        if "error" not in row and row["images"] > 1:
            each = row["seconds"] / row["images"]
            row["faster_than_sessions"] = round(statistics.median(sessions) / each, 1)

    def _jobs(self) -> list["_Job"]:
        many = self._plan.many
        fixed: list[_Job] = [(f"{many} pictures, batch {size}", many, size) for size in self._plan.batches]
        return [*_both("", many), *fixed]

    def _rounds(self, ways: Sequence[tuple[Process, Sequence["_Job"]]]) -> dict[str, list[dict[str, Any]]]:
        """What each job took, by name: all of a round in turns, one way after the other."""
        taken: dict[str, list[dict[str, Any]]] = {}
        for number in range(self._plan.rounds):
            self._say(f"round {number + 1} of {self._plan.rounds}")
            for turn in zip_longest(*(listed for _, listed in ways)):
                for (way, _), job in zip(ways, turn):
                    if job is not None:
                        name, images, batch = job
                        taken.setdefault(name, []).append(self._make(way, images, batch))
        return taken

    def _cold(self) -> dict[str, list[float]]:
        """Seconds from the start of a process to its first picture, both ways in turns, once uncounted."""
        taken: dict[str, list[float]] = {"guide": [], "ours": []}
        for number in range(self._plan.rounds + 1):
            self._say(f"first pictures, {number} of {self._plan.rounds}")
            for way, seconds in taken.items():
                with self._process(way) as one:
                    if way == "guide":
                        self._check(one.ask("load"))
                    made = self._check(one.ask("make", images=1, out=self._out()))
                if number:
                    seconds.append(made["age_s"])
        return taken

    def _guide_first(self, guide: Process) -> Optional[float]:
        """Pictures to compare with; milliseconds of a UNet call."""
        self._say("pictures to compare with")
        self.about = self._check(guide.ask("load"))
        self._check(guide.ask("make", images=COMPARED, out=self._out("compared"), compared=True))
        return guide.ask("unet", batch=1).get("ms")

    @staticmethod
    def _check(told: dict[str, Any]) -> dict[str, Any]:
        if "error" in told:
            raise SdopsError("internal-error", f"Not even one picture could be made: {told['error']}.")
        return told

    def _make(self, way: Process, images: int, batch: Optional[int] = None) -> dict[str, Any]:
        out = self._out()
        told = way.ask("make", images=images, out=out, batch=batch)
        if "error" not in told:
            told["difference"] = self._difference(Path(out))
        return told

    def _switched(
        self,
        names: Sequence[str],
        theirs: Mapping[str, Sequence[Mapping[str, Any]]],
        sessions: Sequence[float],
    ) -> list[dict[str, Any]]:
        """Rows for many pictures and for one, with switches on."""
        what = " + ".join(names)
        self._say(f"with {what}")
        rows = []
        with self._process("ours", *names) as ours:
            for images in (self._plan.many, 1):
                # Uncounted: it is then that kernels are chosen or compiled.
                first = self._make(ours, images)
                failed = "error" in first
                taken = [] if failed else [self._make(ours, images) for _ in range(self._plan.rounds)]
                size = taken[0].get("batch") if taken else None
                ms = {size: ours.ask("unet", batch=size).get("ms")} if size else {}
                row = self._row(f"{_name('', images)}, {what}", images, taken or [first], ms)
                row["faster"] = _faster(theirs[_name(_SCRIPT, images)], taken)
                self._add_sessions(row, sessions)
                rows.append(row)
                if failed:
                    break
        return rows

    def _gain(self, batch: int) -> dict[str, Any]:
        """What compiling comes to for batches of a size, which jobs on this host go by from now on."""
        told = []
        for number in range(2):
            self._say("compiling" + ", from what was kept" * number)
            with self._process("ours") as ours:
                first = self._make(ours, 1)
                told.append(
                    first if "error" in first else ours.ask("gain", batch=batch, cache=self._out("kept"))
                )
            if "error" in told[-1]:
                return {"error": told[-1]["error"]}
        cold, again = told
        side = self._plan.pixels
        found = gains.Measured(
            gains.Subject(again["device"], again["network"], again["dtype"]),
            Load(side, side, 2 * batch),
            round(cold["took_s"], 2),
            round(again["took_s"], 2),
            round(again["plain_ms"], 3),
            round(again["compiled_ms"], 3),
            time.strftime("%Y-%m-%d", time.gmtime()),
        )
        try:
            gains.keep([found])
        except OSError as error:
            return {"error": f"what was measured cannot be kept: {error.strerror}"}
        saved = (found.plain_ms - found.compiled_ms) / 1000 / batch
        passes = self._plan.steps + 1 - dialect.first_timestep(self._plan.steps, 0.8)
        pays_from = math.ceil(gains.MARGIN * found.first_s / (saved * passes)) if saved > 0 else None
        return {
            "batch": batch,
            **{name: getattr(found, name) for name in gains.TIMES},
            "pays_from": pays_from,
        }

    def _row(
        self, name: str, images: int, taken: Sequence[Mapping[str, Any]], times: Mapping[int, Any]
    ) -> dict[str, Any]:
        errors = [one["error"] for one in taken if "error" in one]
        if errors:
            return {"name": name, "images": images, "error": errors[0]}
        batch = taken[0]["batch"]
        ms = times.get(batch)
        seconds = statistics.median(one["seconds"] for one in taken)
        share = None
        if self._plan.full and ms and self.peak:
            share = round(2 * batch * models.FULL_UNET_FLOP / (ms / 1000) / (self.peak * 1e12), 3)
        floor = None
        if self.peak and (self._plan.full, self._plan.pixels, self._plan.steps) == (True, 512, 50):
            floor = round(images / seconds * models.FULL_PICTURE_FLOP / (self.peak * 1e12), 3)
        return {
            "name": name,
            "images": images,
            "batch": batch,
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 3),
            "unet_ms": None if ms is None else round(ms, 2),
            "share_of_matmul": share,
            "share_of_floor": floor,
            "retried": sum(one.get("retried", 0) for one in taken),
            "vram_gib": taken[-1]["vram_gib"],
            "warm_s": round(statistics.median(one["first_s"] for one in taken), 3),
            "difference": max(
                (one["difference"] for one in taken if one["difference"] is not None), default=None
            ),
        }

    def _difference(self, out: Path) -> Optional[int]:
        """The largest difference of a value of 0..255 between a picture and the guide's of the same seed."""
        from PIL import Image, ImageChops

        found: list[int] = []
        for seed in range(COMPARED):
            paths = self._folder / "compared" / f"{seed}.png", out / f"{self._source.stem}-{seed}.png"
            if all(path.is_file() for path in paths):
                one, other = (Image.open(path).convert("RGB") for path in paths)
                histogram = ImageChops.difference(one, other).histogram()
                found.append(max(value % 256 for value, count in enumerate(histogram) if count))
        return max(found, default=None)

    def _out(self, name: str = "") -> str:
        self._folders += 1
        folder = self._folder / (name or str(self._folders))
        folder.mkdir(exist_ok=True)
        return str(folder)

    def _process(self, way: str, *switches: str) -> Process:
        return Process(way, self._plan, self._model, self._source, self._folder, switches)


_SCRIPT = "guide's script, "


def _name(way: str, images: int) -> str:
    return f"{way}{images} picture{'s' * (images > 1)}"


def _both(way: str, many: int) -> list[_Job]:
    """One picture, three times a round since it is short, and many."""
    one: _Job = (_name(way, 1), 1, None)
    return [one] * 3 + [(_name(way, many), many, None)]


def _faster(theirs: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> Optional[float]:
    """How many times as fast, the median over the rounds."""
    if not theirs or not ours or any("error" in one for one in [*theirs, *ours]):
        return None
    return round(float(statistics.median(a["seconds"] / b["seconds"] for a, b in zip(theirs, ours))), 2)


def _draw(path: Path, pixels: int) -> None:
    """A picture with structure, the same on every machine, in the size that the model takes."""
    from PIL import Image

    turns = [Image.linear_gradient("L").rotate(turn).resize((pixels, pixels)) for turn in (0, 90, 180)]
    Image.merge("RGB", turns).save(path)


def pick(wanted: str) -> str:
    """The kind of device to measure. Raises SdopsError where it or a library cannot be used."""
    return str(_prepare(wanted)["device"])


def _prepare(*words: str) -> Mapping[str, Any]:
    """What ``prepare`` tells. Raises its SdopsError."""
    argv = [sys.executable, "-m", "sdops_runtime.bench.prepare", *words]
    ran = subprocess.run(argv, env=_environment(), capture_output=True, text=True, errors="replace")
    lines = ran.stdout.splitlines()
    if not lines or not lines[-1].startswith("{"):
        last = (ran.stderr.splitlines() or ["nothing"])[-1]
        raise SdopsError("internal-error", f"Preparing ended with {ran.returncode}. It said last: {last}")
    told: Mapping[str, Any] = json.loads(lines[-1])
    if "code" in told:
        raise SdopsError(**told)
    return told


def _environment() -> dict[str, str]:
    """Of the processes that do the work."""
    # Where this package was imported from: a folder, or the .pyz.
    home = Path(sdops_runtime.__file__).parents[1]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(home), os.environ.get("PYTHONPATH", "")))),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "HF_HUB_OFFLINE": "1",
    }


#: Switches of which one at most can be on.
_EITHER = ("compile", compiling.BLOCKS, "cuda_graphs")
#: What is faster by less than this part is not taken for faster.
_WORTH = 1.02


def _together(faster: Mapping[str, Optional[float]], plain: Optional[float]) -> tuple[str, ...]:
    """Of some switches those that were worth it, of ``_EITHER`` the best one; by what each made of speed."""
    worth = {name: found for name, found in faster.items() if found and plain and found > _WORTH * plain}
    best = max((name for name in worth if name in _EITHER), key=lambda name: worth[name], default=None)
    return tuple(name for name in worth if name not in _EITHER or name == best)
