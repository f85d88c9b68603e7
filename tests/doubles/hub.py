"""A fake of the model hub, on loopback: the real one holds gigabytes, personal tokens and licences.

It answers what both generations of huggingface_hub ask: a revision's files with
their sizes (``siblings``) or as a tree, branches, who a token belongs to, and
files: small ones at once, large ones by a redirect to a second server, which
stands for the storage host that must never see a token. Like the hub it

- lets everybody list a gated model, but not read its files: 401 to visitors,
  403 to those who did not accept the licence, both X-Error-Code: GatedRepo;
- answers 401 to visitors for a model that is not there, 404 to people with a token;
- answers 401 to a bad token, whatever is asked.

Tests order faults from it and read what it was asked. Standard library only.
Also a program: ``python tests/doubles/hub.py --model-dir DIR`` prints its
address as its first line and serves until it is ended.
"""

import argparse
import hashlib
import json
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote, unquote, urlsplit

GOOD = "hf_goodTokenWhoseOwnerAcceptedTheLicence"
NO_LICENCE = "hf_goodTokenWhoseOwnerDidNotAccept"
#: Kept outside git, under the SHA-256 of their content, and served by the storage host.
LARGE = (".bin", ".safetensors", ".ckpt", ".msgpack")


@dataclass(frozen=True)
class Seen:
    """A request as it arrived at the ``hub`` or its ``storage``."""

    server: str
    method: str
    path: str
    authorization: Optional[str]
    range: Optional[str]


@dataclass
class _Fault:
    """Something that goes wrong with a file or a path, ``times`` times."""

    kind: str
    where: str
    times: int
    number: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class _Model:
    revisions: dict[str, str]
    commits: dict[str, dict[str, bytes]]
    gated: bool


