"""Whether a job fits into a host's GPU, said before anything is sent. No I/O here.

What a host tells is a moment's; it plans anew, with what is free then. So only what would not fit into an
empty GPU is refused here.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from sdops_runtime import memory
from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import DEFAULT_MODEL, JobRequest


def foretell(request: JobRequest, said: Any, stack: str) -> Iterator[str]:
    """Sentences for what a host will lower for a prepared job, or might. said: ``memory`` of its hello.

    Raises SdopsError("out-of-memory") for what cannot fit, with a size that would.
    """
    total, room = _bytes(said, "total"), _bytes(said, "room")
    if total is None or room is None:
        return
    # Here, for they bring Pillow along.
    from sdops_runtime.chunks import even, kinds
    from sdops_runtime.inputs import Inputs

    sizes = Inputs(request, ()).sizes() if request.prepared else []
    known = sorted({size for size in sizes if size is not None}, key=lambda size: size[0] * size[1])
    if not known:
        return
    alike = kinds(request, sizes)
    settings = request.settings
    network = memory.Network(
        "demo" if settings.model == "demo" else "sd1",
        "guide" if stack == "guide" else "today",
        "float16" if settings.dtype == "auto" else settings.dtype,
        settings.model in ("demo", DEFAULT_MODEL),
    )
    name = str(said.get("name", "the GPU"))[:100]

    def plan(free: int) -> memory.Plan:
        cells = len(request.sweep) or 1
        guided = any(request.at(cell).guidance > 1 for cell in range(cells))
        words: dict[str, Any] = {"batch": request.batch, "guided": guided, "name": name}
        words["even"] = lambda most: even(alike, most)
        # As the host does: one size that does not fit is no end of the others.
        for size in reversed(known[1:]):
            with contextlib.suppress(SdopsError):
                return memory.plan(free, *size, network, request.total // cells, **words)
        return memory.plan(free, *known[0], network, request.total // cells, **words)

    plan(total - memory.resident(network))
    try:
        yield from plan(room - memory.weights(network)).notices
    except SdopsError as error:
        yield f"As things were when {name} was last looked at: {error.message}"


def _bytes(said: Any, key: str) -> int | None:
    found = said.get(key) if isinstance(said, Mapping) else None
    return found if isinstance(found, int) and 0 <= found < 2**50 else None
