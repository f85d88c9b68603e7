"""Finds the folder of a model: one on this disk, or one that the hub has, downloaded first.

``resolve`` is all that the rest of the runtime needs to know of the hub. A
model from the hub lies in the libraries' own cache ($HF_HOME/hub), and its
folder is given to ``from_pretrained`` as a path, so that both generations of
diffusers load from it and neither goes to the network.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import cache as hub_cache
from sdops_runtime.hub import connection as hub_connection
from sdops_runtime.hub import layout
from sdops_runtime.hub import name as hub_name
from sdops_runtime.hub import token as hub_token
from sdops_runtime.hub.cache import Cache
from sdops_runtime.hub.client import Client
from sdops_runtime.hub.layout import File

#: Called with the bytes of the model that are there, and all of them.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LocalModel:
    """A model that can be loaded. revision: the commit, of models from the hub.

    note: what a person should know about where it came from, or empty.
    """

    path: Path
    name: str
    revision: Optional[str] = None
    note: str = ""


def resolve(
    model: str,
    revision: Optional[str],
    *,
    token: Optional[str] = None,
    weights: tuple[str, ...] = (".bin",),
    offline: bool = False,
    progress: Optional[Progress] = None,
) -> LocalModel:
    """The folder of ``model``: a path, or a name at the hub, whose files are downloaded where missing.

    revision: branch, tag or commit, main if None; of no meaning for a path.
    token: instead of the one that the libraries would find. weights: endings of
    files that the libraries read, best first. offline (or HF_HUB_OFFLINE=1):
    use only what is on this disk. A full commit that is on this disk needs no
    hub. For a branch the hub is asked what it names now; if it does not tell,
    the commit that was downloaded last is used, with a note. Waits while
    another process downloads the same model.

    Raises SdopsError: model-unknown, model-broken, revision-unknown,
    token-missing, token-refused, licence-not-accepted, hub-offline, hub-failed,
    disk-full, cache-unwritable, stack-missing.
    """
    folder = hub_name.folder(model)
    if folder is not None:
        return _local(folder, weights)
    name, wanted = model.strip(), hub_name.revision(revision)
    cache = Cache(hub_cache.root(), name)
    last = cache.commit(wanted)
    kept = _kept(cache, last, weights)
    if kept is not None and last == wanted and cache.listing(wanted) is not None:
        return LocalModel(kept, name, last)
    if offline or _is_offline():
        if kept is None:
            raise _not_here(cache, name, wanted)
        return LocalModel(kept, name, last)
    try:
        connection = hub_connection.Connection(hub_connection.endpoint(), hub_token.find(token))
        client = Client(connection, name)
        commit, files = client.listing(wanted)
    except SdopsError as error:
        if kept is None:
            raise
        note = f"The hub does not tell what {wanted} of {name} is now; the copy on this disk is used."
        return LocalModel(kept, name, last, f"{note} {error.message}")
    path = _complete(cache, commit, files, weights)
    if path is None:
        path = _download(client, cache, name, (commit, files), weights, progress)
    elif cache.listing(commit) is None:
        # Brought by another program; from now on its sizes are known here. Not if the cache is read-only.
        with contextlib.suppress(SdopsError):
            cache.record(commit, files)
    remedy = f"If no other --revision works, delete {cache.folder} and try again."
    layout.check(path, weights, name, remedy)
    cache.remember(wanted, commit)
    return LocalModel(path, name, commit)


def is_folder(model: str) -> bool:
    """Whether ``resolve`` takes this for a folder on this disk. Raises SdopsError("model-unknown")."""
    return hub_name.folder(model) is not None


def _local(folder: Path, weights: Sequence[str]) -> LocalModel:
    remedy = "Copy the folder again from where it is whole, or use another --model."
    layout.check(folder, weights, f"in {hub_name.shown(str(folder))}", remedy)
    # A snapshot in the hub's cache tells what it is, which the pictures' records should too.
    parts = folder.resolve().parts
    if len(parts) > 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return LocalModel(folder, parts[-3][len("models--") :].replace("--", "/"), parts[-1])
    return LocalModel(folder, folder.resolve().name)


def _kept(cache: Cache, commit: Optional[str], weights: Sequence[str]) -> Optional[Path]:
    """The folder of a commit if all that is needed of it is on this disk."""
    if commit is None:
        return None
    files = cache.listing(commit)
    if files is not None:
        return _complete(cache, commit, files, weights)
    # Put there by another program, which kept no sizes. The libraries link a file into the snapshot
    # only when it is whole, so it is enough that nothing the pipeline needs is missing.
    try:
        layout.check(cache.snapshot(commit), weights, commit, "")
    except SdopsError:
        return None
    return cache.snapshot(commit)


def _complete(cache: Cache, commit: str, files: Sequence[File], weights: Sequence[str]) -> Optional[Path]:
    """The snapshot's folder if all that is needed is there in full size, in any format that is read."""
    folder = cache.snapshot(commit)
    try:
        parts = layout.read_index(folder / layout.INDEX, commit, "")
    except SdopsError:
        return None
    for formats in (tuple(weights), *((suffix,) for suffix in weights)):
        try:
            wanted = layout.select(files, parts, formats, commit, "")
        except SdopsError:
            continue
        if all(cache.has(commit, file) for file in wanted):
            return folder
    return None


