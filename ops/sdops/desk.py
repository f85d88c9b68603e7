"""A conversation with a host's desk (``sdops-runtime attend``), over any session.

Says and hears messages, in order; knows what each may hold, and nothing of jobs. What a host says is not
trusted: it is checked here, and shown by nobody before it is escaped.
"""

import json
import queue
import secrets
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdops_runtime.protocol import PROTOCOL

from sdops import desk_words
from sdops.errors import SdopsError
from sdops.facts.wanted import Wanted
from sdops.transport import Session

#: Below the account's home; see the role runtime.
LAUNCHER = ".local/bin/sdops-runtime"
#: Seconds without a sign of life, with the host silent and nothing taken of what is sent, until the
#: connection counts as lost. The desk says something every 5.
SILENCE = 30.0
#: Seconds for the desk to say hello: the start of a Python on a busy host.
HELLO = 60.0
#: No conversation is longer than this, in seconds. (The system's own limit of a wait is 24 days.)
LONGEST = 7 * 86400.0

_PIECE = 1 << 15
#: Messages that have come and nobody has heard yet; the connection waits while there are so many.
_AHEAD = 64
#: No picture is larger: 2048 x 2048 pixels of 3 bytes, and the record.
_MAX_BYTES = 32 * 2**20
_MAX_LINE = 64 * 2**20


