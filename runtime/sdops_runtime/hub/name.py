"""Looks strictly at what a person typed as a model or a revision. Asks the disk, never the network."""

import re
from pathlib import Path
from typing import Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import layout

#: The hub's rule: an owner and a name of letters, digits and ``-_.``, 96 characters in all.
_AT_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
#: And what the hub forbids beyond that.
_FORBIDDEN = re.compile(r"--|\.\.|\.git$|[.-]$|[.-]/")
#: Of what git allows, the part that is also safe as a path; ``refs/pr/1`` is one.
_REVISION = re.compile(r"\w[\w.+-]*(?:/\w[\w.+-]*)*", re.ASCII)
_CHECKPOINTS = (".ckpt", ".safetensors", ".pt", ".pth", ".bin")

_LAYOUT = f"A model is a folder with a {layout.INDEX}, or a name at the hub: CompVis/stable-diffusion-v1-4."


def folder(text: str) -> Optional[Path]:
    """The folder that ``text`` names, None if it is a name at the hub.

    A folder that is there comes before a model of the same name at the hub, as
    in the libraries. Raises SdopsError("model-unknown") for what is neither.
    """
    text = text.strip()
    if "://" in text:
        named = re.search(r"://[^/]+/([^/?#]+/[^/?#]+)", text)
        hint = f"Use its name: --model {named.group(1)}" if named else _LAYOUT
        raise _unknown(f"{shown(text)} is a web address, not a model.", hint)
    try:
        path = Path(text).expanduser()
        if text and path.is_dir():
            return path
        is_file = bool(text) and path.exists()
    except (OSError, ValueError, RuntimeError):
        # Too long for the file system, null characters, or an unknown user (~nobody).
        path, is_file = Path(text.replace("\0", "?")), False
    if is_file:
        hint = _LAYOUT
        if path.suffix in _CHECKPOINTS:
            hint += (
                " Of a checkpoint, diffusers' convert_original_stable_diffusion_to_diffusers.py makes one."
            )
        raise _unknown(f"{shown(text)} is a single file, not a model's folder.", hint)
    is_path = text[:1] in ("/", ".", "~") or text.endswith("/") or text.count("/") > 1
    if is_path or path.suffix in _CHECKPOINTS:
        raise _unknown(f"There is no folder {shown(text)}.", _LAYOUT)
    if "/" not in text:
        hint = f"{_LAYOUT} --model demo needs no download."
        raise _unknown(f"There is no folder {shown(text)}, and names at the hub are owner/name.", hint)
    if not _AT_HUB.fullmatch(text) or _FORBIDDEN.search(text) or len(text) > 96:
        raise _unknown(f"{shown(text)} cannot be a name at the hub.", _LAYOUT)
    return None


def revision(text: Optional[str]) -> str:
    """The revision meant, main by default. Raises SdopsError("revision-unknown") if it cannot be one."""
    text = (text or "").strip() or "main"
    if not _REVISION.fullmatch(text) or ".." in text or text.endswith((".", ".lock")) or len(text) > 200:
        hint = "Use a branch, tag or commit, such as --revision main."
        raise SdopsError("revision-unknown", f"{shown(text)} cannot be the name of a revision.", hint)
    return text


def shown(text: str) -> str:
    """What a person typed, on one line and without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200] or "''"


def _unknown(message: str, hint: str) -> SdopsError:
    return SdopsError("model-unknown", message, hint)
