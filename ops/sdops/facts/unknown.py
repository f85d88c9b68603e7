"""What could not be found out, which is not the same as what is not there. No I/O here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Unknown:
    """Stands in the place of a fact; says in a few words why there is none."""

    reason: str

    def __bool__(self) -> bool:
        """Is false, so that what is unknown never passes for something that is there."""
        return False
