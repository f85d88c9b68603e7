"""Which rung the pictures of each size stand on: planned when a job begins, and lowered when memory runs out.

What a rung takes, and which there are: see ``memory``.
"""

from collections.abc import Sequence
from typing import Callable, Optional

from sdops_runtime import device as devices
from sdops_runtime import memory
from sdops_runtime.device import Device

#: What ran out of memory is tried again when this many times as much is free: somebody else had it then.
RECOVERED = 1.2

#: Width and height in pixels; those, the batch size, and whether guidance doubles it.
Size = tuple[int, int]
Key = tuple[Size, int, bool]


class Ladder:
    """Of one loaded model. network: what computes.

    rungs: on which the pictures of this job are made. ceilings: the rung below the one on which memory ran
    out, and the bytes that were free then, in all jobs with this model.
    """

    def __init__(self, device: Device, network: memory.Network) -> None:
        self._device, self._network = device, network
        self.rungs: dict[Key, memory.Rung] = {}
        self.ceilings: dict[Size, tuple[memory.Rung, Optional[int]]] = {}

    def plan(
        self,
        size: Size,
        total: int,
        guided: bool,
        batch: Optional[int] = None,
        even: Callable[[int], int] = lambda most: most,
    ) -> memory.Plan:
        """The highest rung that fits now, which is kept. Raises as ``memory.plan``."""
        free = devices.free_bytes(self._device)
        ceiling, then = self.ceilings.get(size, (None, None))
        if free is not None and then is not None and free > RECOVERED * then:
            ceiling = None
        found = memory.plan(
            free,
            *size,
            self._network,
            total,
            batch=batch,
            guided=guided,
            ceiling=ceiling,
            even=even,
            name=self._device.name,
        )
        self.rungs[size, batch or found.rung.batch, guided] = found.rung
        return found

    def has(self, key: Key) -> bool:
        """Whether the rung for such pictures is known."""
        return key in self.rungs

    def is_whole(self, key: Key) -> bool:
        """Whether such pictures are made all at once, as far as that is known."""
        whole = memory.Rung(key[1])
        return self.rungs.get(key, whole) == whole

    def lower(self, key: Key, stage: str) -> Sequence[str]:
        """Goes a rung down, after memory ran out in a stage; returns what that means, in sentences.

        Raises SdopsError("out-of-memory") below the last.
        """
        size, _, guided = key
        before = self.rungs[key]
        after = memory.lower(self._network, before, stage, *size, guided)
        free = devices.free_bytes(self._device)
        if after is None:
            raise memory.refusal(free, *size, self._network, guided, self._device.name)
        self.rungs[key] = after
        self.ceilings[size] = after, free
        return tuple(memory.lowered(before, after, *size))
