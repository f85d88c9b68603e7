"""Asks the hub for a model's files, and downloads one, going on where it stopped.

huggingface_hub's own download function is not used: today's throws away what
an interrupted download has brought, the guide's asks for bytes behind the end
of a file that was complete but not yet renamed, and neither limits how long it
waits when the hub asks for patience. Here every wait has a limit and every
content is checked against its digest.
"""

import json
import time
from typing import Any, Callable, Optional
from urllib.parse import quote

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import answer as hub_answer
from sdops_runtime.hub import cache as hub_cache
from sdops_runtime.hub import connection as hub_connection
from sdops_runtime.hub import layout
from sdops_runtime.hub.answer import Request
from sdops_runtime.hub.cache import Cache
from sdops_runtime.hub.connection import Answer, Chunks, Connection
from sdops_runtime.hub.layout import File

#: Seconds without a byte after which a connection counts as dead. The variables are the libraries'.
ASK_WAIT = ("HF_HUB_ETAG_TIMEOUT", 10.0)
DOWNLOAD_WAIT = ("HF_HUB_DOWNLOAD_TIMEOUT", 10.0)
#: What an answer about files (not a file) may take in all.
ANSWER_SECONDS = 60.0
ANSWER_BYTES = 32 * 2**20
#: Tries in a row that bring nothing before it is given up, and seconds between the first two.
TRIES = 4
PAUSE = 1.0
#: Bytes that are read at a time; what a cut connection loses at most.
CHUNK = 256 * 2**10

Arrived = Callable[[int], None]


