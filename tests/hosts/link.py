"""The cable between a host and the controller: it can be cut and restored, made slow and narrow.

A cut loses frames and nothing else: neither side's interface goes down, and neither gets
an error for what it sends. That is how a connection breaks that is cut somewhere in the Internet.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .enclosure import Enclosure

#: RFC 2544 sets this net aside for tests on isolated networks: no machine has a route to it.
NET = "198.18.0"
CONTROLLER = f"{NET}.1"
BRIDGE = "br0"
RELAY = Path(__file__).with_name("relay.py")

#: Inside, once. No route leads out: what is not on the bridge is 'unreachable' at once, for the
#: controller and, since it is their gateway, for the hosts.
BACKBONE = """set -e
ip link set lo up
ip link add $bridge address $mac type bridge forward_delay 0
ip addr add $controller/24 dev $bridge
ip link set $bridge up
ip route add unreachable default
echo 1 > /proc/sys/net/ipv4/ip_forward
for off in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $off; done
"""

#: Neighbours are written down on both sides, so that a host that is cut off or down is
#: silent, as on the Internet, instead of being reported missing on a local network.
PLUG = """set -e
ip netns add $space
ip link add $veth arp off type veth peer name eth0 address $mac netns $space
ip link set $veth master $bridge up
ip -n $space link set lo up
ip -n $space link set eth0 up
ip -n $space addr add $address/24 dev eth0
ip -n $space route add default via $controller
ip -n $space neigh replace $controller lladdr $controller_mac dev eth0 nud permanent
ip neigh replace $address lladdr $mac dev $bridge nud permanent
"""


def mac(address: str) -> str:
    """The hardware address that goes with an IPv4 address."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def lay_backbone(enclosure: Enclosure) -> None:
    """Makes the network that all cables end in."""
    _script(enclosure, BACKBONE, bridge=BRIDGE, mac=mac(CONTROLLER), controller=CONTROLLER)


class Link:
    """One host's cable and network namespace.

    It is plugged in while the host has power. Without, nothing at the address answers, not
    even a kernel that refuses connections. What was set stays set over that.
    """

    def __init__(self, enclosure: Enclosure, address: str) -> None:
        self._enclosure = enclosure
        self.address = address
        number = address.rsplit(".", 1)[1]
        self.space = f"host{number}"
        self._veth, self._tap = f"veth{number}", f"tap{number}"
        self._relay: subprocess.Popen[bytes] | None = None
        self._relay_cell = enclosure.new_cell("relay")
        self._plugged = False
        self._cut = False
        self._delay = 0.0
        self._rate: str | None = None

    def cut(self) -> None:
        """Loses every frame from now on."""
        self._cut = True
        self._apply_cut()

    def restore(self) -> None:
        """Ends the cut."""
        self._cut = False
        self._apply_cut()

    def shape(self, *, delay: float = 0, rate: str | None = None) -> None:
        """Sets seconds of delay each way and a bandwidth each way, as tc writes it (``10mbit``).

        Works on a link in use, too: frames that are under way are lost, connections live on.
        """
        self._delay, self._rate = delay, rate
        self._apply_shape()

    def plug(self) -> None:
        """Plugs the cable in, in a network namespace that is new: no connection of old is known there."""
        self.unplug()
        names = {"space": self.space, "veth": self._veth, "address": self.address, "mac": mac(self.address)}
        ends = {"bridge": BRIDGE, "controller": CONTROLLER, "controller_mac": mac(CONTROLLER)}
        _script(self._enclosure, PLUG, **names, **ends)
        self._plugged = True
        if self._delay or self._rate or self._cut:
            self._apply_shape()

    def unplug(self) -> None:
        """Pulls the cable out. Who is connected does not get to know."""
        if self._plugged:
            self._plugged = False
            self._end_relay()
            script = "ip link del $veth; ip neigh del $address dev $bridge; ip netns del $space"
            names = {"veth": self._veth, "address": self.address, "bridge": BRIDGE, "space": self.space}
            _script(self._enclosure, script, **names)

    def forget(self) -> None:
        """Lets go of the cable after its enclosure has ended, and the cable with it."""
        if self._relay and self._relay.stdout:
            self._relay.wait(10)
            self._relay.stdout.close()
            self._relay = None

    def _apply_shape(self) -> None:
        if not self._plugged:
            return
        self._end_relay()
        if self._delay:
            self._start_relay()
        else:
            _script(self._enclosure, "ip link set $veth master $bridge", veth=self._veth, bridge=BRIDGE)
        # 32 KiB at once, then at the rate; what would wait longer than 0.4 s is lost.
        limit = f"replace dev $dev root tbf rate {self._rate} burst 32kb latency 400ms"
        narrow = limit if self._rate else "delete dev $dev root 2>/dev/null || true"
        _script(self._enclosure, f"tc qdisc {narrow}", dev=self._veth)
        _script(self._enclosure, f"tc -n {self.space} qdisc {narrow}", dev="eth0")
        self._apply_cut()

    def _apply_cut(self) -> None:
        if self._plugged:
            # A bridge's port states, as the spanning tree protocol names them: 0 disabled, 3 forwarding.
            port = self._tap if self._relay else self._veth
            _script(self._enclosure, f"bridge link set dev {port} state {0 if self._cut else 3}")

    def _start_relay(self) -> None:
        _script(self._enclosure, "ip link set $veth nomaster", veth=self._veth)
        self._relay = self._enclosure.popen(
            [sys.executable, "-I", RELAY, self._veth, self._tap, f"{self._delay:.6f}"],
            cell=self._relay_cell,
            stdout=subprocess.PIPE,
        )
        assert self._relay.stdout
        if self._relay.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the relay of {self.address} did not start")
        _script(self._enclosure, "ip link set $tap master $bridge up", tap=self._tap, bridge=BRIDGE)

    def _end_relay(self) -> None:
        self._relay_cell.kill()
        self.forget()


def _script(enclosure: Enclosure, text: str, **names: str) -> None:
    """Runs a few lines of sh inside; a process for each of them would cost more than their work."""
    enclosure.run(["env", *(f"{name}={value}" for name, value in names.items()), "sh", "-c", text])
