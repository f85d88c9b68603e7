"""The socket under a connection: the name looked up, the port called, or a proxy command started.

Knows nothing of SSH. Every step has its time, and every cause of failure its own code.
"""

import errno
import ipaddress
import queue
import socket
import subprocess
import tempfile
import threading
import time
from typing import IO

from sdops.errors import SdopsError
from sdops.transport import hint
from sdops.transport_settings import Way

#: How long what was sent may stay unanswered before the system gives a connection up, in seconds. Longer than
#: the cuts that a wireless network makes, shorter than a person's patience.
SILENCE = 30
#: Seconds between signs of life, so that there is something to be answered.
KEEPALIVE = 10

_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL)


class Deadline:
    """A point in time, and how far it is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then; never less than a moment, so that no call takes it for "for ever"."""
        return max(0.01, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._end


def dial(way: Way, name: str, deadline: Deadline) -> socket.socket:
    """A connected socket. name: what a person calls the host. See ``transport.open_session``."""
    addresses = _resolve(way, name, deadline)
    refused: OSError | None = None
    problem: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        # A silent first address must leave time for the second.
        sock.settimeout(deadline.left / (len(addresses) - number))
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            if error.errno == errno.ECONNREFUSED:
                refused = error
            problem = error
            continue
        _tune(sock)
        return sock
    place = f"{way.hostname} port {way.port}"
    if refused:
        raise SdopsError(
            "ssh-refused",
            f"{name} is there, but refuses connections: nothing listens at {place}.",
            hint(
                "Start the SSH server on the host's console at the provider, or correct ansible_port in "
                "the inventory.",
                "sudo systemctl enable --now ssh",
            ),
        )
    if problem and problem.errno in _NO_WAY:
        raise SdopsError(
            "host-unreachable",
            f"No network leads to {name} ({place}: {problem.strerror}).",
            "See whether this machine is online, and whether the address is the host's.",
        )
    raise SdopsError(
        "host-unreachable",
        f"{name} does not answer: {place} was silent for {deadline.seconds:.0f} s.",
        "See at the provider whether the host runs, whether this is its address, and whether a firewall "
        "there "
        "lets this machine in.",
    )


def _resolve(
    way: Way, name: str, deadline: Deadline
) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    def ask() -> None:
        try:
            family = _FAMILIES.get(way.family, 0)
            answer.put(socket.getaddrinfo(way.hostname, way.port, family, socket.SOCK_STREAM))
        except OSError as error:
            answer.put(error)

    answer: queue.Queue[object] = queue.Queue()
    try:
        ipaddress.ip_address(way.hostname.partition("%")[0])
    except ValueError:
        # The resolver takes no time limit, and what it waits for may be a network that is not there.
        threading.Thread(target=ask, daemon=True).start()
    else:
        ask()
    try:
        found = answer.get(timeout=deadline.left)
    except queue.Empty:
        found = socket.gaierror(socket.EAI_AGAIN, f"no answer within {deadline.seconds:.0f} s")
    if isinstance(found, list):
        return found
    assert isinstance(found, OSError)
    if found.errno == socket.EAI_AGAIN:
        advice = hint(
            "See whether this machine is online and has a name server.", f"getent hosts {way.hostname}"
        )
    else:
        advice = hint(f"Correct ansible_host of {name} in the inventory.", f"getent hosts {way.hostname}")
    raise SdopsError(
        "host-name-unknown", f"The name {way.hostname} has no address ({found.strerror}).", advice
    )


def _tune(sock: socket.socket) -> None:
    """Sends at once what is to be sent, and notices within half a minute that nobody is there any more."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)


def said(error: BaseException) -> str:
    """An exception's own words on one line, without the full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


class Proxy:
    """A program that leads to the host, as ProxyCommand names it; our end is ``socket``."""

    def __init__(self, command: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # By the shell, because that is what ProxyCommand is written for (ssh_config(5)).
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=self._said,
            start_new_session=True,
        )
        theirs.close()

    @property
    def complaint(self) -> str:
        """The last line of what it complained of; "" for nothing."""
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """Ends it."""
        self.socket.close()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._said.close()
