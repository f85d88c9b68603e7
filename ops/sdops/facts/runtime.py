"""The runtime on the host: what is deployed, its service, its queue. No I/O here."""

import json
import re
from dataclasses import dataclass
from typing import Any

from sdops.facts.lines import UNSAID, Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Receipt:
    """What the playbook wrote down when it had deployed the runtime."""

    version: str
    protocol: int
    digest: str
    stack: str
    env: str


@dataclass(frozen=True)
class Service:
    """The worker's service, in systemd's words. restarts: how often systemd started it anew by itself.
    journal: of a worker that ended with an error, what it said last.
    """

    load: str
    active: str
    sub: str
    result: str
    restarts: int
    pid: int
    status: str = ""
    journal: tuple[str, ...] = ()

    @property
    def busy(self) -> str:
        """The job that is being worked on, "" for none."""
        match = re.fullmatch(r"Making pictures of job (\S+)", self.status)
        return match[1] if match else ""

    @property
    def waiting(self) -> str:
        """Why it does not work although it runs, "" for no reason."""
        return self.status[len("Waiting: ") :] if self.status.startswith("Waiting: ") else ""


@dataclass(frozen=True)
class Queue:
    """The account's queue: jobs by state, and those that are being worked on.

    own: whether its file is the account's. error: why it cannot be read, "" where it can.
    """

    own: bool
    owner: str
    error: str = ""
    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    jobs_running: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """The runtime.

    receipt: None where there is none that can be read. archive: SHA-256 of the program, "" for none.
    launcher: yes, none or unusable (it may not be executed). python: what the launcher starts.
    manager: whether the account's own systemd runs. service: None where systemd knows none. queue: None
    where there is none yet. current: whether the worker runs on the Python that the launcher would start;
    None where no worker runs. worker_python: the one that it runs on, where it is another.
    """

    receipt: Receipt | Unknown | None = UNSAID
    archive: str | Unknown = UNSAID
    launcher: str | Unknown = UNSAID
    python: str = ""
    python_there: bool | Unknown = UNSAID
    unit: bool | Unknown = UNSAID
    enabled: bool | Unknown = UNSAID
    manager: bool | Unknown = UNSAID
    service: Service | Unknown | None = UNSAID
    queue: Queue | Unknown | None = UNSAID
    current: bool | None = None
    worker_python: str = ""


def parse(output: Output, wanted: Wanted) -> Runtime | Unknown:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    uid = lines.text("account")
    if uid == "":
        return Unknown(f"there is no account {wanted.user}")
    if lines.text("home") == "hidden":
        return Unknown("the account's home may not be seen by this login")
    archive = lines.text("archive")
    if isinstance(archive, str) and not re.fullmatch(r"[0-9a-f]{64}", archive):
        archive = "" if archive == "none" else UNSAID
    launcher, python, current = lines.text("launcher"), lines.text("python"), lines.text("current")
    return Runtime(
        receipt=_receipt(lines.text("receipt")),
        archive=archive,
        launcher=launcher if launcher in ("yes", "none", "unusable") else UNSAID,
        python=python if isinstance(python, str) else "",
        python_there=lines.flag("python_there"),
        unit=lines.flag("unit"),
        enabled=lines.flag("enabled"),
        manager=lines.flag("manager"),
        service=_service(lines),
        queue=_queue(lines, uid),
        current=None if isinstance(current, Unknown) or not current else current == "yes",
        worker_python=current if isinstance(current, str) and current != "yes" else "",
    )


def _receipt(text: str | Unknown) -> Receipt | Unknown | None:
    if isinstance(text, Unknown):
        return text
    try:
        data: Any = json.loads(text)
        words = [str(data[name]) for name in ("version", "digest", "stack", "env")]
        return Receipt(words[0], int(data["protocol"]), *words[1:])
    except (ValueError, KeyError, TypeError):
        return None


def _service(lines: Lines) -> Service | Unknown | None:
    found = dict(line.partition("=")[::2] for line in lines.all("service") if "=" in line)
    if "ActiveState" not in found:
        return UNSAID
    if found.get("LoadState") == "not-found" and found["ActiveState"] == "inactive":
        return None
    return Service(
        found.get("LoadState", ""),
        found["ActiveState"],
        found.get("SubState", ""),
        found.get("Result", ""),
        _count(found.get("NRestarts", "")),
        _count(found.get("MainPID", "")),
        found.get("StatusText", "")[:300],
        tuple(line[:300] for line in lines.all("journal")),
    )


def _queue(lines: Lines, uid: str | Unknown) -> Queue | Unknown | None:
    said = lines.text("queue")
    if said == "none":
        return None
    if isinstance(said, Unknown) or isinstance(uid, Unknown) or " " not in said:
        return UNSAID
    number, owner = said.split(" ", 1)
    read = lines.text("queue_read")
    if isinstance(read, Unknown):
        return Queue(False, owner, "") if number != uid else UNSAID
    if read != "yes":
        return Queue(number == uid, owner, read)
    jobs = dict(line.rsplit(" ", 1) for line in lines.all("jobs") if " " in line)
    states = ("queued", "running", "done", "failed", "cancelled")
    counts = {state: _count(jobs.get(state, "")) for state in states}
    return Queue(number == uid, owner, "", **counts, jobs_running=lines.all("running"))


def _count(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,18}", text) else 0


PROBE = Probe("runtime", 20, parse)
