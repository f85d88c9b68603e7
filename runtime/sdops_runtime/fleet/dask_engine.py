"""The fleet's engine, Dask.distributed: the one module that imports it.

Everybody shows a certificate of the fleet's own authority to everybody, over TLS, on private addresses.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import queue
import signal
import sys
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import member
from sdops_runtime.fleet.engine import Done, LostError
from sdops_runtime.fleet.membership import DEPLOY, MEMBERS, Membership

#: Seconds after which one that says nothing is taken for gone, and what it had in hand is done again.
SILENCE = 20
#: Seconds for a connection within the fleet.
CONNECT = 5
#: So often an unexpected error of a member is tried again, and so many members may end over a task.
RETRIES, ENDED = 2, 3
#: Seconds between two looks of the head at who is there.
LOOK = 2.0

#: Seconds for a result, which may have to be made again where its maker is gone.
PATIENCE = 60
#: What a connection that is not there is told by.
_GONE = (
    *(OSError, RuntimeError, TimeoutError, asyncio.TimeoutError, FutureTimeoutError),
    # The head has forgotten a task: it began anew.
    *(CancelledError, asyncio.CancelledError),
)

_SETTINGS: Mapping[str, Any] = {
    "distributed.comm.timeouts.connect": f"{CONNECT}s",
    "distributed.comm.timeouts.tcp": f"{SILENCE}s",
    "distributed.scheduler.worker-ttl": f"{SILENCE}s",
    "distributed.scheduler.allowed-failures": ENDED,
    "distributed.scheduler.events-cleanup-delay": "10 minutes",
    # What is not needed is not there: no pages about the fleet, no samples of running code.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.logging": {"distributed": "warning"},
    # Pictures are large, and nothing is moved between members.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
#: An HTTP server is started in any case; nobody can ask it from elsewhere, and it has no answers.
_NO_PAGES = "127.0.0.1:0"

_LOG = logging.getLogger(__name__)


def _libraries(mine: Membership) -> Any:
    """Dask's modules. What the environment has of their libraries goes before theirs."""
    if mine.libraries not in sys.path:
        sys.path.append(mine.libraries)
    try:
        import dask

        dask.config.set(dict(_SETTINGS))  # some of it is read once
        import distributed
    except ImportError as error:
        raise SdopsError(
            "fleet-unusable", f"What shares jobs out cannot be loaded: {error}.", DEPLOY
        ) from error
    return distributed


def _security(distributed: Any, mine: Membership) -> Any:
    for path in (mine.authority, mine.certificate, mine.key):
        if not os.access(path, os.R_OK):
            raise SdopsError("fleet-unusable", f"The certificate file {path} cannot be read.", DEPLOY)
    keys = {
        f"tls_{role}_{kind}": value
        for role in ("client", "worker", "scheduler")
        for kind, value in (("cert", mine.certificate), ("key", mine.key))
    }
    return distributed.Security(require_encryption=True, tls_ca_file=mine.authority, **keys)


# -- the processes of a fleet


def schedule(mine: Membership, root: Path, ready: Callable[[], None]) -> None:
    """Runs the fleet's scheduler until told to stop, and writes down who is there."""
    distributed = _libraries(mine)
    port = int(mine.scheduler.rpartition(":")[2])

    async def run() -> None:
        scheduler = distributed.Scheduler(
            host=mine.address,
            port=port,
            protocol="tls",
            security=_security(distributed, mine),
            dashboard_address=_NO_PAGES,
        )
        with _stopped() as stop:
            async with scheduler:
                ready()
                written = ""
                while not stop.is_set():
                    there = sorted(
                        (str(one.name), bool(one.processing)) for one in scheduler.workers.values()
                    )
                    text = json.dumps([{"name": name, "busy": busy} for name, busy in there])
                    if text != written:
                        written = _write(root / MEMBERS, text)
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(stop.wait(), LOOK)
        _write(root / MEMBERS, "[]")

    asyncio.run(run())


