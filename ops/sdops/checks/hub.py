"""Checks of the topic ``hub``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
