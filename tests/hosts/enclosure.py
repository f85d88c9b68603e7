"""An enclosure: namespaces of our own, in which hosts, their network and the controller live.

One process, the keeper, is the first of a process namespace and holds a mount, a network
and a cgroup namespace. All else runs in there. When the keeper ends, the kernel ends every
process in there, and with them go mounts, network namespaces and TAP devices: none of it
can be forgotten. The keeper reads a pipe whose other end only the harness holds, so it ends
with the harness, however that ended. Two things stay then, a folder under /run and an
empty cgroup: ``close`` removes them or, after a kill, the next enclosure made here.

Nothing of an enclosure is visible outside of it, so that several do not collide although
all use the same addresses.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from . import machine
from .cell import Cell
from .command import Argument, Completed, run

T = TypeVar("T")

#: Folders of enclosures (keys, sockets, logs), and the name their cgroups begin with.
RUN = Path("/run/sdops-test-hosts")
CELLS = "sdops-test-hosts-"

CLONE_NEWNET = 0x40000000

#: The keeper says what it is told, until the pipe ends. Processes that lose their parent become
#: its children: with SIGCHLD ignored, the kernel reaps them.
KEEPER = ("env", "--ignore-signal=CHLD", "cat")

#: Places that must be the enclosure's own: names of network namespaces, nspawn's locks, and
#: a pure cgroup v2 view that begins at the enclosure's cell, whatever the machine has. Mounts are
#: shared in here (not with the machine), because every nspawn keeps copies of those that it
#: finds: so a disk that is taken away is gone from the copies, too, and its memory is free.
FURNISH = """set -e
mount --make-rshared /
for place in /run/netns /run/systemd/nspawn; do mkdir -p $place; mount -t tmpfs -o mode=755 tmpfs $place; done
umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
"""


class Enclosure:
    """Makes the namespaces; runs commands in them; ends them.

    folder: for files that last as long as the enclosure. root: the way into its mount
    namespace from outside.
    """

    def __init__(self) -> None:
        machine.require()
        self._numbers = itertools.count(1)
        self.folder, self._lock = _claim()
        try:
            self.cell = Cell(machine.cgroup_mount() / f"{CELLS}{self.folder.name}").make()
        except OSError as error:
            raise machine.UnavailableError(f"test hosts need a cgroup of their own: {error}") from None
        spaces = ["--mount", "--net", "--pid", "--cgroup", "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            self.cell.argv(["unshare", *spaces, *KEEPER]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"there?\n")
            self._process.stdin.flush()
        if self._process.stdout.readline() != b"there?\n":
            self.close()
            raise machine.UnavailableError("test hosts need new namespaces, and unshare was refused")
        (self.keeper,) = (pid for pid in self.cell.pids() if pid != self._process.pid)
        self.root = Path(f"/proc/{self.keeper}/root")
        self.run(["sh", "-c", FURNISH])

    def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout: float = 60,
        check: bool = True,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Completed:
        """Runs argv inside and returns what it left; see command.run.

        Past its time, all that it started is ended; otherwise daemons that it left live on.
        """
        cell = self.new_cell("run")
        wrapped = self.argv(argv, cell, cwd=cwd)
        try:
            return run(wrapped, timeout=timeout, check=check, stdin=stdin, env=env, end=cell.kill, shown=argv)
        finally:
            with suppress(OSError):  # not empty: the daemons
                cell.path.rmdir()

    def popen(
        self, argv: Sequence[Argument], *, cell: Cell | None = None, cwd: Path | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Starts argv inside, with the options of subprocess.Popen; ends with the enclosure at the latest."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("start_new_session", True)
        return subprocess.Popen(self.argv(argv, cell or self.new_cell("run"), cwd=cwd), **options)

    def argv(
        self,
        argv: Sequence[Argument],
        cell: Cell,
        *,
        cwd: Path | None = None,
        spaces: Sequence[str] = ("--mount", "--net", "--pid", "--cgroup"),
    ) -> list[str]:
        """The command that runs argv in the given namespaces and cell."""
        # Into the cell first: a cgroup2 mount with nsdelegate lets nobody move in from outside who
        # already looks through the enclosure's cgroup namespace. And the working folder last:
        # nsenter's own option for it is younger than Debian 11.
        enter = ["nsenter", f"--target={self.keeper}", *spaces, "--"]
        return cell.argv([*enter, "env", f"--chdir={cwd or Path.cwd()}", *argv])

    def new_cell(self, name: str) -> Cell:
        """A cell inside the enclosure's, of a name not used before."""
        return Cell(self.cell.path / f"{name}-{next(self._numbers)}").make()

    def in_network(self, function: Callable[[], T]) -> T:
        """Calls function in a thread inside the network namespace. Sockets made there stay there."""
        answer: list[T] = []
        problem: list[BaseException] = []

        def enter() -> None:
            # setns changes the calling thread only; the thread ends here, and nobody else was moved.
            try:
                with Path(f"/proc/{self.keeper}/ns/net").open() as space:
                    if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                answer.append(function())
            except BaseException as error:
                problem.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if problem:
            raise problem[0]
        return answer[0]

    def end(self) -> None:
        """Ends every process inside. May be called twice."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.cell.kill()
            self._process.wait(10)
        if self._process.stdout:
            self._process.stdout.close()

    def close(self) -> None:
        """Ends every process inside and removes what is left. May be called twice."""
        self.end()
        if not self._lock.closed:
            _remove(self.folder)
            self._lock.close()


def _claim() -> tuple[Path, IO[str]]:
    """A new folder with its lock held; leftovers of enclosures whose harness is gone are removed first.

    The lock of a folder is held by its harness for as long as that lives: who can get it is late.
    """
    RUN.mkdir(mode=0o700, exist_ok=True)
    with (RUN / ".lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # held for an instant only, and never while a lab works
        for folder in RUN.iterdir():
            if folder.is_dir() and (stale := _try_lock(folder)):
                _remove(folder)
                stale.close()
        folder = RUN / secrets.token_hex(3)
        folder.mkdir(mode=0o700)
        lock = _try_lock(folder)
        assert lock
        (folder / "harness").write_text(f"{os.getpid()}\n")
        return folder, lock


def _try_lock(folder: Path) -> IO[str] | None:
    held = (folder / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held


def _remove(folder: Path) -> None:
    Cell(machine.cgroup_mount() / f"{CELLS}{folder.name}").remove()
    shutil.rmtree(folder, ignore_errors=True)
