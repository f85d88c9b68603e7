"""The model that stays loaded between jobs."""

import gc
import sys
from collections.abc import Mapping
from typing import Any, Callable, Optional

from sdops_runtime import compiling, job
from sdops_runtime.course import Place
from sdops_runtime.outbox import Emit
from sdops_runtime.protocol import Settings


class Warm:
    """The engine of the last job, for as long as jobs want the same.

    loaded: told of each new one, with the model's name. dropped: told when there is none any more.
    """

    def __init__(
        self,
        loaded: Callable[[Any, str], None] = lambda engine, model: None,
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell, self._dropped = loaded, dropped
        self._key: Optional[tuple[Any, ...]] = None
        self._loaded: Any = None

    @property
    def holds(self) -> bool:
        """Whether a model is loaded."""
        return self._loaded is not None

    def load(self, settings: Settings, place: Place, emit: Emit) -> tuple[Any, Mapping[str, Any]]:
        """What ``job.load`` gives; at once where the last job wanted the same."""
        key = (settings.model, settings.wanted_revision, settings.dtype, place.wanted)
        if key == self._key:
            engine, about = self._loaded
            engine.seconds = 0.0
        else:
            self.drop()  # two models need not fit side by side
            engine, about = job.load(settings, place, emit)
            self._key, self._loaded = key, (engine, about)
            self._tell(engine, str(about["model"]))
        return engine, about

    def drop(self) -> None:
        """Gives the model's memory back."""
        if not self.holds:
            return
        self._key = self._loaded = None
        self._dropped()
        compiling.forget()
        gc.collect()
        torch = sys.modules["torch"]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
