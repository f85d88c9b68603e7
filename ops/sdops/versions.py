"""All versions that matter when something is wrong: sdops, Python, and the libraries that are here."""

import platform
from collections.abc import Iterator
from importlib import metadata

from sdops_runtime import stack
from sdops_runtime.protocol import PROTOCOL

from sdops import __version__

#: What sdops itself stands on, and what makes pictures on this machine.
OWN = ("ansible-core", "fabric", "paramiko", "Pillow", "rich", "typer")
PICTURES = ("torch", "diffusers", "transformers")


def lines() -> Iterator[str]:
    """A line for each kind; the first one is sdops's own."""
    yield f"sdops {__version__}"
    system = f"{platform.system()} {platform.release()} ({platform.machine()})"
    yield f"Python {platform.python_version()} on {system}"
    yield ", ".join(_named(OWN))
    here = _named(PICTURES)
    yield ", ".join(here) if len(here) == len(PICTURES) else "pictures are made on hosts alone: no torch here"
    yield f"protocol {PROTOCOL}; stacks {', '.join(stack.names())}"


def _named(packages: tuple[str, ...]) -> list[str]:
    """Names with versions, of those that are installed."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
