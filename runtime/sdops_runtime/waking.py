"""Sees to it that somebody serves the queue: the account's service, or where that cannot be, a worker alone.

Standard library only, Python 3.9.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import sdops_runtime
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import membership
from sdops_runtime.queue import Queue

UNIT = "sdops-runtime.service"
#: Seconds in which a worker is up, which then loads its libraries at the first job.
PATIENCE = 60.0
#: Seconds for the journal to take down what a service said that has just ended; more than one was seen.
_BEHIND = 3.0
#: A log that is longer begins anew, in bytes.
_LONG = 2**20


def wake(queue: Queue) -> None:
    """Starts a worker unless one serves already. Raises SdopsError("worker-dead"), with what it said last."""
    if queue.served():
        return
    if _has_service():
        # What has failed too often in a row is started again only after this.
        _systemctl("reset-failed", UNIT)
        begun = time.time()
        started = _systemctl("start", UNIT)
        if started.returncode:
            # Not what an earlier one said, that did start. The journal is a little behind.
            said, end = "", time.monotonic() + _BEHIND
            while not said and time.monotonic() < end:
                time.sleep(0.1)
                said = _journal(20, f"--since=@{begun:.3f}")
            raise _dead(said, f"journalctl _SYSTEMD_USER_UNIT={UNIT} -n 50", _result() or started.stderr)
        return
    _detach(queue)


def log(queue: Queue, lines: int) -> str:
    """The last lines that the worker wrote about itself, and on a fleet's host the fleet's services."""
    if _has_service():
        # Several of one field mean any of them; see journalctl(1).
        return _journal(lines, *(f"_SYSTEMD_USER_UNIT={unit}" for unit in _fleet_units()))
    return _tail(_log_of(queue), lines)


def _has_service() -> bool:
    """Whether the account's own systemd runs, and has the worker as a service."""
    unit = Path.home() / ".config" / "systemd" / "user" / UNIT
    return unit.exists() and _systemctl("cat", UNIT).returncode == 0


def _systemctl(*words: str) -> "subprocess.CompletedProcess[str]":
    return _call("systemctl", "--user", *words)


def _call(*argv: str) -> "subprocess.CompletedProcess[str]":
    # Set by a login; a command over SSH may have come without one.
    folder = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def _fleet_units() -> list[str]:
    """The host's services for a fleet."""
    try:
        mine = membership.read()
    except SdopsError:
        return []
    if mine is None:
        return []
    return [
        "sdops-fleet-scheduler.service",
        *(f"sdops-fleet-worker@{slot}.service" for slot in range(mine.slots)),
    ]


def _result() -> str:
    """How the service ended, in systemd's words."""
    shown = _systemctl("show", "--value", "--property=Result", UNIT).stdout.strip()
    return f"its service ended with the result {shown}" if shown and shown != "success" else ""


def _journal(lines: int, *more: str) -> str:
    words = (f"_SYSTEMD_USER_UNIT={UNIT}", *more, "-n", str(lines), "-o", "cat", "--no-pager", "--quiet")
    return _call("journalctl", *words).stdout


def _detach(queue: Queue) -> None:
    """Starts a worker that outlives this connection, and ends when there is nothing more to do."""
    path = _log_of(queue)
    with path.open("ab") as file:
        if file.tell() > _LONG:
            file.truncate(0)
        process = subprocess.Popen(
            [*_program(), "serve", "--leave"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=str(Path.home()),
            start_new_session=True,
        )
    end = time.monotonic() + PATIENCE
    while not queue.served():
        if process.poll() is not None or time.monotonic() > end:
            if queue.served():  # another one was quicker
                return
            raise _dead(_tail(path, 20), f"tail -n 50 {path}")
        time.sleep(0.05)


def _program() -> list[str]:
    """The words that start the runtime: its launcher, which activates the environment, or what runs here."""
    launcher = os.environ.get("SDOPS_LAUNCHER", "")
    if launcher:
        return [launcher]
    archive = getattr(sdops_runtime.__loader__, "archive", None)
    return [sys.executable, archive] if archive else [sys.executable, "-m", "sdops_runtime"]


def _log_of(queue: Queue) -> Path:
    return queue.root / "worker.log"


def _tail(path: Path, lines: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16)))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _dead(said: str, look: str, otherwise: str = "it said nothing") -> SdopsError:
    """otherwise: the reason where nothing was said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = (lines[-1] if lines else otherwise.strip().split("\n")[-1]).rstrip(".") + "."
    for line in reversed(lines):
        try:
            told = json.loads(line)
            reason = f"{told['message']} {told['hint']}".strip()
            break
        except (ValueError, KeyError, TypeError):
            continue
    return SdopsError(
        "worker-dead", f"The host's worker does not start: {reason[:500]}", f"On the host: {look}"
    )