class Client:
    """The hub's answers about one model."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def listing(self, revision: str) -> tuple[str, tuple[File, ...]]:
        """The commit that ``revision`` names now, and all files in it.

        Raises SdopsError: model-unknown, revision-unknown, token-missing,
        token-refused, licence-not-accepted, hub-offline, hub-failed.
        """
        request = self._request(revision)
        path = f"/api/models/{self._name}/revision/{quote(revision, safe='')}?blobs=true"
        try:
            data = self._ask(path, request)
        except SdopsError as error:
            if error.code != "revision-unknown":
                raise
            raise hub_answer.revision_unknown(request, self._revisions(request)) from error
        try:
            commit = str(data["sha"])
            files = [_file(entry) for entry in data["siblings"]]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise hub_answer.not_a_hub(request) from None
        if not hub_cache.is_commit(commit):
            raise hub_answer.not_a_hub(request)
        return commit, tuple(file for file in files if hub_cache.is_safe(file))

    def index(self, commit: str) -> Any:
        """The content of a commit's index, which only those get who may read the model.

        Raises SdopsError as ``listing`` does.
        """
        return self._ask(f"/{self._name}/resolve/{commit}/{layout.INDEX}", self._request(commit))

    def fetch(self, commit: str, file: File, cache: Cache, arrived: Arrived) -> None:
        """Completes ``cache.partial(file)`` from the hub and checks it against its digest.

        arrived: called with the number of bytes there. A connection that stalls
        or breaks is made anew; ``TRIES`` times in a row without a new byte are
        the end of it. Raises SdopsError: hub-failed, hub-offline, disk-full,
        cache-unwritable, and what a refusal means.
        """
        partial = cache.partial(file)
        idle = damaged = 0
        while True:
            before = hub_cache.size(partial)
            problem = self._fetch(self._request(commit), file, cache, arrived)
            if problem is None:
                if hub_cache.matches(partial, file):
                    return
                partial.unlink()
                damaged += 1
                if damaged == 2:
                    what = f"{file.path} of {self._name} arrived damaged twice."
                    raise SdopsError("hub-failed", what, hub_answer.RETRY)
                continue
            idle = 1 if hub_cache.size(partial) > before else idle + 1
            if idle == TRIES:
                raise problem
            _pause(idle)

    def _fetch(self, request: Request, file: File, cache: Cache, arrived: Arrived) -> Optional[SdopsError]:
        """One try: None if the file is complete, else a problem that the next try may not have."""
        partial = cache.partial(file)
        have = hub_cache.size(partial)
        if have == file.size:
            return None
        start = have if 0 < have < file.size else 0

        def read(answer: Answer, chunks: Chunks) -> None:
            # A server may send all of it although it was asked for the rest.
            resumed = str(answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
            _pour(chunks, cache, file, start if answer.status == 206 and resumed else 0, arrived)

        path = f"/{self._name}/resolve/{request.revision}/{quote(file.path)}"
        answer = self._connection.get(path, hub_connection.seconds(*DOWNLOAD_WAIT), read, start)
        if not answer.status:
            return hub_answer.offline(request, answer.broken)
        if answer.status == 416:
            partial.unlink()
        if answer.status >= 300:
            problem = hub_answer.refusal(answer.status, answer.headers, request)
            if answer.status != 416 and answer.status not in hub_answer.PASSING:
                raise problem
            return problem
        have = max(hub_cache.size(partial), 0)
        if have == file.size:
            return None
        return SdopsError(
            "hub-failed",
            f"The download of {file.path} stopped again and again, at {have} of {file.size} bytes: "
            f"{answer.broken or 'the connection was cut'}.",
            f"What has arrived is kept. {hub_answer.RETRY}",
        )

    def _request(self, revision: str) -> Request:
        return Request(self._connection.endpoint, self._name, revision, self._connection.token)

    def _revisions(self, request: Request) -> tuple[str, ...]:
        """Names of the model's branches and tags; none if the hub does not tell."""
        try:
            data = self._ask(f"/api/models/{self._name}/refs", request)
            return tuple(str(entry["name"]) for kind in ("branches", "tags") for entry in data[kind])
        except (SdopsError, KeyError, TypeError):
            return ()

    def _ask(self, path: str, request: Request) -> Any:
        """The hub's JSON answer. What passes by itself is tried again; no connection at all is not."""
        idle = 0
        while True:
            answer, body = self._ask_once(path)
            if not answer.status:
                raise hub_answer.offline(request, answer.broken)
            if answer.status < 300 and not answer.broken:
                break
            idle += 1
            if answer.status < 300:
                problem = hub_answer.unfinished(answer.broken)
            else:
                problem = hub_answer.refusal(answer.status, answer.headers, request)
            if idle == TRIES or (answer.status >= 300 and answer.status not in hub_answer.PASSING):
                raise problem
            _pause(idle)
        try:
            return json.loads(body)
        except ValueError:
            raise hub_answer.not_a_hub(request) from None

    def _ask_once(self, path: str) -> tuple[Answer, bytes]:
        body = bytearray()

        def read(answer: Answer, chunks: Chunks) -> None:
            # An answer that is endless or endlessly slow is left in the middle; it is no JSON then.
            latest = time.monotonic() + ANSWER_SECONDS
            for chunk in chunks(CHUNK):
                body.extend(chunk)
                if len(body) > ANSWER_BYTES or time.monotonic() > latest:
                    return

        answer = self._connection.get(path, hub_connection.seconds(*ASK_WAIT), read)
        return answer, bytes(body)


def _pour(chunks: Chunks, cache: Cache, file: File, have: int, arrived: Arrived) -> None:
    """Appends what arrives behind the first ``have`` bytes, never more than the file is long."""
    with hub_cache.writing(cache.root):
        out = cache.partial(file).open("ab" if have else "wb", buffering=0)
    with out:
        for chunk in chunks(CHUNK):
            rest = memoryview(chunk)[: file.size - have]
            while rest:
                with hub_cache.writing(cache.root):
                    written = out.write(rest)
                have += written
                rest = rest[written:]
            arrived(have)
            if have == file.size:
                return


def _pause(idle: int) -> None:
    time.sleep(PAUSE * 2 ** (idle - 1))


def _file(entry: Any) -> File:
    """A file from the hub's listing. Raises where that lacks what we need."""
    large = entry.get("lfs")
    if large:
        return File(str(entry["rfilename"]), int(large["size"]), str(large["sha256"]))
    return File(str(entry["rfilename"]), int(entry["size"]), str(entry["blobId"]))
