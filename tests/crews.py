"""A fleet of processes on this machine: a scheduler and its workers, real ones, on loopback, with real TLS.

Stands for several hosts; each has a home of its own. Python 3.9.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

from doubles import authority, fleet_member
from sdops_runtime.fleet.membership import Membership
from sdops_runtime.queue import Queue

RUNTIME = Path(__file__).parents[1] / "runtime"
#: Where the Makefile installs what shares jobs out.
LIBRARIES = Path(sys.prefix) / "fleet"


def free_ports(count):
    """Ports that nobody listens at now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(condition, what, timeout=90.0):
    """Waits until a condition holds; what it then gave."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"it took too long until {what}"
        time.sleep(0.02)


class Process:
    """One of a host's processes, started anew whenever it ends, as systemd does."""

    def __init__(self, host, *words):
        """words: what Python is to run."""
        self._host, self._words, self.wanted = host, words, True
        self._started = threading.Event()
        self.process = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(60)

    def _run(self):
        while self.wanted:
            with (self._host.home / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    [self._host.python, *self._words],
                    env=self._host.environment,
                    stdout=log,
                    stderr=log,
                )
                self._started.set()
                self.process.wait()
            if self.wanted:
                time.sleep(0.2)

    def kill(self, number=signal.SIGKILL):
        """Sends it a signal; it is started anew."""
        self.process.send_signal(number)

    def end(self):
        """Ends it for good."""
        self.wanted = False
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self._thread.join(30)


class Host:
    """One host of the fleet. files: its certificate's."""

    def __init__(self, home, name, head, scheduler, port, slots, files):
        self.home, self.name, self.python = home, name, sys.executable
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
            "HOME": str(home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(home / ".cache")),
            "PYTHONPATH": os.pathsep.join([str(RUNTIME), str(Path(__file__).parent)]),
            "OMP_NUM_THREADS": "1",
        }
        (home / ".config/sdops").mkdir(parents=True)
        told = {"head": head, "name": name, "address": "127.0.0.1", "scheduler": f"127.0.0.1:{scheduler}"}
        more = {"port": port, "slots": slots, "gpu": False, "libraries": str(LIBRARIES), **files}
        self.settings = {}
        self._tell(**told, **more)
        self.queue = Queue(home / ".local/share/sdops")

    def use(self, environment):
        """Has its processes run under another Python: that of a virtual environment."""
        self.python = str(environment / "bin/python")
        self._tell(libraries=str(environment / "fleet"))

    def _tell(self, **settings):
        self.settings = {**self.settings, **settings}
        (self.home / ".config/sdops/fleet.json").write_text(json.dumps(self.settings))

    def start(self, *words):
        """Starts one of the runtime's processes."""
        return Process(self, "-m", "sdops_runtime", *words)

    def start_script(self, path, *words):
        """Starts a script of the tests."""
        return Process(self, path, *words)

    @property
    def membership(self):
        """What its processes know of the fleet."""
        return Membership(**self.settings)

    @property
    def log(self):
        """What its processes said."""
        return (self.home / "log").read_text(errors="replace")


class Crew:
    """Some hosts; the first is the head, whose queue is the fleet's."""

    def __init__(self, folder, hosts, slots=1):
        self.authority = authority.make(folder / "authority")
        scheduler, *ports = free_ports(1 + hosts * slots)
        self.hosts = []
        for number in range(hosts):
            name = f"gpu{number + 1}"
            files = authority.sign(self.authority, name)
            place = ports[number * slots]
            self.hosts.append(Host(folder / name, name, number == 0, scheduler, place, slots, files))
        self.head = self.hosts[0]
        self.scheduler = self.serving = None
        self.workers = {}

    def start(self):
        """Starts the head's scheduler and the worker of its queue."""
        self.scheduler = self.head.start("fleet-schedule")
        self.serving = self.head.start("serve", "--device", "cpu")

    def join(self, *names):
        """Starts workers, such as gpu2/0, and waits until they are there."""
        for name in names:
            host, _, slot = name.partition("/")
            one = next(one for one in self.hosts if one.name == host)
            self.workers[name] = one.start("fleet-work", slot)
        wait_for(lambda: set(names) <= self.there(), f"{names} had come")

    def join_doubles(self, *names, deadly=""):
        """Starts members that make no pictures (``doubles.fleet_member``), and waits until they are there."""
        for name in names:
            host = next(one for one in self.hosts if one.name == name.partition("/")[0])
            host.environment["DEADLY"] = deadly
            self.workers[name] = host.start_script(fleet_member.__file__)
        wait_for(lambda: set(names) <= self.there(), f"{names} had come")

    def there(self):
        """The names of the workers that the head knows."""
        try:
            members = json.loads((self.head.queue.root / "members.json").read_text())
        except (FileNotFoundError, ValueError):
            return set()
        return {one["name"] for one in members}

    def end(self):
        """Ends everything."""
        for one in (*self.workers.values(), self.serving, self.scheduler):
            if one is not None:
                one.end()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()
