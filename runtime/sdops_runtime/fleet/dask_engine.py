"""The fleet's engine, Dask.distributed: the one module that imports it.

Everybody shows a certificate of the fleet's own authority to everybody, over TLS, on private addresses.
"""

import asyncio
import contextlib
import errno
import itertools
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Collection, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Callable, Optional

from sdops_runtime import dialect
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import knock, member
from sdops_runtime.fleet.engine import ENDED, Crew, Done, LostError, There, deadly
from sdops_runtime.fleet.membership import DEPLOY, MEMBERS, Membership

#: Seconds after which one that says nothing is taken for gone, and what it had in hand is done again.
SILENCE = 20
#: Seconds for a connection within the fleet, and for the head to say who is there.
CONNECT = 5
#: Seconds that a member tries to find the head, before systemd starts it again.
AWAY = 20
#: Seconds between two looks of the head at who is there, and of a member for the head.
LOOK = 2.0
#: Under which members tell of jobs. One for all: the head keeps each topic for ever.
TOPIC = "sdops"

_SETTINGS: Mapping[str, Any] = {
    "distributed.comm.timeouts.connect": f"{CONNECT}s",
    "distributed.comm.timeouts.tcp": f"{SILENCE}s",
    "distributed.scheduler.worker-ttl": f"{SILENCE}s",
    # So many members may end over a task, and it is still given to another one.
    "distributed.scheduler.allowed-failures": ENDED - 1,
    "distributed.scheduler.events-cleanup-delay": "10 minutes",
    # What is not needed is not there: no pages about the fleet, no samples of running code.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    # What the client has to say, it says by what it raises: of a lost head it logs a traceback besides.
    "distributed.logging": {"distributed": "warning", "distributed.client": "critical"},
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
    knock.readable(mine)
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
        scheduler.handlers["sdops_look"] = lambda prefix: _presence(scheduler, prefix)
        with _stopped() as stop:
            if not await _started(scheduler, stop, "scheduler", port):
                return
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


def _presence(scheduler: Any, prefix: str) -> Mapping[str, Any]:
    """Who is there, and over which tasks with this prefix members have ended, and how many."""
    members = [
        [str(one.name), one.address, str(one.server_id), bool(one.processing)]
        for one in scheduler.workers.values()
    ]
    tolls = [
        [key, task.suspicious]
        for key, task in scheduler.tasks.items()
        if task.suspicious and str(key).startswith(prefix)
    ]
    return {"members": members, "tolls": tolls}


def work(mine: Membership, slot: int, wanted: str, idle: float, ready: Callable[[], None]) -> None:
    """Runs one member until told to stop, or until the head is lost: then it ends, to be started anew.

    Raises SdopsError("fleet-unusable") where it cannot begin.
    """
    distributed = _libraries(mine)
    _find_head(mine)
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
            death_timeout=AWAY,
        )

        def tell(topic: str, told: Mapping[str, Any]) -> None:
            worker.log_event(TOPIC, {"job": topic, **told})

        member.enlist(member.Member(name, wanted, tell))
        with _stopped() as stop:
            if not await _started(worker, stop, "worker", mine.port + slot):
                return False
            ready()
            while not stop.is_set() and worker.status.name in ("running", "paused"):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK)
                member.rest(idle)
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


def _find_head(mine: Membership) -> None:
    """Waits a while for the head, without the engine, whose waiting ends in a traceback."""
    end = time.monotonic() + AWAY
    while True:
        try:
            return knock.knock(mine, CONNECT)
        except LostError as error:
            if time.monotonic() > end:
                away = f"The head of the fleet does not answer at {mine.scheduler}."
                raise SdopsError("fleet-unusable", away, "It is tried again and again.") from error
        time.sleep(LOOK)


