"""The model's safety filter, asked for several pictures at once. Knows no batches and no files."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from sdops_runtime import dialect


class SafetyFilter:
    """Of a stock pipeline, which may have none."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    @property
    def there(self) -> bool:
        """Whether the model brought one."""
        return self._pipeline.safety_checker is not None

    def verdicts(self, seen: Sequence[Image.Image]) -> list[bool]:
        """Whether it flags each of some pictures; what stands there twice is prepared once."""
        import numpy
        import torch

        checker = self._pipeline.safety_checker
        with dialect.quiet():
            place = next(checker.parameters())
            features = {
                id(image): self._pipeline.feature_extractor([image], return_tensors="pt").pixel_values
                for image in seen
            }
            given = torch.cat([features[id(image)] for image in seen]).to(place.device, place.dtype)
            # It blackens what it flags in a list of its own, which nobody needs.
            blank: list[Any] = [numpy.zeros((1, 1, 3), dtype=numpy.float32) for _ in seen]
            _, flagged = checker(clip_input=given, images=blank)
        return [bool(one) for one in flagged]
