"""Checks of the topic ``runtime``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