def _download(
    client: Client,
    cache: Cache,
    name: str,
    listed: tuple[str, Sequence[File]],
    weights: Sequence[str],
    progress: Optional[Progress],
) -> Path:
    """Brings what is missing of a commit into the cache; returns the snapshot's folder."""
    commit, files = listed
    remedy = "Use another --model or --revision: a Stable Diffusion 1.x pipeline of diffusers."
    index = [file for file in files if file.path == layout.INDEX]
    if not index:
        raise layout.broken(name, f"has no {layout.INDEX} at the hub, so it is no pipeline", remedy)
    with cache.locked():
        cache.record(commit, files)
        # The index first: it says what else is needed, and whether the hub lets us have it.
        lacking = [file for file in index if not cache.has(commit, file)]
        _fetch(client, cache, commit, lacking, index, None)
        parts = layout.read_index(cache.snapshot(commit) / layout.INDEX, name, remedy)
        wanted = layout.select(files, parts, weights, name, remedy)
        missing = [file for file in wanted if not cache.has(commit, file)]
        needed, free = cache.missing_bytes(commit, missing), hub_cache.free_bytes(cache.folder)
        if needed > free:
            raise SdopsError(
                "disk-full",
                f"{name} needs {_amount(needed)} in {cache.root}, and {_amount(free)} are free.",
                "Free some space, or name a folder on a larger disk in HF_HOME.",
            )
        _fetch(client, cache, commit, missing, wanted, progress)
    return cache.snapshot(commit)


def _fetch(
    client: Client,
    cache: Cache,
    commit: str,
    missing: Sequence[File],
    wanted: Sequence[File],
    progress: Optional[Progress],
) -> None:
    total = sum(file.size for file in wanted)
    done = total - sum(file.size for file in missing)

    def tell(arrived: int) -> None:
        if progress is not None:
            progress(done + arrived, total)

    tell(0)
    for file in missing:
        if not cache.adopt(commit, file):
            client.fetch(commit, file, cache, tell)
            cache.store(commit, file)
        done += file.size
        tell(0)


def _not_here(cache: Cache, name: str, revision: str) -> SdopsError:
    there = "is only partly" if cache.folder.exists() else "is not"
    why = "HF_HUB_OFFLINE is set" if _is_offline() else "the hub is not to be asked"
    return SdopsError(
        "hub-offline",
        f"Revision {revision} of {name} {there} on this disk ({cache.root}), and {why}.",
        "Go online to download it, or use a local folder, or --model demo.",
    )


def _is_offline() -> bool:
    # As both generations of the library read it.
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in ("1", "ON", "YES", "TRUE")


def _amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
