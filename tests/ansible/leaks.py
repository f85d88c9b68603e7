"""A canary: a token that no other text holds, and the search for it wherever it must not get to.

Made anew for each test, and shown by none of what is here: answers are places, never what stands there.
"""

from __future__ import annotations

import base64
import os
import random
import string
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from hosts.host import Host


class Canary:
    """token: in the form of the hub's own."""

    def __init__(self) -> None:
        self.token = "hf_" + "".join(random.SystemRandom().choices(string.ascii_letters, k=34))
        # A piece of it, should only that leak; and as base64 has it, wherever it begins there.
        self._pieces = [self.token[8:24].encode()]
        for start in range(3):
            self._pieces.append(base64.b64encode(self.token[5 + start :].encode()[:24])[:-4])

    def is_in(self, text: str | bytes) -> bool:
        """Whether it stands there."""
        data = text.encode() if isinstance(text, str) else text
        return any(piece in data for piece in self._pieces)

    def hidden(self, text: str) -> str:
        """A text that may be shown."""
        return "(the canary is in what would stand here)" if self.is_in(text) else text

    def files(self, *folders: Path) -> list[str]:
        """Files below folders of this machine that hold it."""
        pieces = "\n".join(piece.decode() for piece in self._pieces)
        grep = ["grep", "-rlaF", "-D", "skip", "-f", "-", *map(str, folders)]
        ran = subprocess.run(grep, input=pieces, capture_output=True, text=True, timeout=300)
        assert ran.returncode in (0, 1), ran.stderr
        return sorted(ran.stdout.splitlines())

    def files_on(self, host: Host) -> list[str]:
        """Files that hold it on all of a host's disk and in its folders in memory, whoever may read them."""
        top = [name for name in host.inside(["ls", "/"]).stdout.split() if name not in ("proc", "sys", "dev")]
        pieces = [word for piece in self._pieces for word in ("-e", piece.decode())]
        grep = ["grep", "-rlaF", "-D", "skip", *pieces, "/dev/shm", *(f"/{name}" for name in top)]
        return sorted(host.inside(grep, check=False, timeout=300).stdout.splitlines())

    def in_journal(self, host: Host) -> bool:
        """Whether it stands in a host's journal, which has something of Ansible's in it."""
        host.inside(["journalctl", "--sync"])
        journal = host.inside(["journalctl", "--no-pager", "--output=verbose"]).stdout
        assert "ansible" in journal, "nothing of Ansible's in the journal"
        return self.is_in(journal)


class Watch:
    """Looks at processes again and again: command lines of all of them, environments of a host's.

    From outside of host and controller, where all can be seen. What the controller runs may have the
    token in its environment, where the person has put it. seen: programs that had it elsewhere.
    """

    def __init__(self, canary: Canary, host: Host) -> None:
        self.samples = 0
        self.seen: set[str] = set()
        self._canary = canary
        self._space = host.inside(["readlink", "/proc/self/ns/pid"]).stdout.strip()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        own = str(os.getpid())
        while not self._done.wait(0.01):
            self.samples += 1
            for process in Path("/proc").glob("[0-9]*"):
                if process.name != own:
                    self._look(process)

    def _look(self, process: Path) -> None:
        try:
            line = (process / "cmdline").read_bytes()
            if self._canary.is_in(line):
                self._note("command line", line)
            if str((process / "ns/pid").readlink()) == self._space and self._canary.is_in(
                (process / "environ").read_bytes()
            ):
                self._note("environment", line)
        except OSError:
            pass  # ended meanwhile

    def _note(self, where: str, line: bytes) -> None:
        self.seen.add(f"{where} of {line.split(bytes(1))[0].decode(errors='replace')}")
