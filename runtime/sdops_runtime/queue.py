"""The durable queue of a host: which jobs there are, in which order, and how far each has come.

SQLite holds order and state, in ``queue.sqlite``; a folder for each job, in ``jobs``, holds the rest.
A job is accepted once its row is written, which comes after its folder is whole and on the disk.
Everybody may submit and ask to cancel; only the one who holds ``serving`` changes states otherwise.
Order is that of acceptance and follows from no clock. Standard library only, Python 3.9.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.jobfolder import STATES, Job
from sdops_runtime.protocol import JobRequest

#: Seconds to wait for another process's transaction. Each takes milliseconds.
PATIENCE = 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'queued',
    cancel INTEGER NOT NULL DEFAULT 0
)
"""


def default_root() -> Path:
    """The account's own place for the queue."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "sdops"


class Queue:
    """The queue below a folder, which is made if it is not there. Raises SdopsError("queue-unusable")."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._jobs = root / "jobs"
        with _usable(root):
            self._jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._open() as base:
                base.execute("PRAGMA journal_mode = WAL")
                base.execute(_SCHEMA)

    def submit(self, request: JobRequest, sources: Sequence[Path]) -> Job:
        """Accepts a job and copies its inputs. Raises SdopsError for a bad request or missing files too."""
        request.check()
        if len(request.inputs) != len(sources):
            raise SdopsError(
                "request-invalid",
                f"The request names {len(request.inputs)} inputs and {len(sources)} files were given.",
                "Give one file for each of the request's inputs, in their order.",
            )
        for source in sources:
            if not (source.is_file() and os.access(source, os.R_OK)):
                raise SdopsError("image-missing", f"{source} does not exist or may not be read.")
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        with _usable(self.root):
            self._furnish(name, request, sources)
            with self._open() as base:
                base.execute("INSERT INTO jobs (id) VALUES (?)", (name,))
        return self.job(name)

    def jobs(self) -> list[Job]:
        """All jobs, in the order in which they were accepted."""
        with _usable(self.root), self._open() as base:
            rows = base.execute("SELECT id, state, cancel FROM jobs ORDER BY number").fetchall()
        return [self._job(row) for row in rows]

    def job(self, name: str) -> Job:
        """One job. Raises SdopsError("job-unknown")."""
        with _usable(self.root), self._open() as base:
            row = base.execute("SELECT id, state, cancel FROM jobs WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise SdopsError(
                "job-unknown", "There is no job of that name here.", "sdops-runtime jobs lists them."
            )
        return self._job(row)

    def cancel(self, name: str) -> Job:
        """Cancels a job that waits; asks for it if it runs. One that has ended stays as it is."""
        with _usable(self.root), self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            base.execute(
                "UPDATE jobs SET cancel = 1 WHERE id = ? AND state IN ('queued', 'running')", (name,)
            )
        return self.job(name)

    # -- for the one who serves

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The right to run jobs, which one process at a time has. Raises SdopsError("worker-running")."""
        with _usable(self.root):
            lock = (self.root / "worker.lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SdopsError(
                    "worker-running",
                    f"Another worker serves the queue in {self.root}.",
                    "Stop that one first: systemctl --user stop sdops-runtime",
                ) from None
            yield

    def wait_again(self) -> None:
        """Has jobs wait again, at their old place, that were running when somebody stopped serving."""
        with _usable(self.root), self._open() as base:
            base.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")

    def wants_cancelling(self, job: Job) -> bool:
        """Whether somebody asked to cancel it. A queue that cannot be read is no reason to stop: no."""
        try:
            return self.job(job.id).cancel
        except SdopsError:
            return False

    def claim(self) -> Optional[Job]:
        """The oldest job that waits, which runs from now on; None if none waits."""
        with _usable(self.root), self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            row = base.execute(
                "SELECT id, 'running', cancel FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1"
            ).fetchone()
            if row is not None:
                base.execute("UPDATE jobs SET state = 'running' WHERE id = ?", (row[0],))
        return None if row is None else self._job(row)

    def leave(self, job: Job, state: str) -> None:
        """Writes down how a job that ran was left: ended in one of STATES, or queued again."""
        assert state in STATES
        with _usable(self.root), self._open() as base:
            base.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, job.id))

    # -- inside

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, which is on the disk when this ends."""
        base = sqlite3.connect(str(self.root / "queue.sqlite"), timeout=PATIENCE, isolation_level=None)
        try:
            base.execute("PRAGMA synchronous = FULL")
            yield base
            if base.in_transaction:
                base.execute("COMMIT")
        finally:
            base.close()

    def _job(self, row: tuple[Any, ...]) -> Job:
        return Job(row[0], row[1], bool(row[2]), self._jobs / row[0])

    def _furnish(self, name: str, request: JobRequest, sources: Sequence[Path]) -> None:
        """Makes the job's folder, whole or not at all."""
        new = self._jobs / f".{name}"
        try:
            for folder in (new, new / "in", new / "out"):
                folder.mkdir(mode=0o700)
            for number, source in enumerate(sources):
                shutil.copyfile(source, new / "in" / str(number))
            (new / "request.json").write_text(request.to_json(), encoding="utf-8")
            for path in (*sorted((new / "in").iterdir()), new / "request.json", new / "in", new):
                _sync(path)
            new.rename(self._jobs / name)
            _sync(self._jobs)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _usable(root: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if full or re.search("disk is full", str(error)):
            message = f"The disk with {root} is full."
            raise SdopsError("disk-full", message, "Free some space on it.") from error
        reason = getattr(error, "strerror", None) or error
        raise SdopsError(
            "queue-unusable",
            f"The queue in {root} cannot be used: {reason}.",
            "Look at that folder's rights.",
        ) from error
