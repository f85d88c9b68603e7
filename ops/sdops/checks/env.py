"""Checks of the topic ``env``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
