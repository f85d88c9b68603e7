"""Checks of the topic ``driver``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
