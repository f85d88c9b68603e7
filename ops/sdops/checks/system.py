"""Checks of the topic ``system``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
