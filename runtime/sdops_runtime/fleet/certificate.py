"""How long a certificate is valid, read from its file by the standard library alone. Python 3.9.

Python itself tells that of a peer's certificate only, and not of one's own. What is read is X.509's DER, of
which a validity is all that is wanted (RFC 5280, section 4.1): no more than lengths have to be understood.
"""

import calendar
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Union

_SEQUENCE, _VERSION, _UTC_TIME, _TIME = 0x30, 0xA0, 0x17, 0x18


def validity(path: Union[str, Path]) -> tuple[float, float]:
    """Since when and until when, in seconds since 1970, the first certificate of a PEM file is valid.

    Raises OSError where it cannot be read, and ValueError where it is none.
    """
    text = Path(path).read_text(encoding="ascii", errors="replace")
    end = "-----END CERTIFICATE-----"
    der = ssl.PEM_cert_to_DER_cert(text[: text.find(end) + len(end)].strip())
    try:
        signed = _inner(_inner(der))  # the certificate's part that is signed
        fields = [one for one in _entries(signed) if one[0] != _VERSION]  # which old ones leave out
        since, until = _entries(fields[3][1])  # after number, algorithm and issuer
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path} is no certificate") from error
    return _seconds(*since), _seconds(*until)


def day(at: float) -> str:
    """A moment's day, as people write it: 2026-11-23."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def _inner(data: bytes) -> bytes:
    kind, value = next(_entries(data))
    if kind != _SEQUENCE:
        raise ValueError
    return value


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each entry that stands in some bytes of DER."""
    at = 0
    while at < len(data):
        kind, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:  # so many bytes with the length follow
            more = length & 0x7F
            length = int.from_bytes(data[at : at + more], "big")
            at += more
        if at + length > len(data):
            raise ValueError
        yield kind, data[at : at + length]
        at += length


def _seconds(kind: int, value: bytes) -> float:
    text = value.decode("ascii", "replace")
    if kind == _UTC_TIME:  # two digits of the year: those of 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    elif kind != _TIME:
        raise ValueError("no time")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
