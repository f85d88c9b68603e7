"""A job's input images: opened when they are needed, and fitted to the wanted size."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from sdops_runtime import images
from sdops_runtime.errors import SdopsError
from sdops_runtime.protocol import Event, JobRequest, Prepared, Settings

#: Inputs that are opened before the model is loaded: a wrong file name should be said at once, but
#: nobody wants to wait until thousands of photographs are decoded. Also how many stay decoded.
AHEAD = 16


@dataclass(frozen=True)
class Ready:
    """An input that is fit for the model."""

    image: Any
    sha256: str
    original: tuple[int, int]


class Inputs:
    """A job's input images, opened when first needed; the last ``AHEAD`` stay decoded.

    May be used by one thread after the other, and ``tell`` by any.
    """

    def __init__(self, request: JobRequest, sources: Sequence[Path]) -> None:
        self._settings = request.settings
        self._names = request.inputs
        self._prepared = request.prepared
        self._needed = request.needed
        self._sources = sources
        self._untold: deque[Event] = deque()
        self._noticed: set[int] = set()
        self._ready: OrderedDict[int, Union[Ready, SdopsError]] = OrderedDict()

    def open(self, number: int) -> Union[Ready, SdopsError]:
        """Input ``number``, fitted to the wanted size, or why it is none."""
        if number not in self._ready:
            self._ready[number] = self._open(number)
            while len(self._ready) > AHEAD:
                self._ready.popitem(last=False)
        return self._ready[number]

    def failure(self, number: int) -> Optional[SdopsError]:
        """Why input ``number`` is none, as far as that can be said without decoding what was prepared."""
        if self._prepared is None:
            opened = self.open(number)
            return opened if isinstance(opened, SdopsError) else None
        told = self._prepared[number].failure
        return None if told is None else SdopsError(*told)

    def data(self, number: int) -> bytes:
        """The bytes of input ``number``'s file; none where it cannot be read."""
        try:
            return self._sources[number].read_bytes()
        except OSError:
            return b""

    def open_first(self) -> list[Ready]:
        """The good ones of the first inputs; raises the first one's SdopsError if the job has no good one."""
        found = [self.open(number) for number in self._needed[:AHEAD]]
        bad = [one for one in found if isinstance(one, SdopsError)]
        if len(bad) == len(self._needed):
            raise bad[0]
        return [one for one in found if isinstance(one, Ready)]

    def sizes(self) -> list[Optional[tuple[int, int]]]:
        """Of each input the size of its pictures, in pixels; None where it is known to give none.

        Of inputs that were not prepared only the first are opened for it; the others count as the largest.
        """
        if self._prepared is not None:
            return [_size_of(one, self._settings) for one in self._prepared]
        known = {number: self.open(number) for number in self._needed[:AHEAD]}
        largest = _largest(one.image.size for one in known.values() if isinstance(one, Ready))
        found: list[Optional[tuple[int, int]]] = [largest] * len(self._names)
        for number, one in known.items():
            found[number] = one.image.size if isinstance(one, Ready) else None
        return found

    def tell(self, emit: Callable[[Event], None]) -> None:
        """Emits what there was to notice since it was asked last."""
        while self._untold:
            emit(self._untold.popleft())

    def _open(self, number: int) -> Union[Ready, SdopsError]:
        if self._prepared is not None:
            return self._take(number, self._prepared[number])
        try:
            opened = images.open_image(self._sources[number], self._settings.background)
            name = self._names[number]
            fitted = images.fit(opened.image, self._settings.width, self._settings.height, name)
        except SdopsError as error:
            return error
        if number not in self._noticed:
            self._noticed.add(number)
            for notice in opened.notices:
                self._untold.append(Event("notice", {"code": "input", "message": notice}))
            width, height = fitted.size
            if min(width, height) > 512:
                message = f"{width}x{height} is more than the model's 512 both ways: parts may repeat."
                self._untold.append(Event("notice", {"code": "large", "message": message}))
        return Ready(fitted, opened.sha256, opened.size)

    def _take(self, number: int, prepared: Prepared) -> Union[Ready, SdopsError]:
        """An input that was fitted before; who did that has told what there was to notice."""
        if prepared.failure is not None:
            return SdopsError(*prepared.failure)
        try:
            opened = images.open_image(self._sources[number])
        except SdopsError as error:
            return error
        if opened.sha256 != prepared.sha256:
            changed = f"What was sent of {self._names[number]} has changed on the disk."
            return SdopsError("image-unreadable", changed, "Run it again.")
        return Ready(opened.image, prepared.original, prepared.size)


def _largest(sizes: Iterable[tuple[int, int]]) -> Optional[tuple[int, int]]:
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _size_of(prepared: Prepared, settings: Settings) -> Optional[tuple[int, int]]:
    if prepared.failure is not None or min(prepared.size) <= 0:
        return None
    try:
        return images.fitted_size(prepared.size, settings.width, settings.height)
    except SdopsError:
        return None
