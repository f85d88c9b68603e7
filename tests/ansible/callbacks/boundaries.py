"""Ansible callback: tells a test what runs when, and stops a run at the beginning of a task.

BOUNDARIES_PIPE is the number of an open pipe that gets a JSON line for each task that begins and for
each that has changed the host. At the task whose number is BOUNDARIES_STOP (from 0) the run waits for its
end: the controller has heard all results of the tasks before, and has sent nothing of this one.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """One line for each event; unbuffered, since whoever reads acts on it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "boundaries"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pipe = os.fdopen(int(os.environ["BOUNDARIES_PIPE"]), "wb", buffering=0)
        self._stop = int(os.environ.get("BOUNDARIES_STOP", "-1"))
        self._count = 0

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        role, _, name = task.get_name().rpartition(" : ")
        self._tell(name=name, role=role)
        if self._count == self._stop:
            signal.pause()
        self._count += 1

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler begins."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task has succeeded."""
        if result.result.get("changed"):
            self._tell(changed=True)

    def _tell(self, **event: object) -> None:
        self._pipe.write(json.dumps(event).encode() + b"\n")
