"""relay VETH TAP SECONDS: carries frames between two interfaces, each SECONDS later.

Started by link, inside the enclosure, for a host with a delay: netem is not in every kernel.
The cable's end at the controller (VETH) leaves the bridge, and TAP, which exists as long as this
process does, takes its place. The guest's own interface stays as it is.

Frames travel with their virtio header, which says which checksums are still to be filled in
and which frames are to be cut up: guests hand that work to the network card that they do not have.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import select
import socket
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 3
#: A frame that is still to be cut up has up to 64 KiB, and headers.
LARGEST = 66_000
#: Frames that may be under way in each direction before new ones are lost, as in a real queue.
QUEUE = 20_000


def main(veth: str, tap: str, seconds: float) -> None:
    """Relays until it is killed; writes a line to stdout when both interfaces are there."""
    near = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(near, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    raw.bind((veth, ETH_P_ALL))
    far = raw.fileno()
    print("ready", flush=True)
    peer = {near: far, far: near}
    # The delay is the same for all, so the frame that came first is due first.
    under_way: collections.deque[tuple[float, int, bytes]] = collections.deque()
    while True:
        while under_way and under_way[0][0] <= time.monotonic():
            _, end, frame = under_way.popleft()
            with contextlib.suppress(OSError):  # that end is down or full: the frame is lost, as frames are
                os.write(end, frame)
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select([near, far], [], [], wait)[0]:
            try:
                frame = os.read(end, LARGEST)
            except OSError:
                continue
            if len(under_way) < 2 * QUEUE:
                under_way.append((time.monotonic() + seconds, peer[end], frame))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
