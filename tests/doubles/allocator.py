"""A stand-in for a GPU's memory: counts the bytes of living tensors, and refuses more than a limit.

    with allocator.Memory(limit=50_000_000) as memory:
        engine.make(…)
    memory.peak

It sees every operation on tensors, of whatever device (``meta`` too, where tensors have shapes and no
values), and the end of every tensor. What has no tensor it does not see: what a kernel takes for itself
while it runs, the pieces that a real allocator cannot use, CUDA's own context. Python 3.9.
"""

import contextlib
import weakref

import torch
from torch.utils import _python_dispatch

#: Returns what it was given, in another shape, and does not say so in its schema.
_SAME = "aten._unsafe_view"


class Memory:
    """limit: bytes; None for no limit. live, peak: bytes, of tensors made while this was entered."""

    def __init__(self, limit=None):
        self.limit = limit
        self.live = self.peak = 0
        #: How often something was refused.
        self.refused = 0
        self._blocks = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        watch = type("_Watching", (_Watch,), {"memory": self})
        # The guide's torch wants modes pushed, today's entered.
        push = getattr(_python_dispatch, "push_torch_dispatch_mode", None)
        self._stack.enter_context(push(watch) if push else watch())
        if push:
            self._stack.enter_context(_unwatched("randn"))
        return self

    def __exit__(self, *_):
        self._stack.close()

    def restart(self):
        """Forgets the peak."""
        self.peak = self.live

    def _take(self, func, given, out):
        for made in _tensors(out):
            if id(made) in self._blocks:
                continue
            block = self._block(func, given, made)
            block.users += 1
            self._blocks[id(made)] = block
            weakref.finalize(made, self._leave, id(made))
        if self.limit is not None and self.live > self.limit:
            self.refused += 1
            raise RuntimeError(f"CUDA out of memory. Tried to have {self.live} of {self.limit} bytes.")

    def _leave(self, number):
        block = self._blocks.pop(number)
        block.users -= 1
        if not block.users:
            self.live -= block.size

    def _block(self, func, given, made):
        """What a tensor lies in: a block of its own, or another tensor's."""
        place = _place(made)
        aliases = str(func).startswith(_SAME) or "Tensor(" in str(func._schema).rpartition("->")[2]
        for other in given:
            known = self._blocks.get(id(other))
            same = aliases if place is None else place == _place(other)
            if same:
                # Seen before, or older than this: a weight, which costs nothing here.
                return known or _Block(0)
        block = _Block(made.numel() * made.element_size())
        self.live += block.size
        self.peak = max(self.peak, self.live)
        return block


@contextlib.contextmanager
def _unwatched(name):
    """Has torch's function run without the mode: the guide's torch cannot show a generator to one."""
    original = getattr(torch, name)

    def call(*arguments, **words):
        mode = torch._C._get_torch_dispatch_mode()
        torch._C._set_torch_dispatch_mode(None)
        try:
            made = original(*arguments, **words)
        finally:
            torch._C._set_torch_dispatch_mode(mode)
        return made.clone()

    setattr(torch, name, call)
    try:
        yield
    finally:
        setattr(torch, name, original)


class _Block:
    def __init__(self, size):
        self.size, self.users = size, 0


class _Watch(_python_dispatch.TorchDispatchMode):
    #: Set in a class of its own: the guide's torch does not let a mode have words of its own.
    memory = None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.memory._take(func, [*_tensors(args), *_tensors(list(kwargs.values()))], out)
        return out


def _place(tensor):
    """A number for the memory a tensor lies in; None where the guide's torch has none to tell."""
    if hasattr(tensor, "untyped_storage"):
        return tensor.untyped_storage()._cdata
    return None if tensor.device.type == "meta" else tensor.storage()._storage._cdata


def _tensors(found):
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, (list, tuple)):
        return [one for part in found for one in _tensors(part)]
    return []
