"""Notes in the manifest of a folder what happens in a job whose pictures are saved there."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdops_runtime.protocol import Event

from sdops.jobs import manifest
from sdops.jobs.entry import Begun, Failure, Input, Item, Output
from sdops.jobs.request import Asked

_ENGINE = ("model", "revision", "stack", "device", "dtype")


class Recorder:
    """Takes the events of one job. host, job: the job's name there; None on this machine.

    hashes: SHA-256 of each input's bytes; those that the request brings along if left out. A job that the
    manifest knows is gone on with: nothing is noted twice. Methods raise SdopsError as manifest.append does.
    """

    def __init__(
        self, asked: Asked, out: Path, host: str, job: str | None = None, hashes: Sequence[str | None] = ()
    ) -> None:
        request = asked.request
        prepared = request.prepared or ()
        hashes = hashes or [one.original or None for one in prepared] or [None] * len(asked.sources)
        self._asked, self._out, self._host, self._job = asked, out, host, job
        self._items = request.items()
        self._hashes = hashes
        self._engine: Mapping[str, Any] = {}
        self._batch, self._first = request.batch, request.first
        self._run = secrets.token_hex(8)
        self._begun = False
        self._noted: set[int] = set()
        if job is not None:
            self._remember(job)

    def begin(self) -> None:
        """Notes that the job has begun."""
        if self._begun:
            return
        request = self._asked.request
        manifest.append(
            self._out,
            Begun(
                run=self._run,
                job=self._job,
                host=self._host,
                time=manifest.now(),
                seed=request.settings.seed,
                drawn=self._asked.drawn,
                images=request.settings.images,
                settings=manifest.common(request.settings),
                prompts=request.prompts,
                inputs=tuple(map(self._input, range(len(request.inputs)))),
                batch=self._batch,
                sweep=request.sweep,
            ),
        )
        self._begun = True

    def take(self, event: Event) -> None:
        """Notes what an event says. One of a picture is for here when that has its name in the folder."""
        data = event.data
        if event.kind == "loaded":
            self._engine = {name: _text(data.get(name)) for name in _ENGINE}
            self._batch, self._first = data["batch"], _number(data.get("first"))
            self.begin()
        elif event.kind == "image":
            named = ("name", "sha256", "width", "height", "seconds", "flagged", "retried")
            self._note(data, Output(**{name: data[name] for name in named}))
        elif event.kind == "item_failed":
            self._note(data, Failure(data["code"], data["message"], data["hint"]))

    def _note(self, data: Mapping[str, Any], what: Output | Failure) -> None:
        index = data["index"]
        if index in self._noted:
            return
        self.begin()
        wanted = self._items[index]
        used = self._input(wanted.input)
        said = data.get("input_sha256")
        if isinstance(
            said, str
        ):  # what the picture was really made from, had the file been changed meanwhile
            used = Input(used.path, said)
        item = Item(
            run=self._run,
            job=self._job,
            host=self._host,
            time=manifest.now(),
            index=index,
            input=used,
            prompt=self._asked.request.prompts[wanted.prompt],
            seed=wanted.seed,
            settings=manifest.common(self._asked.request.at(wanted.cell)),
            batch=self._batch,
            engine=self._engine,
            output=what if isinstance(what, Output) else None,
            failure=what if isinstance(what, Failure) else None,
            first=self._first,
        )
        manifest.append(self._out, item)
        self._noted.add(index)

    def _input(self, number: int) -> Input:
        return Input(manifest.shorten(self._asked.sources[number], self._out), self._hashes[number])

    def _remember(self, job: str) -> None:
        written = manifest.read(self._out)
        for begun in written.jobs:
            if begun.job == job:
                self._run, self._begun = begun.run, True
        self._noted = {item.index for item in written.items if item.job == job}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0
