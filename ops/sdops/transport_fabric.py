"""Opens SSH connections. The only module that imports Fabric and Paramiko, and only when one is opened.

Fabric accepts every host key unless told otherwise: here a key that is not known is refused, whatever
StrictHostKeyChecking says.
"""

import logging
import socket
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sdops import transport_known, transport_trust
from sdops.errors import SdopsError
from sdops.inventory import Host
from sdops.transport import hint
from sdops.transport_channel import ChannelSession
from sdops.transport_login import Login
from sdops.transport_settings import Way, find_way, jump_way
from sdops.transport_socket import KEEPALIVE, Deadline, Proxy, dial, said

#: More machines in a row than this are a loop.
MOST_JUMPS = 8

#: Logins under way at one machine. OpenSSH's servers begin to turn some away at the tenth (MaxStartups), and
#: take a while to notice that one is done: with eight at once some were still turned away.
AT_ONCE = 4
_doors: dict[tuple[str, int], threading.Semaphore] = {}
_doors_lock = threading.Lock()


def open_session(host: Host, timeout: float) -> ChannelSession:
    """A session with a host; ``timeout`` is for all of it. See ``transport.open_session``."""
    # Meanwhile, since importing them takes longer than all that comes before they are needed.
    threading.Thread(target=_fabric, daemon=True).start()
    way = find_way(host.address, user=host.user, port=host.port, key=host.key, args=host.ssh_args)
    deadline = Deadline(min(timeout, way.connect_timeout or timeout))
    opened: list[Any] = []
    try:
        connection = _connect(way, host.name, host.ssh_args, deadline, opened)
    except BaseException:
        _close(opened)
        raise
    return ChannelSession(host.name, connection.transport, _paramiko().SSHException, lambda: _close(opened))


def _close(opened: list[Any]) -> None:
    """Ends what was opened, the last first. Never raises."""
    while opened:
        one = opened.pop()
        with suppress(Exception):
            if hasattr(one, "transport"):
                # So that Paramiko's thread wakes up now, and not at its next look.
                one.transport.sock.shutdown(socket.SHUT_RDWR)
        with suppress(Exception):
            one.close()


def _paramiko() -> Any:
    """Paramiko; what it has to say goes to nobody's terminal."""
    # About algorithms of its own that nobody here asked for.
    warnings.filterwarnings("ignore", module=r"paramiko(\.|$)")
    import paramiko

    log = logging.getLogger("paramiko")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return paramiko


def _fabric() -> Any:
    """Fabric, which takes twice as long to be imported as Paramiko alone."""
    _paramiko()
    import fabric

    return fabric


def _connect(
    way: Way, name: str, args: Sequence[str], deadline: Deadline, opened: list[Any], depth: int = 0
) -> Any:
    """A connection that stands. ``opened`` gets everything that has to be closed, as it comes to be."""
    sock: Any = None
    if depth > MOST_JUMPS:
        raise SdopsError("ssh-settings", f"The jump hosts of {name} lead in a circle.", "Mend ProxyJump.")
    proxy: Proxy | None = None
    if way.jumps:
        sock = _through(way, name, args, deadline, opened, depth)
    elif way.proxy:
        proxy = Proxy(way.proxy)
        opened.append(proxy)
        sock = proxy.socket
    else:
        with _door(way, name, deadline):
            return _open(way, name, dial(way, name, deadline), None, deadline, opened)
    return _open(way, name, sock, proxy, deadline, opened)


@contextmanager
def _door(way: Way, name: str, deadline: Deadline) -> Iterator[None]:
    """Lets few at once log in to one machine: that is a jump host, in front of many others."""
    with _doors_lock:
        door = _doors.setdefault((way.hostname, way.port), threading.Semaphore(AT_ONCE))
    if not door.acquire(timeout=deadline.left):
        raise SdopsError(
            "host-slow",
            f"{name} let nobody else in for {deadline.seconds:.0f} s.",
            "Ask fewer hosts at once that lie behind it.",
        )
    try:
        yield
    finally:
        door.release()


