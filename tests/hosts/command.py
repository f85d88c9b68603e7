"""Run one command, bounded in time, with its output in files.

Files instead of pipes: a daemon that a command leaves behind (ssh's ControlPersist
master is one) keeps pipes open, and whoever reads them to the end waits for the daemon.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Argument: TypeAlias = str | Path


@dataclass(frozen=True)
class Completed:
    """What a command left: exit status (negative: killed by that signal), output, seconds it took."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str
    seconds: float


class CommandError(Exception):
    """A command exited with another status than 0, or ran out of time."""

    def __init__(self, completed: Completed, why: str) -> None:
        self.completed = completed
        tail = "\n".join((completed.stdout + completed.stderr).splitlines()[-25:])
        super().__init__(f"{why}: {' '.join(completed.argv)}\n{tail}")


def run(
    argv: Sequence[Argument],
    *,
    timeout: float = 60,
    check: bool = True,
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    end: Callable[[], None] | None = None,
    shown: Sequence[Argument] | None = None,
) -> Completed:
    """Runs argv and returns what it left.

    env replaces the environment. end is called when the time is over, to stop what
    killing the command's own process group cannot reach. shown stands for argv in what is
    returned or raised, where argv is wrapped in what nobody wants to read. Raises CommandError when
    the time is over, and, unless check is False, for any exit status but 0.
    """
    words = tuple(str(word) for word in argv)
    began = time.monotonic()
    with tempfile.TemporaryFile() as fed, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        fed.write(stdin.encode() if isinstance(stdin, str) else stdin)
        fed.seek(0)
        process = subprocess.Popen(
            words, stdin=fed, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True
        )
        late = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                if end:
                    end()
                process.wait()
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    told = tuple(str(word) for word in shown or argv)
    completed = Completed(told, process.returncode, texts[0], texts[1], time.monotonic() - began)
    if late:
        raise CommandError(completed, f"not done after {timeout:g} s")
    if check and completed.rc:
        raise CommandError(completed, f"exit status {completed.rc}")
    return completed
