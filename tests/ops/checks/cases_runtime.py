"""Facts that trigger the checks of the topic ``runtime``, one by one."""

from dataclasses import replace

from sdops.facts.runtime import Queue, Receipt, Runtime, Service

DIGEST = "d" * 64

HEALTHY = {
    "runtime": Runtime(
        receipt=Receipt("0.1.0", 1, DIGEST, "guide", "env1"),
        archive=DIGEST,
        launcher="yes",
        python="/home/sdops/miniconda3/envs/env1/bin/python",
        python_there=True,
        unit=True,
        enabled=True,
        manager=True,
        service=Service("loaded", "active", "running", "success", 0, 812, "Ready"),
        queue=Queue(own=True, owner="sdops", done=3),
        current=True,
    )
}


def runtime(**fields):
    return lambda facts: replace(facts, runtime=replace(facts.runtime, **fields))


def service(**fields):
    return lambda facts: runtime(service=replace(facts.runtime.service, **fields))(facts)


def deployed(**fields):
    """What was deployed, and to its end."""
    receipt = replace(HEALTHY["runtime"].receipt, **fields)
    return runtime(receipt=receipt, archive=receipt.digest)


CASES = {
    "runtime-deployed": runtime(archive="", receipt=None),
    "launcher": runtime(launcher="unusable"),
    "runtime-damaged": runtime(archive="e" * 64),
    "runtime-protocol": deployed(digest="e" * 64, protocol=2),
    "runtime-stale": deployed(digest="e" * 64),
    "user-manager": runtime(manager=False, service=None, current=None),
    "unit": runtime(unit=False, service=None, current=None),
    "worker-loop": service(active="activating", sub="auto-restart", result="exit-code", restarts=4, pid=0),
    "worker-dead": service(active="inactive", sub="dead", pid=0, status=""),
    "worker-disabled": runtime(enabled=False),
    "worker-old": runtime(current=False, worker_python="/home/sdops/.conda/envs/env1-old/bin/python3.9"),
    "queue": runtime(queue=Queue(own=True, owner="sdops", error="database disk image is malformed")),
    "worker-waiting": service(status="Waiting: The queue in /home/sdops cannot be used: Permission denied."),
}
