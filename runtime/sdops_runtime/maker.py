"""Turns chunks of jobs into pictures, and those into files and events. Knows no queue."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Callable

from sdops_runtime import pipeline, png
from sdops_runtime.chunks import Chunk, Slots
from sdops_runtime.course import Place, item_failed
from sdops_runtime.errors import SdopsError
from sdops_runtime.inputs import Ready
from sdops_runtime.outbox import Outbox
from sdops_runtime.outputs import name_of
from sdops_runtime.protocol import Event, Item, JobRequest
from sdops_runtime.record import Record


class Maker:
    """What a job's chunks need to become files and events.

    about: what every picture's record says of model, stack and device. several: whether the job has
    pictures of several sizes: one that does not fit is no end of the others.
    """

    def __init__(
        self,
        request: JobRequest,
        place: Place,
        about: Mapping[str, Any],
        slots: Slots,
        outbox: Outbox,
        several: bool = False,
    ) -> None:
        self._request = request
        self._place = place
        self._about = about
        self._slots = slots
        self.outbox = outbox
        self.several = several

    def recipe(self, chunk: Chunk) -> pipeline.Recipe:
        """How the chunk's pictures are made."""
        settings = self._request.at(chunk.items[0].cell)
        return pipeline.Recipe(
            settings.strength, settings.steps, settings.guidance, settings.negative_prompt or ""
        )

    def draws(self, chunk: Chunk) -> list[pipeline.Draw]:
        """The chunk's pictures as the engine knows them."""
        return [
            pipeline.Draw(
                ready.image,
                ready.sha256,
                self._request.prompts[item.prompt],
                item.seed,
                self._slots.of(item.index),
            )
            for item, ready in zip(chunk.items, chunk.inputs)
        ]

    def step(self, chunk: Chunk, done: int, of: int) -> None:
        """Tells that a UNet call has been sent to the device."""
        indices = [item.index for item in chunk.items]
        self.outbox.tell(Event("step", {"indices": indices, "step": done, "steps": of}))

    def notice(self, code: str, message: str) -> None:
        """Tells that something was lowered, to fit into memory, or left."""
        self.outbox.tell(Event("notice", {"code": code, "message": message}))

    def keep(self, chunk: Chunk, pictures: Sequence[pipeline.Picture], seconds: float) -> None:
        """Has the chunk's pictures saved; waits for those of the chunk before, so that none pile up.

        seconds: what each of them took.
        """
        self.outbox.flush(wait=True)
        for item, ready, picture in zip(chunk.items, chunk.inputs, pictures):
            if picture.failure is not None:
                self._fail(item, picture.failure)
            else:
                self.outbox.save(partial(self._save, item, ready, picture, seconds))

    def fail(self, chunk: Chunk, error: SdopsError) -> None:
        """Tells why there are no pictures of a chunk."""
        for item in chunk.items:
            self._fail(item, error)

    def _fail(self, item: Item, error: SdopsError) -> None:
        self.outbox.tell(item_failed(item, error))

    def _save(self, item: Item, ready: Ready, picture: pipeline.Picture, seconds: float) -> Event:
        """Writes one picture; returns the event that tells of it. Runs in the outbox's thread."""
        assert picture.image is not None
        name, settings = name_of(self._request, item), self._request.at(item.cell)
        record = Record(
            **{
                key: self._about[key] for key in ("model", "revision", "stack", "versions", "device", "dtype")
            },
            batch=picture.rung.batch,
            slot=self._slots.of(item.index) % picture.rung.batch,
            rung=str(picture.rung) or None,
            prompt=self._request.prompts[item.prompt],
            seed=item.seed,
            index=item.index,
            width=picture.image.width,
            height=picture.image.height,
            input_sha256=ready.sha256,
            input_size=ready.original,
            flagged=picture.flagged,
            retried_float32=picture.retried,
            compiled=picture.compiled,
            **{
                key: getattr(settings, key)
                for key in ("negative_prompt", "strength", "guidance", "steps", "background")
            },
        )
        digest = png.save_png(picture.image, self._place.out / name, record, self._place.overwrite)
        data = {
            "index": item.index,
            "name": name,
            "sha256": digest,
            "seed": item.seed,
            "input": item.input,
            "prompt": item.prompt,
            "input_sha256": ready.sha256,
            "width": picture.image.width,
            "height": picture.image.height,
            "seconds": round(seconds, 2),
            "flagged": picture.flagged,
            "retried": picture.retried,
        }
        return Event("image", data)


#: A chunk and whose it is.
Part = tuple[Maker, Chunk]


def make(engine: Any, parts: Sequence[Part], batch: int, started: Callable[[], None]) -> None:
    """Makes chunks of one size and recipe, of one or more jobs, in one batch, and has them saved.

    The first is that of the job whose turn it is: where it cannot be made, the others' are left.
    started: called once the device has been given work.
    """
    began = time.monotonic()
    draws = [draw for maker, chunk in parts for draw in maker.draws(chunk)]

    def step(done: int, of: int) -> None:
        if done == 1:
            started()
        for maker, chunk in parts:
            maker.step(chunk, done, of)

    def notice(code: str, message: str) -> None:
        for maker, _ in parts:
            maker.notice(code, message)

    host, first = parts[0]
    try:
        pictures = iter(engine.make(draws, host.recipe(first), batch, step, on_notice=notice))
    except SdopsError as error:
        # A size that does not fit fails its pictures, and not the others' job.
        if error.code != "out-of-memory" or not host.several:
            raise
        host.fail(first, error)
        return
    seconds = (time.monotonic() - began) / len(draws)
    for maker, chunk in parts:
        maker.keep(chunk, [next(pictures) for _ in chunk.items], seconds)
