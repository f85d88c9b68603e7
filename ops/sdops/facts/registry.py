"""Every probe, in the order in which a host is asked: what may hang comes last, and takes nothing with it."""

from sdops.facts import access, cache, conda, driver, env, hub, kernel, nvidia, runtime, system, token
from sdops.facts.probe import Probe

PROBES: tuple[Probe, ...] = (
    system.PROBE,
    conda.PROBE,
    env.PROBE,
    token.PROBE,
    cache.PROBE,
    runtime.PROBE,
    driver.PROBE,
    hub.PROBE,
    nvidia.PROBE,
    access.PROBE,
    kernel.PROBE,
)
