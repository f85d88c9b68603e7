"""Checks of the topic ``kernel``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
