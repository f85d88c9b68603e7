"""Whether and how a host was reached, as seen from this side. No I/O here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reach:
    """How the connection went.

    error: the code of the SdopsError that ended it, "" for none; message and
    hint: its words. whole: whether all that was asked for was answered before
    the connection ended. noise: what the host printed before the first answer.
    started, answered: this side's clock, in seconds of the epoch, when the
    questions were sent and when the first answer came; 0 where neither was.
    """

    error: str = ""
    message: str = ""
    hint: str = ""
    whole: bool = True
    noise: str = ""
    started: float = 0.0
    answered: float = 0.0