async def _started(server: Any, stop: asyncio.Event, what: str, port: int) -> bool:
    """Starts one of the engine's servers; False where it was told to stop meanwhile.

    Raises SdopsError("fleet-unusable") with the reason where it does not start.
    """
    starting = asyncio.ensure_future(server.start())
    stopping = asyncio.ensure_future(stop.wait())
    logging.disable()  # it has tracebacks for what is said in a line below
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    logging.disable(logging.NOTSET)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        return False
    error: Optional[BaseException] = starting.exception()
    if error is None:
        return True
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        why, hint = f"another program listens at its port {port}", f"Who that is: ss -tlnp sport = :{port}"
    else:
        why, hint = dialect.last_line(error) or type(error).__name__, ""
    raise SdopsError("fleet-unusable", f"The {what} of the fleet does not start: {why}.", hint) from error


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
        """Raises LostError where the head is away, SdopsError where the host is not let in."""
        distributed = _libraries(mine)
        knock.knock(mine, CONNECT)
        self._ended: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._tasks: dict[int, Any] = {}
        self._addresses: dict[str, str] = {}
        self._tolls: dict[str, int] = {}
        self._numbers = itertools.count()
        self._topic = topic
        self._prefix = f"{topic}-{os.urandom(4).hex()}-"
        self._distributed = distributed
        # One of our own: the engine leaves its loop behind if it cannot begin.
        self._loop = _Loop(distributed)
        try:
            with self._border():
                self._client = distributed.Client(
                    f"tls://{mine.scheduler}",
                    security=_security(distributed, mine),
                    set_as_default=False,
                    direct_to_workers=True,
                    timeout=CONNECT,
                    loop=self._loop.io,
                )
                self._client.subscribe_topic(TOPIC, self._hear)
        except BaseException:
            self._loop.end()
            raise

    def members(self) -> Mapping[str, There]:
        """As ``engine.Crew``."""
        with self._border():
            told = self._client.sync(
                self._client.scheduler.sdops_look, prefix=self._prefix, callback_timeout=2 * CONNECT
            )
        self._addresses = {name: address for name, address, _, _ in told["members"]}
        self._tolls = {str(key): count for key, count in told["tolls"]}
        return {name: There(process, busy) for name, _, process, busy in told["members"]}

    def toll(self, ticket: int) -> int:
        """As ``engine.Crew``."""
        return self._tolls.get(self._key(ticket), 0)

    def hand(self, action: str, words: tuple[Any, ...], among: Collection[str]) -> int:
        """As ``engine.Crew``."""
        ticket = next(self._numbers)
        with self._border():
            task = self._client.submit(
                getattr(member, action),
                *words,
                key=self._key(ticket),
                workers=sorted(self._addresses[name] for name in among),
                resources={"gpu": 1},
                retries=0,  # what it fails with says who it was, and another one is to try it
                pure=False,
            )
            self._tasks[ticket] = task
            self._loop.start(self._fetch(ticket, task))
        return ticket

    def withdraw(self, ticket: int) -> None:
        """As ``engine.Crew``."""
        task = self._tasks.pop(ticket, None)
        if task is not None:
            with self._border():
                task.cancel()

    def next(self, seconds: float) -> Optional[Done]:
        """As ``engine.Crew``."""
        with self._border():
            while True:
                try:
                    done = self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait()
                except queue.Empty:
                    return None
                if self._tasks.pop(done.ticket, None) is not None:
                    return done

    def heard(self) -> list[Mapping[str, Any]]:
        """As ``engine.Crew``."""
        found = []
        while not self._told.empty():
            found.append(self._told.get())
        return found

    def close(self) -> None:
        """As ``engine.Crew``."""
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._tasks.values()))
        self._tasks.clear()
        with contextlib.suppress(Exception):
            self._client.close(timeout=CONNECT)
        self._loop.end()

    def _key(self, ticket: int) -> str:
        return f"{self._prefix}{ticket}"

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Takes what a member of this job told, without what the engine has added."""
        told = dict(event[1])
        told.pop("worker", None)
        if told.pop("job", None) == self._topic:
            self._told.put(told)

    @contextlib.contextmanager
    def _border(self) -> Iterator[None]:
        """Whatever the engine raises beyond it, the head is lost: it has many words for that."""
        try:
            if getattr(self, "_client", None) is not None and self._client.status != "running":
                raise LostError
            yield
        except (LostError, SdopsError):
            raise
        except (Exception, CancelledError, asyncio.CancelledError) as error:
            raise LostError(f"{type(error).__name__}: {dialect.last_line(error)}") from error

    async def _fetch(self, ticket: int, task: Any) -> None:
        """Waits for a task's result and takes it over, while others do so, too.

        One whose maker died with it is made again first, by the engine.
        """
        try:
            result = await self._client.gather(task, asynchronous=True)
        except self._distributed.KilledWorker:
            error = deadly(f"Pictures of the job ended {ENDED} workers of the fleet, one after the other.")
        except (CancelledError, asyncio.CancelledError):
            return  # withdrawn; or the head is lost, which shows elsewhere
        except Exception as raised:  # of the engine: what members raise, they tell themselves
            what = f"{type(raised).__name__}: {dialect.last_line(raised)}"
            error = SdopsError("internal-error", f"A worker's result was lost: {what}.")
        else:
            self._ended.put(Done(ticket, result))
            return
        self._ended.put(Done(ticket, error=error))


class _Loop:
    """A loop in a thread, for one client of the engine: it ends with all that was begun in it."""

    def __init__(self, distributed: Any) -> None:
        self._distributed = distributed
        self._begun = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), daemon=True, name="sdops-fleet"
        )
        self._thread.start()
        self._begun.wait()

    async def _run(self) -> None:
        self.io = self._distributed.utils.IOLoop.current()
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._begun.set()
        await self._stop.wait()
        # What a head that hangs has kept the client from closing.
        for descriptor, (file, _) in list(self.io.handlers.items()):
            self.io.remove_handler(descriptor)
            self.io.close_fd(file)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Has something done there."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def end(self) -> None:
        """Ends it, where it has not ended yet."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CONNECT)


def crew(mine: Membership) -> Callable[[str], Crew]:
    """What gathers the fleet's members for a job."""
    return lambda topic: DaskCrew(mine, topic)
