"""In the place of the runtime's fleet-schedule and fleet-work, on hosts without its libraries. Python 3.9.

It does what tells whether the role has made things right: the scheduler lets those in who show a certificate
of the fleet, judged as strictly as Python can; a worker shows its own, and judges the scheduler's.
"""

import json
import os
import socket
import ssl
import sys
from pathlib import Path

mine = json.loads((Path.home() / ".config/sdops/fleet.json").read_text())
assert Path(mine["libraries"], "distributed").is_dir()
address, _, port = mine["scheduler"].rpartition(":")
server = sys.argv[1] == "fleet-schedule"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
context.verify_mode = ssl.CERT_REQUIRED
context.verify_flags |= ssl.VERIFY_X509_STRICT
context.load_verify_locations(mine["authority"])
context.load_cert_chain(mine["certificate"], mine["key"])


def ready():
    """Tells systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
        pipe.connect(os.environ["NOTIFY_SOCKET"])
        pipe.send(b"READY=1")


if server:
    with context.wrap_socket(
        socket.create_server((mine["address"], int(port))), server_side=True
    ) as listening:
        ready()
        guests = []
        while True:
            try:
                guest, _ = listening.accept()
                guest.sendall(b"welcome\n")
                guests.append(guest)
            except OSError as error:
                print(error, flush=True)
else:
    with context.wrap_socket(
        socket.create_connection((address, int(port))), server_hostname=address
    ) as there:
        assert there.recv(8) == b"welcome\n"
        ready()
        there.recv(1)  # until the scheduler ends
    sys.exit(1)
