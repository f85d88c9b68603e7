"""Boot a root folder with systemd, and learn from systemd itself when it is up.

systemd tells its container manager READY=1 when the boot is over, each time it boots; nspawn passes it
on. So a host that has booted, or rebooted, is an event to wait for.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

#: A guest that reboots ends nspawn with 133; the machine does not go away, it starts again.
#: Register and unit: there may be no systemd on this machine. CAP_NET_ADMIN: the network namespace is the
#: guest's own. $1: name, $2: root folder, $3: network namespace, then more options.
NSPAWN = """
name=$1 root=$2 space=$3; shift 3
while :; do
    rc=0
    systemd-nspawn --quiet --boot --machine="$name" --directory="$root" \\
        --network-namespace-path="/run/netns/$space" \\
        --register=no --keep-unit --notify-ready=yes --capability=CAP_NET_ADMIN \\
        --resolv-conf=off --timezone=off --link-journal=no --console=read-only \\
        --setenv=SYSTEMD_COLORS=0 "$@" || rc=$?
    [ $rc = 133 ] || break
    echo "--- reboot ---"
done
ip -n "$space" link set eth0 down  # off: from now on nothing answers at its address
exit $rc
"""


def argv(name: str, root: Path, space: str, lend: Mapping[str, Path]) -> list[str]:
    """The command that runs a host until it is powered off. lend: see host.Settings."""
    lent = [f"--bind-ro={_plain(str(source))}:{_plain(place)}" for place, source in lend.items()]
    return ["sh", "-c", NSPAWN, "boot", name, str(root), space, *lent]


def _plain(path: str) -> str:
    """A path in an option of nspawn's, where a colon would end it."""
    return path.replace("\\", "\\\\").replace(":", "\\:")


class Boots:
    """Counts the boots of one host that have ended in READY."""

    def __init__(self, path: Path) -> None:
        """path: where the socket is made that NOTIFY_SOCKET is to name."""
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._news = threading.Condition()
        self._count = 0
        # A thread, since the sender of a message waits when nobody has read some ten earlier ones.
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        """How often the host has been ready so far."""
        with self._news:
            return self._count

    def wait(self, count: int, process: subprocess.Popen[bytes], timeout: float) -> bool:
        """Waits until the host has been ready so often; False when its process ends or time is up."""
        end = time.monotonic() + timeout
        with self._news:
            while self._count < count:
                left = end - time.monotonic()
                if left <= 0 or process.poll() is not None:
                    return False
                self._news.wait(min(left, 0.25))  # a process that ends gives no notice here
        return True

    def close(self) -> None:
        """Ends the thread and removes the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"END=1", str(self.path))
        self._thread.join(5)
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _listen(self) -> None:
        while True:
            lines = self._socket.recv(4096).split(b"\n")
            if b"END=1" in lines:
                return
            if b"READY=1" in lines:
                with self._news:
                    self._count += 1
                    self._news.notify_all()
