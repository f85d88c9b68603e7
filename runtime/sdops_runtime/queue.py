"""The durable queue of a host: which jobs there are, in which order, and how far each has come.

SQLite holds order and state, in ``queue.sqlite``; a folder for each job, in ``jobs``, holds the rest.
A job is accepted once its row is written, which comes after its folder is whole and on the disk.
Everybody may submit, and cancel what waits; only the one who holds ``serving`` changes states otherwise.
Order is that of acceptance and follows from no clock. Standard library only, Python 3.9.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import select
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.jobfolder import STATES, Job, Journal
from sdops_runtime.protocol import Event, JobRequest
from sdops_runtime.store import Store

#: Seconds to wait for another process's transaction. Each takes milliseconds.
PATIENCE = 20

#: Seconds for which a worker that starts waits for the right to run jobs, which others hold for a moment
#: to see whether somebody has it.
_MOMENT = 2.0

#: Seconds after which a folder without a row is nobody's who is just submitting.
_STRAY = 3600.0
#: SQLite writes up to some hundred kB for one transaction.
_ROOM = 2**20

#: What a job is called: when it was asked for, and something random.
NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")

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


def new_name() -> str:
    """A name for a job, which nobody else gives."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def no_room(root: Path) -> bool:
    """Whether the disk is so full that a queue there can hardly be written."""
    try:
        return shutil.disk_usage(root).free < _ROOM
    except OSError:
        return False


def check_name(name: str) -> None:
    """Raises SdopsError("job-unknown") for what is no name of a job."""
    if not NAME.fullmatch(name):
        raise _unknown()


