"""Version numbers that compare. No I/O here."""

import re


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version or bound, in their order; what a build adds (+cu116) does not count."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0]))


def begins(version: str, series: str) -> bool:
    """Whether a version is of a series, as 11.6.2 is of 11.6."""
    wanted = numbers(series)
    return numbers(version)[: len(wanted)] == wanted