class FakeHub:
    """The fake, running from its making to ``close``; a context manager."""

    def __init__(self, bind: str = "127.0.0.1", port: int = 0) -> None:
        self.requests: list[Seen] = []
        self.ignores_ranges = False
        self._models: dict[str, _Model] = {}
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._servers = [_Server((bind, port), self, "hub"), _Server((bind, 0), self, "storage")]
        self.endpoint = f"http://{bind}:{self._servers[0].server_port}"
        self.storage = f"http://{bind}:{self._servers[1].server_port}"
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "FakeHub":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends both servers and wakes every stalled answer."""
        self._closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(self, name: str, files: Mapping[str, bytes], revision: str = "main", gated: bool = False) -> str:
        """Publishes files as what a revision of a model names now; returns the commit."""
        content = b"".join(path.encode() + b"\0" + data for path, data in sorted(files.items()))
        commit = hashlib.sha1(content).hexdigest()
        old = self._models.get(name, _Model({}, {}, gated))
        revisions = {**old.revisions, revision: commit}
        self._models[name] = _Model(revisions, {**old.commits, commit: dict(files)}, gated)
        return commit

    def add_folder(self, name: str, folder: Path, revision: str = "main", gated: bool = False) -> str:
        """Publishes a folder's files; returns the commit."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return self.add(name, files, revision, gated)

    def delete(self, name: str) -> None:
        """Takes a model away."""
        del self._models[name]

    def cut(self, file: str, after: int, times: int = 1) -> None:
        """Closes the connection when so many bytes of an answer with this file have been sent."""
        self._faults.append(_Fault("cut", file, times, after))

    def stall(self, file: str, after: int, times: int = 1) -> None:
        """Goes silent when so many bytes of an answer with this file have been sent."""
        self._faults.append(_Fault("stall", file, times, after))

    def garble(self, file: str, times: int = 1) -> None:
        """Sends other bytes than the file's, as many."""
        self._faults.append(_Fault("garble", file, times))

    def answer(
        self,
        path: str,
        status: int,
        times: int = 1,
        headers: Optional[Mapping[str, str]] = None,
        body: bytes = b"",
    ) -> None:
        """Gives this answer to requests whose path contains ``path``."""
        self._faults.append(_Fault("answer", path, times, status, headers or {}, body))

    def _take(self, kind: str, where: str) -> Optional[_Fault]:
        with self._lock:
            for fault in self._faults:
                matches = fault.where in where if kind == "answer" else fault.where == where
                if fault.kind == kind and fault.times > 0 and matches:
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], fake: FakeHub, role: str) -> None:
        self.fake = fake
        self.role = role
        super().__init__(address, _Handler)

    def handle_error(self, *_: object) -> None:
        """Says nothing: clients that hang up in the middle are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        fake, path = self.server.fake, urlsplit(self.path).path
        token = self.headers.get("Authorization")
        seen = Seen(self.server.role, self.command, self.path, token, self.headers.get("Range"))
        with fake._lock:
            fake.requests.append(seen)
        fault = fake._take("answer", self.path)
        if fault is not None:
            self._send(fault.number, fault.body, fault.headers)
        elif self.server.role == "storage":
            self._send_stored(unquote(path).lstrip("/"))
        elif token not in (None, f"Bearer {GOOD}", f"Bearer {NO_LICENCE}"):
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif path == "/api/whoami-v2":
            self._send_owner(token)
        else:
            self._route(path, token)

    def _route(self, path: str, token: Optional[str]) -> None:
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(refs|revision|tree)(?:/([^/]+))?)?/?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        match = api or file
        name = match.group(1) if match else ""
        model = self.server.fake._models.get(name)
        if match is None or model is None:
            self._refuse(404 if token else 401, "RepoNotFound", "Repository not found")
            return
        revision = unquote((match.group(3) if api else match.group(2)) or "main")
        commit = model.revisions.get(revision, revision)
        if api and api.group(2) == "refs":
            self._send_refs(model)
        elif commit not in model.commits:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif api and api.group(2) == "tree":
            self._send_json([_entry(path, data) for path, data in model.commits[commit].items()])
        elif api:
            self._send_listing(name, model, commit)
        elif model.gated and token is None:
            said = f"Access to model {name} is restricted. You must be authenticated to access it."
            self._refuse(401, "GatedRepo", said)
        elif model.gated and token == f"Bearer {NO_LICENCE}":
            said = f"Access to model {name} is restricted and you are not in the authorized list."
            self._refuse(403, "GatedRepo", said)
        else:
            self._send_file(model.commits[commit], commit, unquote(match.group(3)))

    def _send_file(self, files: Mapping[str, bytes], commit: str, path: str) -> None:
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if path not in files:
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif path.endswith(LARGE):
            headers["X-Linked-ETag"] = f'"{_blob(path, files[path])}"'
            headers["X-Linked-Size"] = str(len(files[path]))
            headers["Location"] = f"{self.server.fake.storage}/{commit}/{quote(path)}"
            self._send(302, b"", headers)
        else:
            self._send_content(path, files[path], {**headers, "ETag": f'"{_blob(path, files[path])}"'})

    def _send_stored(self, place: str) -> None:
        commit, _, path = place.partition("/")
        for model in self.server.fake._models.values():
            if path in model.commits.get(commit, {}):
                self._send_content(path, model.commits[commit][path], {"ETag": '"of the storage"'})
                return
        self._send(404, b"", {})

    def _send_content(self, path: str, data: bytes, headers: dict[str, str]) -> None:
        fake, status, start = self.server.fake, 200, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and not fake.ignores_ranges:
            status, start = 206, int(asked.group(1))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            if start >= len(data):
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
        body = data[start:]
        if self.command == "GET":
            if fake._take("garble", path):
                body = bytes(255 - byte for byte in body)
            broken = fake._take("cut", path) or fake._take("stall", path)
            if broken is not None:
                self._send(status, body, headers, broken)
                return
        self._send(status, body, headers)

    def _send_listing(self, name: str, model: _Model, commit: str) -> None:
        siblings = []
        for path, data in model.commits[commit].items():
            entry: dict[str, Any] = {"rfilename": path}
            if "blobs=" in self.path:
                entry.update(size=len(data), blobId=_git_name(data))
                if path.endswith(LARGE):
                    digest = hashlib.sha256(data).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        about = {"id": name, "modelId": name, "sha": commit, "private": False, "disabled": False}
        about.update(gated="auto" if model.gated else False, downloads=0, likes=0, tags=[])
        self._send_json({**about, "siblings": siblings})

    def _send_refs(self, model: _Model) -> None:
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in model.revisions.items()
        ]
        self._send_json({"branches": branches, "tags": [], "converts": []})

    def _send_owner(self, token: Optional[str]) -> None:
        if token is None:
            self._refuse(401, "", "Invalid username or password.")
        else:
            self._send_json({"type": "user", "name": "tester", "auth": {"type": "access_token"}})

    def _refuse(self, status: int, code: str, said: str) -> None:
        headers = {"X-Error-Message": said}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": said}).encode(), headers)

    def _send_json(self, data: Any) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], broken: Optional[_Fault] = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if broken is None else body[: broken.number])
        if broken is not None:
            self.wfile.flush()
            if broken.kind == "stall":
                self.server.fake._closing.wait(30)
            self.close_connection = True


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _git_name(data)}
    if path.endswith(LARGE):
        digest = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
    return entry


def _blob(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if path.endswith(LARGE) else _git_name(data)


def _git_name(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def main(argv: Optional[list[str]] = None) -> None:
    """Serves one folder as a model until the process is ended."""
    parser = argparse.ArgumentParser(description="A fake model hub.")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen at and to redirect to")
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--name", default="CompVis/stable-diffusion-v1-4")
    parser.add_argument("--revision", action="append", help="may be repeated; main and fp16 by default")
    parser.add_argument("--gated", action="store_true")
    options = parser.parse_args(argv)
    with FakeHub(options.bind, options.port) as hub:
        for revision in options.revision or ["main", "fp16"]:
            hub.add_folder(options.name, options.model_dir, revision, options.gated)
        print(hub.endpoint, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
