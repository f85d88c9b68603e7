"""The XML of ``nvidia-smi -q -x``, of every DTD. No I/O here.

Read by its tags alone and without an XML parser: what is pasted may be cut off
or have other text around it, and nothing in it may be expanded or fetched.
"""

import html
import re

from sdops.facts.nvidia_smi import value
from sdops.facts.nvidia_smi.record import SILENT, Form, Report
from sdops.facts.nvidia_smi.tree import Node, gpu, version

HEAD = re.compile(r"<nvidia_smi_log\b|<gpu\s+id=|<!DOCTYPE\s+nvidia_smi_log")
_PIECE = re.compile(r"<(/?)([A-Za-z_][\w.-]*)([^<>]*?)(/?)>|<[?!][^<>]*>|([^<]+)")


def read(text: str) -> Report:
    """The first log in a text, as far as it goes. A value counts when its end tag stands there."""
    root = Node("")
    stack = [root]
    begin = HEAD.search(text)
    for piece in _PIECE.finditer(text, begin.start() if begin else 0):
        closing, name, _, empty, words = piece.groups()
        if words is not None:
            if words.strip():
                stack[-1].text = html.unescape(words)
        elif name is None:
            continue
        elif not closing:
            node = Node(name, whole=bool(empty))
            stack[-1].children.append(node)
            if not empty:
                stack.append(node)
        elif any(one.name == name for one in stack[1:]):
            while stack[-1].name != name:
                _cut(stack.pop())
            stack.pop().whole = True
            if name == "nvidia_smi_log":
                break
    for node in stack[1:]:
        _cut(node)
    log = root.child("nvidia_smi_log") or root
    nodes = [one for one in log.children if one.name == "gpu"]
    gpus = tuple(gpu(node, number) for number, node in enumerate(nodes))
    count = value.whole(log.under(("attached_gpus",)))
    return Report(
        Form.XML,
        version(log, "driver_version", "kmd_version"),
        version(log, "cuda_version", "cuda_umd_version"),
        gpus if gpus or count == 0 else SILENT,
    )


def _cut(node: Node) -> None:
    """Forgets the value of a node whose end is missing."""
    node.whole = False
    node.text = None
