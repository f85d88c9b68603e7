"""Values of a sweep as they are typed: 5,7.5,10 or 0.3..0.9:0.2, or both. No I/O here."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from sdops.errors import SdopsError

#: More values than this of one setting are a slip of the finger.
MOST = 100


def values(text: str, name: str) -> tuple[float, ...]:
    """The values in a text, in its order. name: of the setting, for messages.

    Raises SdopsError("settings-invalid").
    """
    found: list[float] = []
    for part in text.split(","):
        for value in _part(part.strip(), text, name):
            found.append(float(value))
            if len(found) > MOST:
                raise SdopsError(
                    "settings-invalid",
                    f"{name.capitalize()} {text!r} has more than {MOST} values.",
                    "Take larger steps.",
                )
    return tuple(dict.fromkeys(found))


def _part(part: str, text: str, name: str) -> Iterator[Decimal]:
    """A value, or those from one to another, the last one with them."""
    first, dots, rest = part.partition("..")
    last, _, step = rest.partition(":")
    try:
        # Decimals, because ten steps of 0.1 are 1 then.
        low = Decimal(first)
        high, by = (Decimal(last), Decimal(step)) if dots else (low, Decimal(1))
        if not (low.is_finite() and high.is_finite() and by.is_finite()) or by <= 0 or high < low:
            raise InvalidOperation
    except InvalidOperation:
        raise SdopsError(
            "settings-invalid",
            f"{name.capitalize()} {text!r} cannot be understood.",
            f"Write values, or first..last:step: --{name} 0.3,0.5 or --{name} 0.3..0.9:0.2",
        ) from None
    while low <= high:
        yield low
        low += by
