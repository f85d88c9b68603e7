"""Checks of the topic ``gpu``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
