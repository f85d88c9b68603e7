"""Switches that may make a GPU faster, each of which has to prove it: ``sdops bench`` tries them singly.

Only what stands in ``ON`` is on. An entry there names the measurement that put it there; no estimate does.
Other kernels mean other bits: a switch that is on belongs to the stack like a version does. Left out, because
they cannot pay for a model of this size: pinned memory (1.6 MB up and 3.1 MB down for a picture of 512x512,
with 69.7 TFLOP between them), and TF32 (pictures are made in float16).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from sdops_runtime import compiling
from sdops_runtime.errors import SdopsError

#: Switches that are on, by kind of device. None: nothing has been measured on a GPU yet. On two CPU cores
#: channels_last made 16 pictures 1.06 times as fast, others slowed it (make bench-cpu): not enough for
#: pictures that differ from those that were made before.
ON: Mapping[str, tuple[str, ...]] = {"cuda": (), "cpu": ()}

#: Shapes of calls that are captured at once: a job's batch, and the rows with and without the prompt.
_CAPTURED = 2


@dataclass(frozen=True)
class Switch:
    """One candidate. there: whether this stack and device have it. turn: turns it on in a stock pipeline."""

    name: str
    there: Callable[[Any, str], bool]
    turn: Callable[[Any], None]


def turn_on(pipeline: Any, device: str, names: Sequence[str]) -> None:
    """Turns switches on in a stock pipeline on its device. Raises SdopsError("settings-invalid")."""
    known = {switch.name: switch for switch in candidates(pipeline, device)}
    for name in names:
        if name not in known:
            has = ", ".join(known) or "none"
            raise SdopsError(
                "settings-invalid",
                f"There is no switch {name!r} with this stack and device.",
                f"It has: {has}.",
            )
        known[name].turn(pipeline)


def candidates(pipeline: Any, device: str) -> list[Switch]:
    """The switches that this stack and device have."""
    return [switch for switch in SWITCHES if switch.there(pipeline, device)]


def _channels_last(pipeline: Any) -> None:
    import torch

    for part in (pipeline.unet, pipeline.vae):
        part.to(memory_format=torch.channels_last)


def _choose_kernels(pipeline: Any) -> None:
    import torch

    torch.backends.cudnn.benchmark = True


def _fuse(pipeline: Any) -> None:
    pipeline.fuse_qkv_projections()


def _compile(pipeline: Any) -> None:
    import torch

    # In place, so that the part stays the module that it is for everybody else.
    pipeline.unet.compile(mode=None, dynamic=False)
    pipeline.vae.decode = torch.compile(pipeline.vae.decode, dynamic=False)


def _graph(pipeline: Any) -> None:
    unet = pipeline.unet
    graphs = Graphs(unet.forward, _capture)
    unet.forward = graphs
    # What is captured reads the weights where they were: a conversion moves them.
    convert = unet.to

    def to(*words: Any, **named: Any) -> Any:
        graphs.forget()
        return convert(*words, **named)

    unet.to = to


def forget(unet: Any) -> None:
    """Drops what was captured of a UNet: its memory is wanted, or it would compute otherwise now."""
    if isinstance(unet.forward, Graphs):
        unet.forward.forget()


class Graphs:
    """A module's forward, captured for each shape and replayed: the GPU waits for no launch.

    Each capture keeps its own memory, so that few are kept. capture: takes the function and its arguments;
    returns what runs the same kernels again, and the result's memory, which the next replay writes over.
    """

    def __init__(
        self, forward: Callable[..., Any], capture: Callable[..., tuple[Callable[[], None], Any]]
    ) -> None:
        self._forward, self._capture = forward, capture
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def __call__(self, sample: Any, timestep: Any, encoder_hidden_states: Any) -> Any:
        """As the forward; the result's ``sample`` is the caller's own."""
        inputs = (sample, timestep, encoder_hidden_states)
        key = tuple((tuple(one.shape), one.dtype, one.device) for one in inputs)
        if key not in self._kept:
            while len(self._kept) >= _CAPTURED:
                self._kept.popitem(last=False)
            own = tuple(one.clone() for one in inputs)
            replay, result = self._capture(
                lambda: self._forward(own[0], own[1], encoder_hidden_states=own[2])
            )
            self._kept[key] = own, replay, result
        own, replay, result = self._kept[key]
        for mine, given in zip(own, inputs):
            mine.copy_(given)
        replay()
        return type(result)(sample=result.sample.clone())

    def forget(self) -> None:
        """Drops what was captured."""
        self._kept.clear()


def _capture(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """A CUDA graph of what ``run`` does (https://pytorch.org/docs/stable/notes/cuda.html, CUDA graphs)."""
    import torch

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    return graph.replay, result


SWITCHES = (
    Switch("channels_last", lambda pipeline, device: True, _channels_last),
    Switch("cudnn_benchmark", lambda pipeline, device: device == "cuda", _choose_kernels),
    Switch("fused_projections", lambda pipeline, device: hasattr(pipeline, "fuse_qkv_projections"), _fuse),
    Switch("cuda_graphs", lambda pipeline, device: device == "cuda", _graph),
    Switch(
        compiling.BLOCKS,
        lambda pipeline, device: compiling.missing(pipeline.unet, device) is None,
        lambda pipeline: compiling.turn(pipeline.unet),
    ),
    Switch("compile", lambda pipeline, device: hasattr(pipeline.unet, "compile"), _compile),
)
