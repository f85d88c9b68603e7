"""``python -m sdops_runtime``: the same as running the .pyz."""

import sys

from sdops_runtime.command import main

sys.exit(main())
