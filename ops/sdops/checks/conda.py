"""Checks of the topic ``conda``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
