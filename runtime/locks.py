"""Solves the pip locks of every stack: ``make locks``. Needs uv and the package index.

Each lock is complete and carries hashes for Linux on x86_64. The guide's torch
comes from conda, so it is left out of the guide's lock and stands, as PyPI has
it, only in the lock for machines without a GPU. What a lock holds stays as
long as it fits, so that a changed pin moves only what it must; ``--upgrade``
takes the newest of everything that is not pinned. The fleet's lock is the same
for all stacks, with a condition on Python where they differ.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sdops_runtime import stack

LOCKS = Path(__file__).parent / "sdops_runtime" / "locks"

#: The system that the locks are for: GPU hosts run Debian 11 (glibc 2.31) or later.
PLATFORM = "x86_64-manylinux_2_28"

#: Development runs today's stack on the oldest Python that it supports, so its lock must fit both.
OLDEST = {"cu130": "3.11"}


def solve(requirements: Sequence[str], lock: Path, *more: str) -> bool:
    """Writes the lock for exact requirements; more: options of uv. Returns whether there is a solution."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "requirements.in"
        source.write_text("".join(f"{requirement}\n" for requirement in requirements))
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", str(source)),
            *("--quiet", "--no-config", "--no-header", "--no-annotate", "--generate-hashes"),
            *("--no-emit-index-url", "--no-emit-find-links", "--output-file", str(lock)),
            *more,
            *sys.argv[1:],
        ]
        # Nothing that this machine may have beside the public index: a lock is for everyone.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
        return (
            subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False).returncode == 0
        )


def solve_stack(
    chosen: stack.Stack, requirements: tuple[str, ...], lock: Path, leave_out: tuple[str, ...] = ()
) -> None:
    """Writes a stack's lock; torch is exact among the requirements, so no newer one is taken."""
    assert any(requirement.startswith("torch==") for requirement in requirements)
    more = ["--python-version", OLDEST.get(chosen.name, chosen.python), "--python-platform", PLATFORM]
    for name in leave_out:
        more += ["--no-emit-package", name]
    if not solve(requirements, lock, *more):
        raise SystemExit(f"The lock of {chosen.name} could not be solved.")


def solve_fleet() -> None:
    """Writes the lock of what shares jobs out, one for the Pythons of all stacks."""
    fleet = stack.fleet()
    oldest = min(
        (stack.load(name).python for name in stack.names()), key=lambda text: [*map(int, text.split("."))]
    )
    pins = [f"{pin.name}=={pin.version}" for pin in fleet.pins]
    if not solve(pins, LOCKS / fleet.lock, "--universal", "--python-version", oldest):
        raise SystemExit("The lock of the fleet could not be solved.")


def main() -> None:
    """Writes every lock."""
    LOCKS.mkdir(exist_ok=True)
    for name in stack.names():
        chosen = stack.load(name)
        whole = chosen.requirements(with_gpu=False)
        torch_by_pip = any(pin.name == "torch" for pin in chosen.pip)
        solve_stack(chosen, whole, LOCKS / chosen.lock, () if torch_by_pip else ("torch",))
        if chosen.cpu_lock != chosen.lock:
            solve_stack(chosen, whole, LOCKS / chosen.cpu_lock)
        print(f"{name}: {len(chosen.constraints())} packages")  # noqa: T201
    solve_fleet()


if __name__ == "__main__":
    main()
