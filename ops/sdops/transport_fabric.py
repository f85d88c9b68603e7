"""SSH connections. The only module that imports Fabric and Paramiko, and only when a connection is made.

Fabric opens the connection; commands go over channels of its transport and not through ``Connection.run``,
which decodes what binary commands print and hands stdin on letter by letter. Fabric accepts every host key
unless told otherwise: here a key that is not known is refused, whatever StrictHostKeyChecking says.
"""

import logging
import selectors
import socket
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sdops import transport_files, transport_known, transport_trust
from sdops.errors import SdopsError
from sdops.inventory import Host
from sdops.transport import Completed, command_line, hint
from sdops.transport_login import Login
from sdops.transport_settings import Way, find_way, jump_way
from sdops.transport_socket import KEEPALIVE, Deadline, Proxy, dial, said

#: More machines in a row than this are a loop.
MOST_JUMPS = 8

_lock = threading.Lock()


def open_session(host: Host, timeout: float) -> "FabricSession":
    """A session with a host; ``timeout`` is for all of it. See ``transport.open_session``."""
    # Meanwhile, since importing them takes longer than all that comes before they are needed.
    threading.Thread(target=_libraries, daemon=True).start()
    way = find_way(host.address, user=host.user, port=host.port, key=host.key, args=host.ssh_args)
    deadline = Deadline(min(timeout, way.connect_timeout or timeout))
    opened: list[Any] = []
    try:
        connection = _connect(way, host.name, host.ssh_args, deadline, opened)
    except BaseException:
        _close(opened)
        raise
    return FabricSession(host.name, connection, opened)


class FabricSession:
    """An SSH connection, and what it goes through. See ``transport.Session``."""

    def __init__(self, name: str, connection: Any, opened: list[Any]) -> None:
        self._name = name
        self._transport = connection.transport
        self._opened = opened

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout: float) -> Completed:
        """Runs a command to its end."""
        out, err = bytearray(), bytearray()
        status = self._talk(argv, out.extend, err.extend, stdin, timeout)
        return Completed(status, bytes(out), bytes(err))

    def stream(
        self,
        argv: Sequence[str],
        take: Callable[[bytes], None],
        *,
        stdin: bytes | Iterable[bytes] = b"",
        timeout: float,
    ) -> int:
        """Runs a command, hands on what it prints on stdout as it comes, and returns the exit status."""
        return self._talk(argv, take, lambda piece: None, stdin, timeout)

    def put(self, source: Path, target: str, *, timeout: float) -> None:
        """Brings a file there."""
        transport_files.put(self, self._name, source, target, timeout)

    def get(self, source: str, target: Path, *, timeout: float) -> None:
        """Brings a file here."""
        transport_files.get(self, self._name, source, target, timeout)

    def close(self) -> None:
        """Ends the connection, and those that it goes through."""
        _close(self._opened)

    def _talk(
        self,
        argv: Sequence[str],
        take: Callable[[bytes], object],
        take_error: Callable[[bytes], object],
        stdin: bytes | Iterable[bytes],
        timeout: float,
    ) -> int:
        from paramiko import SSHException

        deadline = Deadline(timeout)
        try:
            channel = self._transport.open_session(timeout=deadline.left)
            try:
                # Paramiko waits for ever for the answer to this one.
                with _limit(deadline, channel.close):
                    channel.exec_command(command_line(argv).encode("utf-8", "surrogateescape"))
                channel.settimeout(deadline.left)
                threading.Thread(target=_feed, args=(channel, stdin), daemon=True).start()
                self._listen(channel, take, take_error, deadline)
                if channel.status_event.wait(deadline.left) and not deadline.over:
                    status = int(channel.recv_exit_status())
                    if status >= 0 or self._transport.is_active():
                        return status
            finally:
                channel.close()
        except (SSHException, OSError, EOFError) as error:
            if self._transport.is_active() and not deadline.over:
                raise SdopsError(
                    "connection-lost", f"{self._name} started no command: {said(error)}."
                ) from None
        if deadline.over and self._transport.is_active():
            raise SdopsError(
                "host-slow",
                f"{argv[0]} did not end on {self._name} within {timeout:g} s.",
                "Try again when the host is less busy, or the network is.",
            )
        raise SdopsError(
            "connection-lost",
            f"The connection to {self._name} broke off.",
            "Try again; if it happens again, see whether the host still runs.",
        )

    def _listen(
        self,
        channel: Any,
        take: Callable[[bytes], object],
        take_error: Callable[[bytes], object],
        deadline: Deadline,
    ) -> None:
        """Hands on what comes until both streams have ended, the connection has, or the time is over."""
        with selectors.DefaultSelector() as news:
            news.register(channel.fileno(), selectors.EVENT_READ)
            while not deadline.over:
                news.select(deadline.left)
                ended = channel.eof_received or channel.closed
                while channel.recv_ready():
                    take(channel.recv(1 << 16))
                while channel.recv_stderr_ready():
                    take_error(channel.recv_stderr(1 << 16))
                if ended:
                    return


