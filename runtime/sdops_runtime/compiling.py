"""Compiles the UNet's blocks, and keeps what came of it for the next start.

torch.compile makes kernels for a module and the sizes that it is called with. That takes up to minutes, once;
what it made is kept on the disk, from where it comes within seconds when the worker starts anew. Only the
blocks that repeat are compiled, one for all of a kind, which takes a fraction of the time that the whole
network does. Other kernels round otherwise: a picture's record tells of it. When it pays: see ``gains``.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

#: The switch that sdops bench tries.
BLOCKS = "compiled_blocks"

#: What was measured here lies beside what was compiled, and is not pruned.
MEASURED = "measured.json"

#: What torch or Triton compile with, by kind of device: the variable that names it, and what is usual.
_COMPILERS = {"cpu": ("CXX", "g++", "clang++"), "cuda": ("CC", "gcc", "clang", "cc")}


@dataclass(frozen=True)
class Load:
    """What the UNet is called with. Sides in pixels. rows: of its batch; a picture with guidance has two."""

    width: int
    height: int
    rows: int

    @property
    def work(self) -> int:
        """What a call computes, in rows times pixels."""
        return self.width * self.height * self.rows


def folder() -> Path:
    """Where what was compiled is kept, for the torch that is installed."""
    import torch

    return _root() / f"torch-{torch.__version__}"


def missing(unet: Any, device: str) -> Optional[str]:
    """What is missing for a UNet to be compiled, as in "a C compiler"; None if nothing is."""
    import torch

    if not hasattr(unet, "compile_repeated_blocks"):
        return "a diffusers that compiles blocks"
    if not hasattr(getattr(torch, "compiler", None), "set_stance"):
        return "a torch that compiles"
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton"
    if device == "cuda" and not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python.h (apt-get install python3-dev)"  # Triton compiles modules of Python's
    variable, *usual = _COMPILERS[device]
    named = os.environ.get(variable, "").split()[:1]
    if not any(map(shutil.which, named or usual)):
        return f"a C compiler (apt-get install {usual[0]})"
    return None


class UnkeptError(RuntimeError):
    """The folder for what is compiled cannot be used."""


def is_failure(error: RuntimeError) -> bool:
    """Whether an error is one of compiling, and not of what was compiled."""
    if isinstance(error, UnkeptError):
        return True
    # Not imported before something was compiled, which takes seconds.
    dynamo = sys.modules.get("torch._dynamo.exc")
    return dynamo is not None and isinstance(error, dynamo.TorchDynamoException)


def reason(error: RuntimeError) -> str:
    """Why compiling failed, on a line; what torch adds for its developers is left out."""
    inner = getattr(error, "inner_exception", error)
    said = [line.strip() for line in str(inner).splitlines() if line.strip()]
    return (said or [type(inner).__name__])[0].rstrip(":.")


def is_kept(load: Load, subject: Sequence[str]) -> bool:
    """Whether the kernels for a load are on the disk. subject: device, network and number format, by name."""
    return _marker(load, subject).exists()


def forget() -> None:
    """Drops what this process has compiled."""
    if "torch._dynamo" in sys.modules:
        import torch

        torch.compiler.reset()


class Blocks:
    """A UNet's repeated blocks, compiled where that is wanted and as they were elsewhere.

    subject: device, network and number format, by name.
    """

    def __init__(self, unet: Any, subject: Sequence[str]) -> None:
        self._unet, self._subject = unet, subject
        self._compiled_for: Optional[Load] = None

    @contextlib.contextmanager
    def calls(self, load: Optional[Load]) -> Iterator[None]:
        """Compiled for the calls within, all of which are of that load; as they were for None."""
        import torch

        if load is None:
            plain = (
                contextlib.nullcontext()
                if self._compiled_for is None
                else torch.compiler.set_stance("force_eager")
            )
            with plain:
                yield
            return
        if self._compiled_for != load:
            if self._compiled_for is None:
                self._turn()
            # torch keeps what it compiled for eight sets of sizes, an earlier model's among them; a load has
            # four, and a ninth is an error.
            torch.compiler.reset()
        self._compiled_for = load
        yield
        with contextlib.suppress(OSError):
            _marker(load, self._subject).touch()

    @contextlib.contextmanager
    def one_call(self) -> Iterator[None]:
        """Around a call of the UNet, which touches files in compiling only. Raises UnkeptError."""
        try:
            yield
        except OSError as error:
            raise UnkeptError(str(error)) from error

    def _turn(self) -> None:
        with self.one_call():
            folder().mkdir(parents=True, exist_ok=True)
            keep_in(folder())
            turn(self._unet)


def keep_in(place: Path) -> None:
    """Has what this process compiles kept in a folder, Triton's kernels, too."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(place)  # read when the first kernel is made


def turn(unet: Any) -> None:
    """Has a UNet's blocks compiled when they are called."""
    # Today's torch keeps them by itself; with shapes that are not fixed, kernels are slower.
    unet.compile_repeated_blocks(fullgraph=True, dynamic=False)


def prune(limit: float) -> int:
    """Removes what was compiled and not used since ``limit``, seconds since 1970; returns the bytes freed."""
    freed = 0
    for place in _root().glob("torch-*"):
        if max((one.stat().st_mtime for one in place.glob("*.made")), default=0.0) > limit:
            continue
        for one in place.iterdir():
            if one.name != MEASURED:
                freed += sum(file.lstat().st_size for file in (one, *one.rglob("*")) if file.is_file())
                shutil.rmtree(one) if one.is_dir() else one.unlink()
    return freed


def _root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdops/compiled"


def _marker(load: Load, subject: Sequence[str]) -> Path:
    """An empty file, touched whenever a load's kernels, which are on the disk now, were used."""
    words = "\n".join([*subject, importlib.metadata.version("diffusers")])
    of_what = hashlib.sha256(words.encode()).hexdigest()[:12]
    return folder() / f"{load.width}x{load.height}-{load.rows}-{of_what}.made"