class Queue:
    """The queue below a folder, which is made if it is not there. Raises SdopsError("queue-unusable")."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "inputs")
        self._jobs = root / "jobs"
        self._bell = root / "bell"
        with _usable(root):
            self._jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._open() as base:
                base.execute("PRAGMA journal_mode = WAL")
                base.execute(_SCHEMA)

    def submit(self, request: JobRequest, sources: Sequence[Path]) -> Job:
        """Accepts a job and copies its inputs. Raises SdopsError for a bad request or missing files too."""
        if len(request.inputs) != len(sources):
            raise SdopsError(
                "request-invalid",
                f"The request names {len(request.inputs)} inputs and {len(sources)} files were given.",
                "Give one file for each of the request's inputs, in their order.",
            )
        for source in sources:
            if not (source.is_file() and os.access(source, os.R_OK)):
                raise SdopsError("image-missing", f"{source} does not exist or may not be read.")
        return self._accept(new_name(), request, dict(enumerate(sources)), shutil.copyfile)

    def submit_stored(self, name: str, request: JobRequest) -> Job:
        """Accepts a job whose inputs are in the store; the same job once, however often it is asked for.

        name: of the job. Raises SdopsError("input-lost") where an input is not in the store.
        """
        check_name(name)
        found = {
            number: self.store.path(one.sha256)
            for number, one in enumerate(request.prepared or ())
            if one.sha256
        }
        return self._accept(name, request, found, os.link)

    def _accept(
        self,
        name: str,
        request: JobRequest,
        sources: Mapping[int, Path],
        bring: Callable[[Path, Path], object],
    ) -> Job:
        request.check()
        with _usable(self.root):
            if (self._jobs / name).exists():
                # By an earlier attempt, whose answer did not arrive.
                if self._job((name, "queued", 0)).request() != request:
                    raise SdopsError("request-invalid", "There is another job of that name.")
            else:
                self._furnish(name, request, sources, bring)
            with self._open() as base:
                base.execute("INSERT OR IGNORE INTO jobs (id) VALUES (?)", (name,))
        self.ring()
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
            raise _unknown()
        return self._job(row)

    def waiting(self) -> int:
        """How many jobs run or wait."""
        sql = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
        with _usable(self.root), self._open() as base:
            return int(base.execute(sql).fetchone()[0])

    def ahead(self, job: Job) -> int:
        """How many jobs run, or wait, before a job."""
        sql = (
            "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') "
            "AND number < (SELECT number FROM jobs WHERE id = ?)"
        )
        with _usable(self.root), self._open() as base:
            return int(base.execute(sql, (job.id,)).fetchone()[0])

    def cancel(self, name: str) -> Job:
        """Cancels a job that waits; asks for it if it runs. One that has ended stays as it is."""
        one = self.job(name)
        with _usable(self.root), self._open() as base:
            # Nobody can claim it meanwhile.
            base.execute("BEGIN IMMEDIATE")
            state = base.execute("SELECT state FROM jobs WHERE id = ?", (name,)).fetchone()
            if state == ("queued",):
                self._end(one)
                base.execute("UPDATE jobs SET state = 'cancelled', cancel = 1 WHERE id = ?", (name,))
            elif state == ("running",):
                base.execute("UPDATE jobs SET cancel = 1 WHERE id = ?", (name,))
        return self.job(name)

    def remove(self, job: Job) -> None:
        """Removes a job that has ended, with its folder."""
        with _usable(self.root):
            with self._open() as base:
                base.execute(
                    "DELETE FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running')", (job.id,)
                )
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self, limit: float) -> int:
        """Removes folders of jobs that were never accepted, older than a time; returns the bytes."""
        with _usable(self.root):
            known = {job.id for job in self.jobs()}
            stray = [path for path in self._jobs.iterdir() if path.name not in known]
            stray = [path for path in stray if path.stat().st_mtime <= min(limit, time.time() - _STRAY)]
            freed = sum(file.stat().st_size for path in stray for file in path.rglob("*") if file.is_file())
            for path in stray:
                shutil.rmtree(path, ignore_errors=True)
        return freed

    def served(self) -> bool:
        """Whether a worker serves it now."""
        with _usable(self.root), (self.root / "worker.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def ring(self) -> None:
        """Has a worker that waits look at the queue now."""
        with contextlib.suppress(OSError):  # without a worker there is nobody to hear it
            descriptor = os.open(self._bell, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(descriptor, b"!")
            finally:
                os.close(descriptor)

    # -- for the one who serves

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The right to run jobs, which one process at a time has. Raises SdopsError("worker-running")."""
        with _usable(self.root):
            lock = (self.root / "worker.lock").open("a")
        with lock:
            end = time.monotonic() + _MOMENT
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise SdopsError(
                            "worker-running",
                            f"Another worker serves the queue in {self.root}.",
                            "Stop that one first: systemctl --user stop sdops-runtime",
                        ) from None
                    time.sleep(0.05)
            # Held, so that SQLite's files beside the queue stay: on a full disk nobody could make them anew,
            # and nobody could read the queue.
            keeper = sqlite3.connect(str(self.root / "queue.sqlite"), isolation_level=None)
            try:
                with contextlib.suppress(sqlite3.Error):
                    keeper.execute("SELECT count(*) FROM jobs").fetchone()
                yield
            finally:
                keeper.close()

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[float], None]]:
        """Gives what waits for so many seconds, or until ``ring``."""
        with _usable(self.root):
            if not self._bell.is_fifo():
                self._bell.unlink(missing_ok=True)
                os.mkfifo(self._bell, 0o600)
            # Open for writing, too, so that it never ends.
            descriptor = os.open(self._bell, os.O_RDWR | os.O_NONBLOCK)

        def wait(seconds: float) -> None:
            if select.select([descriptor], [], [], seconds)[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 1 << 16)

        try:
            yield wait
        finally:
            os.close(descriptor)

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

    def claim(self, name: str = "") -> Optional[Job]:
        """The oldest job that waits, or one by name, which runs from now on; None if none waits."""
        with _usable(self.root), self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            row = base.execute(
                "SELECT id, 'running', cancel FROM jobs WHERE state = 'queued' AND ? IN ('', id) "
                "ORDER BY number LIMIT 1",
                (name,),
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

    def _end(self, job: Job) -> None:
        """Writes the last event of a job that is cancelled while it waits."""
        from sdops_runtime.course import summary  # knows images, which nobody else here needs

        earlier = job.events()
        if not any(event.terminal for event in earlier):
            journal = Journal(job)
            journal.append(Event("cancelled", summary(job.request(), earlier)))
            journal.close()

    def _furnish(
        self,
        name: str,
        request: JobRequest,
        sources: Mapping[int, Path],
        bring: Callable[[Path, Path], object],
    ) -> None:
        """Makes the job's folder, whole or not at all."""
        new = self._jobs / f".{name}-{secrets.token_hex(4)}"
        try:
            for folder in (new, new / "in", new / "out"):
                folder.mkdir(mode=0o700)
            for number, source in sources.items():
                try:
                    bring(source, new / "in" / str(number))
                except FileNotFoundError:
                    raise SdopsError(
                        "input-lost",
                        f"The host does not have {request.inputs[number]} any more.",
                        "Run it again.",
                    ) from None
            (new / "request.json").write_text(request.to_json(), encoding="utf-8")
            for path in (*sorted((new / "in").iterdir()), new / "request.json", new / "in", new):
                _sync(path)
            with contextlib.suppress(FileExistsError):
                # Two connections of one client; either has made the same.
                _rename(new, self._jobs / name)
            _sync(self._jobs)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _unknown() -> SdopsError:
    return SdopsError("job-unknown", "There is no job of that name here.", "sdops-runtime jobs lists them.")


def _rename(source: Path, target: Path) -> None:
    """Renames a folder; FileExistsError whichever way the system says so."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise FileExistsError(error.errno, error.strerror, str(target)) from error
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
        # SQLite has several words for it, the most common of which means any trouble.
        if full or (isinstance(error, sqlite3.Error) and no_room(root)) or "disk is full" in str(error):
            message = f"The disk with {root} is full."
            raise SdopsError("disk-full", message, "Free some space on it.") from error
        reason = getattr(error, "strerror", None) or error
        raise SdopsError(
            "queue-unusable",
            f"The queue in {root} cannot be used: {reason}.",
            "Look at that folder's rights.",
        ) from error
