"""sdops_runtime: the part of sdops that runs where the pictures are made.

Runs on Python 3.9 with the stack of November 2022 and on today's Python and
libraries alike. Imports nothing from ``sdops``. Importing this package, or
``protocol``, ``stack`` and ``errors``, needs the standard library only.
"""

__version__ = "0.1.0"
