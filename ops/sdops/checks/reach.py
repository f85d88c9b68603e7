"""Checks of the topic ``reach``. No I/O here."""

from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = ()
