"""The network of a lab: cut, slow and narrow at will, and with no way out."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .command import CommandError
from .host import Host
from .lab import Lab

pytestmark = pytest.mark.hosts

#: TEST-NET-3 of RFC 5737: nobody's address.
OUTSIDE = "203.0.113.9"

CONNECT = """
import socket, sys, time
for _ in range(5):
    began = time.monotonic()
    socket.create_connection((sys.argv[1], 22), 3).close()
    print(time.monotonic() - began)
"""

COUNT = "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i; sleep 0.05; done"


def connect_seconds(lab: Lab, host: Host) -> float:
    """The median time of a TCP handshake: one round trip."""
    times = lab.controller.run(["python3", "-c", CONNECT, host.address]).stdout.split()
    return statistics.median(map(float, times))


def test_an_ssh_session_outlives_a_cut(lab: Lab, host: Host) -> None:
    session = lab.controller.popen(
        lab.controller.ssh_argv(host.name, ["sh", "-c", COUNT]), stdout=subprocess.PIPE
    )
    assert session.stdout
    assert session.stdout.readline() == b"1\n"
    host.cut()
    ssh = lab.controller.ssh_argv(host.name, ["true"])
    assert lab.controller.run([ssh[0], "-o", "ConnectTimeout=2", *ssh[1:]], check=False).rc == 255
    assert session.poll() is None
    host.restore()
    # Every number, in order: what was lost in the cut was sent again.
    assert [int(session.stdout.readline()) for _ in range(80)] == list(range(2, 82))
    session.kill()
    session.wait()
    session.stdout.close()


def test_a_connection_to_a_host_that_lost_its_power_hears_nothing(lab: Lab, host: Host) -> None:
    quick = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"]
    ssh = lab.controller.ssh_argv(host.name, ["sh", "-c", COUNT])
    session = lab.controller.popen([ssh[0], *quick, *ssh[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert session.stdout
    assert session.stdout.readline() == b"1\n"
    host.kill()
    _, said = session.communicate(timeout=20)
    assert session.returncode == 255
    assert b"not responding" in said


def test_delay_is_added_each_way_and_taken_back(lab: Lab, host: Host) -> None:
    near = connect_seconds(lab, host)
    host.link.shape(delay=0.1)
    far = connect_seconds(lab, host)
    assert 0.2 <= far - near < 0.3
    host.link.shape()
    assert connect_seconds(lab, host) < 0.1


@pytest.mark.parametrize("delay", [0, 0.02], ids=["near", "far"])
def test_bandwidth_is_limited_each_way(host: Host, delay: float) -> None:
    host.link.shape(rate="16mbit", delay=delay)  # 2 MB a second
    sent = host.run(["sha256sum"], stdin=b"x" * 3_000_000)
    got = host.run(["head", "-c", "3000000", "/dev/zero"])
    assert len(got.stdout) == 3_000_000
    assert sent.seconds > 1.4
    assert got.seconds > 1.4
    host.link.shape(delay=delay)
    assert host.run(["head", "-c", "3000000", "/dev/zero"]).seconds < 1.4


def test_a_cut_link_stays_cut_when_it_is_shaped(lab: Lab, host: Host) -> None:
    host.cut()
    host.link.shape(delay=0.01)
    with pytest.raises(CommandError, match="timed out"):
        lab.controller.run(["python3", "-c", CONNECT, host.address])
    host.restore()
    assert connect_seconds(lab, host) >= 0.02


def test_no_packet_leaves_the_lab(lab: Lab, host: Host) -> None:
    reach = f"import socket; socket.create_connection(('{OUTSIDE}', 443), 10)"
    for run in (lab.controller.run, host.run, host.inside):
        refused = run(["python3", "-c", reach], check=False, timeout=20)
        assert refused.rc == 1
        assert "unreachable" in refused.stderr or "No route to host" in refused.stderr
    links = lab.controller.run(["ip", "-brief", "link"]).stdout.split("\n")
    assert {line.split()[0].rstrip("0123456789@if") for line in links if line} <= {"lo", "br", "veth", "tap"}


def test_a_program_serves_in_the_test_network(lab: Lab, host: Host) -> None:
    service = lab.serve(lambda at: ["python3", "-m", "http.server", "--bind", at, "8000"], 8000)
    fetch = f"import urllib.request as u; print(u.urlopen('{service.url}', timeout=5).status)"
    assert host.run(["python3", "-c", fetch]).stdout == "200\n"
    service.stop()
    assert "refused" in host.run(["python3", "-c", fetch], check=False).stderr


def test_a_server_in_the_test_itself_is_reached(lab: Lab, host: Host) -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with lab.listen() as listening:
        server = ThreadingHTTPServer(listening.getsockname(), Hello, bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        address, port = listening.getsockname()
        fetch = f"import urllib.request as u; print(u.urlopen('http://{address}:{port}', timeout=5).status)"
        answered = host.run(["python3", "-c", fetch], check=False)
        server.shutdown()
        thread.join()
        server.server_close()
    assert answered.stdout == "204\n"


def test_commands_are_ended_when_their_time_is_over(lab: Lab) -> None:
    began = time.monotonic()
    with pytest.raises(CommandError, match="not done after 1 s: sh"):
        lab.controller.run(["sh", "-c", "setsid sleep 4242 & sleep 4242"], timeout=1)
    assert time.monotonic() - began < 5
    assert lab.controller.run(["pgrep", "-fx", "sleep 4242"], check=False).stdout == ""
