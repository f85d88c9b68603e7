"""What this process knows of itself. Standard library only, Python 3.9."""

import os
import time
from pathlib import Path


def age() -> float:
    """Seconds since this process began; see proc(5), starttime."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    begun = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun
