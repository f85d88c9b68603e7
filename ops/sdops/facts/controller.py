"""This side of the connection: what the person's own machine has for it. No I/O here but in ``look``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdops.facts.unknown import Unknown

if TYPE_CHECKING:
    from sdops.inventory import Host

#: An agent that does not answer in so many seconds is none.
PATIENCE = 2.0


@dataclass(frozen=True)
class Controller:
    """The machine that sdops is typed on, as far as it concerns one host.

    keys: files of private keys that may be tried there. agent_keys: how many keys the agent holds; -1 for no
    agent. known: whether a key of the host is known. sshfs: whether it is installed.
    """

    keys: tuple[str, ...] | Unknown = ()
    agent_keys: int = -1
    known: bool | Unknown = False
    sshfs: bool = False


def look(hosts: Sequence["Host"]) -> dict[str, Controller]:
    """What this machine has for each host, by the host's name; nothing for those that need no connection."""
    import shutil
    from concurrent.futures import ThreadPoolExecutor

    sshfs = shutil.which("sshfs") is not None
    far = [host for host in hosts if not host.local]
    # ssh is asked about each of them, some milliseconds long.
    with ThreadPoolExecutor(8) as pool:
        return dict(
            zip((host.name for host in far), pool.map(lambda one: _look(one, sshfs), far), strict=True)
        )


def _look(host: "Host", sshfs: bool) -> Controller:
    from sdops import transport_known
    from sdops.errors import SdopsError
    from sdops.transport_settings import find_way

    try:
        way = find_way(host.address, user=host.user, port=host.port, key=host.key, args=host.ssh_args)
    except SdopsError as error:
        return Controller(Unknown(error.message), known=Unknown(error.message), sshfs=sshfs)
    return Controller(
        keys=tuple(str(path) for path in way.keys if path.exists()),
        agent_keys=_agent_keys(Path(way.agent)) if way.agent else -1,
        known=any(not one.revoked for one in transport_known.lookup(way.known, way.key_name)),
        sshfs=sshfs,
    )


def _agent_keys(path: Path) -> int:
    """How many keys an agent holds; -1 where none answers."""
    import socket
    import struct

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(PATIENCE)
        try:
            agent.connect(str(path))
            # A request of one byte, SSH_AGENTC_REQUEST_IDENTITIES; of its answer (12) the number is enough.
            # draft-ietf-sshm-ssh-agent, section 5.2.4.
            agent.sendall(b"\0\0\0\1\x0b")
            head = b""
            while len(head) < 9:
                piece = agent.recv(9 - len(head))
                if not piece:
                    return -1
                head += piece
        except OSError:
            return -1
    _, kind, number = struct.unpack(">IBI", head)
    return int(number) if kind == 12 else -1