@dataclass(frozen=True)
class Message:
    """What the desk said. payload: the bytes that came with it."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes | None = None


class Conversation:
    """One conversation. name: what a person calls the host. wanted: what it is meant to be.

    Every method raises SdopsError: what the desk says is wrong, ``connection-lost``, ``runtime-missing``,
    ``runtime-stale`` or ``runtime-broken``.
    """

    def __init__(self, session: Session, name: str, wanted: Wanted) -> None:
        self._session, self._name, self._wanted = session, name, wanted
        self._out: queue.Queue[bytes | Path | None] = queue.Queue()
        self._in: queue.Queue[Message | SdopsError] = queue.Queue(_AHEAD)
        self._closed = False
        self._active = time.monotonic()
        word = f"sdops-{secrets.token_hex(8)}"
        self._reader = _Reader(word)
        self._thread = threading.Thread(target=self._talk, args=(word,), daemon=True)
        self._thread.start()
        self._hello: Message | None = None

    def hello(self) -> Message:
        """What the desk says first, with a protocol that is ours."""
        if self._hello is None:
            self._hello = self.hear("hello", patience=HELLO)
            theirs = self._hello.data.get("protocol")
            if theirs != PROTOCOL:
                raise SdopsError(
                    "protocol-mismatch",
                    f"The runtime on {self._name} speaks protocol {theirs!r}, this sdops {PROTOCOL}.",
                    f"Deploy the matching one: {self._deploy()}",
                )
        return self._hello

    def demand_same_runtime(self) -> None:
        """Raises SdopsError("runtime-stale") for another runtime than that of this sdops."""
        theirs, ours = self.hello().data.get("digest"), self._wanted.digest
        if ours and theirs and theirs != ours:
            raise SdopsError(
                "runtime-stale",
                f"The runtime on {self._name} is not the one of this sdops.",
                f"Deploy it: {self._deploy()}",
            )

    def say(self, do: str, payload: Path | None = None, **data: Any) -> None:
        """Asks for something. payload: a file that follows."""
        self._out.put(json.dumps({"do": do, **data}).encode() + b"\n")
        if payload is not None:
            self._out.put(payload)

    def ask(self, do: str, kind: str, **data: Any) -> Message:
        """Asks for something, and gives the answer, which is of a kind."""
        self.say(do, **data)
        return self.hear(kind)

    def hear(self, *kinds: str, patience: float | None = None) -> Message:
        """The next message of one of the kinds (of any, if none is named).

        patience: in seconds, ``SILENCE`` if None. Others are passed over, but for ``error``, which is raised.
        """
        patience = SILENCE if patience is None else patience
        self._active = time.monotonic()
        while True:
            try:
                message = self._in.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() - self._active > patience:
                    raise SdopsError(
                        "connection-lost",
                        f"{self._name} has not said anything for {patience:.0f} s.",
                        "See whether it still runs, and whether the network does.",
                    ) from None
                continue
            if isinstance(message, SdopsError):
                raise message
            if message.kind == "error":
                raise self._complaint(message)
            if not kinds or message.kind in kinds:
                desk_words.check(message.kind, message.data)
                return message

    def close(self) -> None:
        """Ends it; never raises. The session stays."""
        self._closed = True
        self._out.put(None)
        with suppress(queue.Empty):
            while True:
                self._in.get_nowait()

    # -- the thread that talks

    def _talk(self, word: str) -> None:
        last = SdopsError("internal-error", f"The conversation with {self._name} ended in an unexpected way.")
        try:
            status = self._session.stream(
                [LAUNCHER, "attend", word], self._take, stdin=self._sending(), timeout=LONGEST
            )
            last = self._ended(status)
        except SdopsError as error:
            last = error
        finally:
            self._give(last)

    def _sending(self) -> Iterator[bytes]:
        while (one := self._out.get()) is not None:
            if isinstance(one, bytes):
                yield one
                self._active = time.monotonic()
                continue
            with one.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
                    self._active = time.monotonic()

    def _take(self, piece: bytes) -> None:
        self._active = time.monotonic()
        for message in self._reader.feed(piece):
            self._give(message)

    def _give(self, message: Message | SdopsError) -> None:
        while not self._closed:
            with suppress(queue.Full):
                self._in.put(message, timeout=0.5)
                return

    def _ended(self, status: int) -> SdopsError:
        """What it means that the desk has ended, while somebody is here."""
        if self._reader.begun:
            return SdopsError(
                "connection-lost", f"The runtime on {self._name} ended the conversation.", "Try again."
            )
        if status in (126, 127):
            return SdopsError(
                "runtime-missing",
                f"There is no runtime for {self._wanted.user} on {self._name}.",
                f"Deploy it: {self._deploy()}",
            )
        told = self._reader.complaint()
        if told.get("code") == "usage":
            return SdopsError(
                "runtime-stale",
                f"The runtime on {self._name} is older than this sdops.",
                f"Deploy the matching one: {self._deploy()}",
            )
        if told:
            return self._complaint(Message("error", told))
        said = self._reader.last_line() or self._why() or f"it ended with status {status}"
        return SdopsError(
            "runtime-broken",
            f"The runtime on {self._name} does not start: {said.rstrip('.')}.",
            self._examine(),
        )

    def _why(self) -> str:
        """What a runtime complains of that does not come to say anything, its last words; "" for nothing."""
        with suppress(SdopsError):
            ended = self._session.run([LAUNCHER, "version"], timeout=SILENCE)
            return _last_line(ended.stderr) if ended.status else ""
        return ""

    def _complaint(self, message: Message) -> SdopsError:
        """What the desk says is wrong, as an error of ours."""
        from sdops.errors import ALL_CODES

        code, text, hint = (str(message.data.get(key, "")) for key in ("code", "message", "hint"))
        if code not in ALL_CODES:
            code = "runtime-broken"
        # What helps is typed here, and there may be another name for it.
        if code == "worker-dead":
            hint = self._examine()
        elif code == "disk-full":
            hint = f"Remove jobs whose pictures were fetched: sdops prune --days 0 --host {self._name}"
        elif code == "job-unknown":
            hint = "sdops jobs lists them."
        hint = hint.replace("ansible-playbook ansible/site.yml", shlex.join(self._wanted.playbook))
        return SdopsError(code, f"{self._name}: {text}", hint)

    def _deploy(self) -> str:
        return shlex.join((*self._wanted.playbook, "--tags", "runtime"))

    def _examine(self) -> str:
        return f"See what is wrong, and what mends it: sdops doctor {self._name}"


class _Reader:
    """Makes messages of bytes. Before the word come the account's start files, and reasons not to begin."""

    def __init__(self, word: str) -> None:
        self._mark = f"\n{word}\n".encode()
        self._buffer = bytearray()
        self._head: dict[str, Any] | None = None
        self._wanted = 0
        self.begun = False

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that are complete with this piece."""
        self._buffer += piece
        if not self.begun:
            _, mark, after = bytes(self._buffer).partition(self._mark)
            if not mark:
                del self._buffer[:-_MAX_LINE]
                return
            self.begun = True
            self._buffer = bytearray(after)
        while True:
            if self._head is None:
                line, end, rest = self._buffer.partition(b"\n")
                if not end:
                    if len(self._buffer) > _MAX_LINE:
                        raise desk_words.nonsense("a line without an end")
                    return
                self._buffer = rest
                self._head = desk_words.read(bytes(line))
                size = self._head.get("bytes")
                if size is not None and not (type(size) is int and 0 <= size <= _MAX_BYTES):
                    raise desk_words.nonsense(f"a picture of {size!r:.40} bytes")
                self._wanted = size or 0
            if len(self._buffer) < self._wanted:
                return
            payload = bytes(self._buffer[: self._wanted])
            del self._buffer[: self._wanted]
            head, self._head = self._head, None
            yield Message(str(head.pop("kind", "")), head, payload if head.get("bytes") is not None else None)

    def complaint(self) -> dict[str, Any]:
        """The reason that the runtime gave instead of beginning; empty without."""
        for line in reversed(bytes(self._buffer).splitlines()):
            with suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and "code" in told:
                    return told
        return {}

    def last_line(self) -> str:
        """What was said last instead of beginning."""
        return _last_line(bytes(self._buffer))


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