def _feed(channel: Any, stdin: bytes | Iterable[bytes]) -> None:
    """Sends all of it, beside the reading: a command may answer before it has read everything."""
    # Whatever ends the sending, a closed channel or file, shows on the other side as a short input.
    with suppress(OSError, ValueError, EOFError):
        for piece in (stdin,) if isinstance(stdin, bytes) else stdin:
            channel.sendall(piece)
        channel.shutdown_write()


@contextmanager
def _limit(deadline: Deadline, end: Callable[[], object]) -> Iterator[None]:
    timer = threading.Timer(deadline.left, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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


def _libraries() -> tuple[Any, Any]:
    """Fabric and Paramiko; what they have to say goes to nobody's terminal."""
    with _lock, warnings.catch_warnings():
        # About algorithms of their own that nobody here asked for.
        warnings.simplefilter("ignore")
        import fabric
        import paramiko
    log = logging.getLogger("paramiko")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return fabric, paramiko


def _connect(way: Way, name: str, args: Sequence[str], deadline: Deadline, opened: list[Any]) -> Any:
    """A connection that stands. ``opened`` gets everything that has to be closed, as it comes to be."""
    sock: Any = None
    if len(opened) > MOST_JUMPS:
        raise SdopsError("ssh-settings", f"The jump hosts of {name} lead in a circle.", "Mend ProxyJump.")
    proxy: Proxy | None = None
    if way.jumps:
        sock = _through(way, name, args, deadline, opened)
    elif way.proxy:
        proxy = Proxy(way.proxy)
        opened.append(proxy)
        sock = proxy.socket
    else:
        sock = dial(way, name, deadline)
    return _open(way, name, sock, proxy, deadline, opened)


def _through(way: Way, name: str, args: Sequence[str], deadline: Deadline, opened: list[Any]) -> Any:
    """A channel to the host through its jump hosts."""
    _, paramiko = _libraries()
    before: Any = None
    ways = [jump_way(jump, args) for jump in way.jumps]
    for number, (here, there) in enumerate(zip(ways, [*ways[1:], way], strict=True)):
        called = f"the jump host {way.jumps[number]} of {name}"
        if before is None:
            connection = _connect(here, called, args, deadline, opened)
        else:
            connection = _open(here, called, before, None, deadline, opened)
        try:
            before = connection.transport.open_channel(
                "direct-tcpip", (there.hostname, there.port), ("", 0), timeout=deadline.left
            )
        except paramiko.ChannelException as error:
            raise SdopsError(
                "host-unreachable",
                f"{called} cannot reach {there.hostname} port {there.port}: {error.text}.".capitalize(),
                "See whether the host runs, and whether the address is right as seen from there.",
            ) from None
        except paramiko.SSHException as error:
            raise _problem(error, here, called, deadline, "") from None
    return before


def _open(way: Way, name: str, sock: Any, proxy: Proxy | None, deadline: Deadline, opened: list[Any]) -> Any:
    fabric, paramiko = _libraries()
    known = transport_known.lookup(way.known, way.key_name)
    login = Login(way, name, deadline, paramiko)

    def transport(sock: Any, **options: Any) -> Any:
        made = paramiko.Transport(sock, **options)
        security = made.get_security_options()
        # First the kinds of keys that are known of the host: of several it shows one.
        wanted = {kind for one in known for kind in _algorithms(one.kind)}
        security.key_types = sorted(security.key_types, key=lambda kind: kind not in wanted)
        return made

    class Policy:
        """Asked about every key, because the client is given no known hosts of its own."""

        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            transport_trust.judge(way, name, known, key.get_name(), key.asbytes())

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
            "transport_factory": transport,
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