def _through(
    way: Way, name: str, args: Sequence[str], deadline: Deadline, opened: list[Any], depth: int
) -> Any:
    """A channel to the host through its jump hosts."""
    paramiko = _paramiko()
    before: Any = None
    ways = [jump_way(jump, args) for jump in way.jumps]
    for number, (here, there) in enumerate(zip(ways, [*ways[1:], way], strict=True)):
        called = f"Jump host {way.jumps[number]} of {name}"
        if before is None:
            connection = _connect(here, called, args, deadline, opened, depth + 1)
        else:
            connection = _open(here, called, before, None, deadline, opened)
        try:
            before = connection.transport.open_channel(
                "direct-tcpip", (there.hostname, there.port), ("", 0), timeout=deadline.left
            )
        except paramiko.ChannelException as error:
            raise SdopsError(
                "host-unreachable",
                f"{called} cannot reach {there.hostname} port {there.port}: {error.text}.",
                "See whether the host runs, and whether the address is right as seen from there.",
            ) from None
        except paramiko.SSHException as error:
            raise _problem(error, here, called, deadline, "") from None
    return before


def _open(way: Way, name: str, sock: Any, proxy: Proxy | None, deadline: Deadline, opened: list[Any]) -> Any:
    paramiko = _paramiko()
    known = transport_known.lookup(way.known, way.key_name)
    transport = _greet(paramiko, sock, known, deadline)
    login = Login(way, name, deadline, paramiko)

    class Policy:
        """Asked about every key, because the client is given no known hosts of its own."""

        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            transport_trust.judge(way, name, known, key.get_name(), key.asbytes())

    fabric = _fabric()
    # Without settings of its own: ssh has told all of them.
    config = fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig())
    left = deadline.left
    connection = fabric.Connection(
        host=way.hostname,
        port=way.port,
        user=way.user,
        config=config,
        connect_kwargs={
            "sock": sock,
            "timeout": left,
            "banner_timeout": left,
            "auth_timeout": left,
            "channel_timeout": left,
            "transport_factory": lambda sock, **options: transport,
            "auth_strategy": login,
        },
    )
    connection.client.set_missing_host_key_policy(Policy())
    try:
        connection.open()
    except SdopsError:
        connection.client.close()
        raise
    except (paramiko.SSHException, OSError, EOFError) as error:
        connection.client.close()
        raise _problem(error, way, name, deadline, proxy.complaint if proxy else "") from None
    opened.append(connection)
    # Not before the login: until then servers answer it with a complaint.
    connection.transport.set_keepalive(KEEPALIVE)
    return connection


def _greet(paramiko: Any, sock: Any, known: Sequence[transport_known.Known], deadline: Deadline) -> Any:
    """A transport that has begun to exchange keys: Fabric is imported while the host thinks about them."""

    class Begun(paramiko.Transport):  # type: ignore[misc]
        """Waits where another one would begin."""

        def start_client(self, event: Any = None, timeout: float | None = None) -> None:
            end = Deadline(timeout if timeout is not None else deadline.left)
            # As Paramiko itself does it: a thread that ends without a word is noticed soon.
            while not done.wait(0.1) and not end.over and self.is_active():
                pass
            if not self.is_active():
                raise self.get_exception() or paramiko.SSHException("the keys were not exchanged")
            if not done.is_set():
                raise TimeoutError

    done = threading.Event()
    made = Begun(sock)
    security = made.get_security_options()
    # First the kinds of keys that are known of the host: of several it shows one.
    wanted = {kind for one in known for kind in _algorithms(one.kind)}
    security.key_types = sorted(security.key_types, key=lambda kind: kind not in wanted)
    made.banner_timeout = deadline.left
    paramiko.Transport.start_client(made, event=done)
    return made


def _algorithms(kind: str) -> tuple[str, ...]:
    """The signatures that a kind of key makes."""
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def _problem(error: Exception, way: Way, name: str, deadline: Deadline, complaint: str) -> SdopsError:
    """What a failure before the login means."""
    if deadline.over or isinstance(error, TimeoutError):
        return SdopsError(
            "host-slow",
            f"{name} accepted the connection, and did not get to the login within {deadline.seconds:.0f} s.",
            "Wait until the host is less busy, or see on its console at the provider what keeps it.",
        )
    reason = complaint or said(error)
    return SdopsError(
        "ssh-closed",
        f"{name} accepted the connection and ended it before the login ({reason}).",
        hint(
            f"See whether it is an SSH server that listens at {way.hostname} port {way.port}, and whether it "
            "turns this machine away: too many connections, a ban after failed logins. This shows more.",
            way.line().replace("ssh ", "ssh -v ", 1),
        ),
    )
