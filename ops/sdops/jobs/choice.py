"""Which host a job runs on: the one that was named, the least busy of several, or this machine."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sdops_runtime.protocol import DEFAULT_MODEL, Event

from sdops.errors import SdopsError
from sdops.jobs import local, remote
from sdops.jobs.follower import Watch
from sdops.jobs.local import Outcome
from sdops.jobs.place import Place, choose, places
from sdops.jobs.request import Asked


def run(
    asked: Asked,
    word: str | None,
    inventory: Sequence[Path | str],
    out: Path,
    device: str,
    overwrite: bool,
    watch: Watch,
    detach: bool,
    force: bool = False,
) -> Outcome:
    """Makes a job's pictures where they are to be made. word: host, group or pattern; all hosts if None."""
    found = places([word] if word else [], inventory)
    if not found:
        if detach:
            raise SdopsError("usage", "A job on this machine cannot be detached.", "Leave --detach out.")
        return local.run(asked, out, device, overwrite, watch, force)
    if device != "auto":
        raise SdopsError("usage", "--device is for this machine alone.", "Leave it out, or add --host local.")

    def skipped(error: SdopsError) -> None:
        watch(Event("notice", {"code": error.code, "message": f"{error.message} {error.hint}".strip()}))

    place = choose(found, skipped)
    return remote.run(_as_the_host_is_set(asked, place), place, out, overwrite, watch, detach, force)


def _as_the_host_is_set(asked: Asked, place: Place) -> Asked:
    """With the model that the inventory sets for the host, unless another one was asked for."""
    settings = asked.request.settings
    if settings.model != DEFAULT_MODEL or settings.revision or place.wanted.model == DEFAULT_MODEL:
        return asked
    settings = replace(settings, model=place.wanted.model, revision=place.wanted.revision or None)
    return replace(asked, request=replace(asked.request, settings=settings))