def work(mine: Membership, slot: int, wanted: str, idle: float, ready: Callable[[], None]) -> None:
    """Runs one member until told to stop, or until the head is lost: then it ends, to be started anew."""
    distributed = _libraries(mine)
    name = f"{mine.name}/{slot}"

    async def run() -> bool:
        worker = distributed.Worker(
            f"tls://{mine.scheduler}",
            name=name,
            host=mine.address,
            port=mine.port + slot,
            protocol="tls",
            security=_security(distributed, mine),
            nthreads=1,
            resources={"gpu": 1},
            memory_limit=0,
            dashboard_address=_NO_PAGES,
            dashboard=False,
            local_directory=str(_scratch(slot)),
            # Seconds that it tries to find the head; then systemd starts it again.
            death_timeout=CONNECT * 4,
        )
        one = member.Member(name, wanted, lambda topic, told: worker.log_event(topic, dict(told)))
        member.enlist(one)
        with _stopped() as stop:
            await worker
            ready()
            while not stop.is_set() and worker.status.name in ("running", "paused"):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK)
                one.rest(idle)
            lost = not stop.is_set()
            with contextlib.suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(worker.close(timeout=1, executor_wait=False), CONNECT)
            return lost

    lost = asyncio.run(run())
    if lost:
        _LOG.warning("the head of the fleet was lost")
    # What is in hand is done again by another one, and its thread cannot be told to end.
    sys.stdout.flush()
    os._exit(int(lost))


@contextlib.contextmanager
def _stopped() -> Iterator[asyncio.Event]:
    """Gives what is set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for kind in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(kind, stop.set)
    yield stop


def _scratch(slot: int) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "sdops" / f"fleet-{slot}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _write(path: Path, text: str) -> str:
    """For people's eyes alone: a disk that is full is no reason to end."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
    return text


# -- the one who has a job


class DaskCrew:
    """An ``engine.Crew`` of the fleet's members."""

    def __init__(self, mine: Membership, topic: str) -> None:
        distributed = _libraries(mine)
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._tasks: dict[int, Any] = {}
        self._numbers = itertools.count()
        self._prefix = f"{topic}-{os.urandom(4).hex()}"
        self._distributed = distributed
        try:
            self._client = distributed.Client(
                f"tls://{mine.scheduler}",
                security=_security(distributed, mine),
                set_as_default=False,
                direct_to_workers=True,
                timeout=CONNECT,
            )
        except _GONE as error:
            raise LostError from error
        self._client.subscribe_topic(topic, lambda event: self._told.put(_own(event[1])))

    def members(self) -> Mapping[str, str]:
        """As ``engine.Crew``."""
        self._check()
        there = self._client.scheduler_info()["workers"]
        return {address: str(about["name"]) for address, about in there.items()}

    def hand(self, action: str, words: tuple[Any, ...], among: Collection[str]) -> int:
        """As ``engine.Crew``."""
        self._check()
        ticket = next(self._numbers)
        task = self._client.submit(
            getattr(member, action),
            *words,
            key=f"{self._prefix}-{ticket}",
            workers=sorted(among),
            resources={"gpu": 1},
            retries=RETRIES,
            pure=False,
        )
        self._tasks[ticket] = task
        task.add_done_callback(lambda _: self._ended.put(ticket))
        return ticket

    def withdraw(self, ticket: int) -> None:
        """As ``engine.Crew``."""
        task = self._tasks.pop(ticket, None)
        if task is not None:
            with contextlib.suppress(*_GONE):
                task.cancel()

    def next(self, seconds: float) -> Optional[Done]:
        """As ``engine.Crew``."""
        self._check()
        while True:
            try:
                ticket = self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait()
            except queue.Empty:
                return None
            task = self._tasks.pop(ticket, None)
            if task is not None:
                return self._done(ticket, task)

    def heard(self) -> list[Mapping[str, Any]]:
        """As ``engine.Crew``."""
        found = []
        while not self._told.empty():
            found.append(self._told.get())
        return found

    def close(self) -> None:
        """As ``engine.Crew``."""
        for ticket in list(self._tasks):
            self.withdraw(ticket)
        with contextlib.suppress(*_GONE):
            self._client.close(timeout=CONNECT)

    def _check(self) -> None:
        if self._client.status != "running":
            raise LostError

    def _done(self, ticket: int, task: Any) -> Done:
        try:
            error = task.exception(timeout=PATIENCE)
            if error is None:
                return Done(ticket, task.result(timeout=PATIENCE))
        except _GONE as gone:
            raise LostError from gone
        if isinstance(error, CancelledError):
            raise LostError from error
        if isinstance(error, self._distributed.KilledWorker):
            message = f"A piece of the job ended {ENDED} workers of the fleet, one after the other."
            hint = "What they said: sdops logs --worker 50"
            return Done(ticket, error=SdopsError("fleet-piece", message, hint))
        what = f"Something unexpected happened on a worker: {type(error).__name__}: {error}"
        return Done(ticket, error=SdopsError("internal-error", what))


def _own(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a member told, without what the engine has added."""
    return {name: value for name, value in told.items() if name != "worker"}


def crew(mine: Membership) -> Callable[[str], DaskCrew]:
    """What gathers the fleet's members for a job."""
    return lambda topic: DaskCrew(mine, topic)
