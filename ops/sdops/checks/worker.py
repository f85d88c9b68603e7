"""Checks of the topic ``runtime`` about the worker, its service and its queue. No I/O here."""

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import playbook, there
from sdops.checks.sure import is_local, sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.runtime import Runtime, Service

UNIT = "sdops-runtime.service"


def runtime(facts: HostFacts) -> Runtime | None:
    """What the host has of the runtime; None for this machine, which needs no such thing."""
    return None if is_local(facts) else sure(facts.runtime)


def _service(facts: HostFacts) -> Service | None:
    """The service; None for this machine, and where systemd knows none."""
    found = runtime(facts)
    return sure(found.service) if found else None


def _journal(facts: HostFacts) -> str:
    """The command that shows what the worker said last. root's, since the account may not read it all."""
    return there(facts, f"journalctl --no-pager -n 30 _SYSTEMD_USER_UNIT={UNIT}")


def _state(service: Service) -> tuple[str, ...]:
    said = f"{service.active} ({service.sub}), result {service.result}, started anew {service.restarts} times"
    return (f"systemctl --user show {UNIT}: {said}",)


@unless_unknown
def _loop(facts: HostFacts) -> Finding | None:
    service = _service(facts)
    if not service:
        return None
    # Of an error it is started anew, so that one which has failed has done so as often as it may.
    if service.active != "failed" and not service.sub.startswith("auto-restart"):
        return None
    return Finding(
        "The worker ends again and again when it is started.",
        "No job that is queued is worked on.",
        (*_state(service), *service.journal),
        "Its journal says why. When that is mended, or if it shows nothing, deploy the runtime anew, which "
        "starts it.",
        (_journal(facts), *playbook(facts, "runtime")),
    )


@unless_unknown
def _dead(facts: HostFacts) -> Finding | None:
    if is_local(facts):
        return None
    service = _service(facts)
    if service and service.active in ("active", "activating", "reloading"):
        return None
    return Finding(
        "The worker's service does not run." if service else "systemd does not know the worker's service.",
        "Jobs are queued, and none is worked on.",
        _state(service) if service else (f"systemctl --user show {UNIT}: not found",),
        "Start it, by the playbook, which looks at the rest, too.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _disabled(facts: HostFacts) -> Finding | None:
    found = runtime(facts)
    if not found or sure(found.enabled):
        return None
    return Finding(
        "The worker's service is not started when the host boots.",
        "After the next reboot jobs are queued, and none is worked on.",
        (f"~/.config/systemd/user/default.target.wants/{UNIT} is not there",),
        "Have it started.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _old(facts: HostFacts) -> Finding | None:
    found = runtime(facts)
    service = _service(facts)
    if not found or not service or service.active != "active" or found.current is not False:
        return None
    return Finding(
        "The worker runs in another environment than the one that is there now.",
        "Pictures are made with other versions than the inventory names, or fail.",
        (f"it runs {found.worker_python}", f"it would run {found.python}"),
        "Start it anew; the picture in hand is finished first.",
        playbook(facts, "runtime"),
    )


@unless_unknown
def _waiting(facts: HostFacts) -> Finding | None:
    service = _service(facts)
    if not service or not service.waiting:
        return None
    return Finding(
        "The worker waits, since it cannot write what it should.",
        "No job is worked on until then. It tries again twice a minute.",
        (service.status,),
        "Mend what it says.",
        (_journal(facts),),
    )


@unless_unknown
def _queue(facts: HostFacts) -> Finding | None:
    found = runtime(facts)
    queue = sure(found.queue) if found else None
    if not queue or (queue.own and not queue.error):
        return None
    path = "~/.local/share/sdops"
    if not queue.own:
        return Finding(
            f"The queue belongs to {queue.owner}, not to {facts.wanted.user}.",
            "The worker cannot write how far jobs have come.",
            (f"{path}/queue.sqlite: owner {queue.owner}",),
            "Something was run as another account there. Give it back.",
            (there(facts, f"chown -R {facts.wanted.user}: ~{facts.wanted.user}/.local/share/sdops"),),
        )
    return Finding(
        "The queue cannot be read.",
        "No job is worked on, and none can be given to the host.",
        (f"{path}/queue.sqlite: {queue.error}",),
        "Put the file aside; the jobs' folders, with all pictures, stay. The worker begins a new queue.",
        (
            there(
                facts,
                f"systemctl --user stop {UNIT}; mv {path}/queue.sqlite {path}/queue.sqlite.damaged; "
                f"rm -f {path}/queue.sqlite-wal {path}/queue.sqlite-shm; systemctl --user start {UNIT}",
                as_account=True,
            ),
        ),
    )


#: What must be right before anybody asks why the worker does not run: it is a consequence of all of this.
_SERVICE = (
    "disk-full",
    "disk-inodes",
    "disk-read-only",
    "linger",
    "conda",
    "env",
    "launcher",
    "runtime-damaged",
    "unit",
    "user-manager",
)

CHECKS: tuple[Check, ...] = (
    Check(
        "worker-loop",
        "runtime",
        "the worker stays when it is started",
        Severity.ERROR,
        _loop,
        "Something that the worker needs when it starts is broken. systemd tries some times and gives up.",
        "The journal has its words. The tag `runtime` starts it again.",
        needs=_SERVICE,
    ),
    Check(
        "worker-dead",
        "runtime",
        "the worker runs",
        Severity.ERROR,
        _dead,
        "Somebody stopped it, or it ended with an error.",
        "The tag `runtime` starts it.",
        needs=(*_SERVICE, "worker-loop"),
    ),
    Check(
        "worker-disabled",
        "runtime",
        "the worker starts with the host",
        Severity.WARNING,
        _disabled,
        "Somebody disabled the service, or the playbook broke off.",
        "The tag `runtime` enables it.",
        needs=("worker-dead",),
    ),
    Check(
        "worker-old",
        "runtime",
        "the worker runs in the environment that is there",
        Severity.ERROR,
        _old,
        "The environment was made anew, and the worker goes on with the one before.",
        "The tag `runtime` starts it anew.",
        needs=("worker-dead",),
    ),
    Check(
        "queue",
        "runtime",
        "the queue can be read",
        Severity.ERROR,
        _queue,
        "The file was damaged by a failing disk, or something was run as root in the account's home.",
        "Give the file back to the account, or put it aside.",
        needs=("home", "disk-full", "disk-read-only"),
    ),
    Check(
        "worker-waiting",
        "runtime",
        "the worker works",
        Severity.ERROR,
        _waiting,
        "The worker cannot write its queue or a job's folder, and tries again after a while.",
        "Mend what its status says; it goes on by itself.",
        needs=("worker-dead", "disk-full", "disk-inodes", "disk-read-only", "queue"),
    ),
)
