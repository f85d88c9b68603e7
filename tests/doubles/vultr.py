"""A double of Vultr's API: lists instances, page by page, to who knows the key. For loopback only.

It stands for the one call that the inventory plugin makes, in the form of Vultr's API reference
(list-instances): bearer key, ``per_page``, ``cursor``, ``meta.links.next``; 401 and 403 as errors.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "a-key-of-the-double"


def instance(label, address, **more):
    """An instance as the API tells it, in all its fields."""
    told = {
        "id": f"00000000-0000-4000-8000-{abs(hash(label)) % 10**12:012d}",
        "os": "Debian 12 x64 (bookworm)",
        "ram": 15360,
        "disk": 120,
        "main_ip": address,
        "vcpu_count": 2,
        "region": "ewr",
        "plan": "vcg-a100-2c-15g-10vram",
        "date_created": "2026-01-02T03:04:05+00:00",
        "status": "active",
        "allowed_bandwidth": 1000,
        "netmask_v4": "255.255.254.0",
        "gateway_v4": "203.0.113.1",
        "power_status": "running",
        "server_status": "ok",
        "v6_network": "",
        "v6_main_ip": "",
        "v6_network_size": 0,
        "label": label,
        "internal_ip": "",
        "kvm": "",
        "hostname": label,
        "os_id": 2136,
        "app_id": 0,
        "image_id": "",
        "firewall_group_id": "",
        "features": [],
        "user_scheme": "root",
        "tags": ["sdops"],
    }
    return {**told, **more}


class Vultr:
    """The API on a port of loopback, for the length of a ``with``. asked: the pages that were asked for."""

    def __init__(self, instances, blocked=False, listening=None):
        """blocked: the caller's address is not on the key's access list. listening: a socket to serve."""
        self.instances, self.blocked, self.asked = list(instances), blocked, []
        address = listening.getsockname() if listening else ("127.0.0.1", 0)
        self._server = ThreadingHTTPServer(address, self._handler(), bind_and_activate=not listening)
        if listening:
            self._server.socket.close()
            self._server.socket = listening
            self._server.server_address = address
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def endpoint(self):
        """What VULTR_API_ENDPOINT is to be."""
        address, port = self._server.server_address
        return f"http://{address}:{port}/v2"

    def answer(self, path, authorization):
        """Status and document for a request."""
        if self.blocked:
            return 403, {"error": "Unauthorized IP address: 203.0.113.7", "status": 403}
        if authorization != f"Bearer {KEY}":
            return 401, {"error": "Invalid API token.", "status": 401}
        parts = urlsplit(path)
        if parts.path != "/v2/instances":
            return 404, {"error": "Not found", "status": 404}
        query = parse_qs(parts.query)
        size, start = int(query["per_page"][0]), int(query.get("cursor", ["0"])[0])
        self.asked.append((start, size))
        page, after = self.instances[start : start + size], start + size
        links = {
            "next": str(after) if after < len(self.instances) else "",
            "prev": str(start - size) if start else "",
        }
        return 200, {"instances": page, "meta": {"total": len(self.instances), "links": links}}

    def _handler(api):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, document = api.answer(self.path, self.headers.get("Authorization"))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
