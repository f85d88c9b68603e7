"""Every check, causes before what they cause: the first error of a host is the one to mend first."""

from sdops.checks import conda, driver, env, gpu, hub, kernel, reach, runtime, system
from sdops.checks.finding import Check

CHECKS: tuple[Check, ...] = (
    *reach.CHECKS,
    *system.CHECKS,
    *driver.CHECKS,
    *gpu.CHECKS,
    *conda.CHECKS,
    *env.CHECKS,
    *kernel.CHECKS,
    *hub.CHECKS,
    *runtime.CHECKS,
)
