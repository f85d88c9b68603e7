"""The text of ``nvidia-smi -q``: names and values, nested by their indentation. No I/O here."""

import re

from sdops.facts.nvidia_smi.record import SILENT, Form, Report
from sdops.facts.nvidia_smi.tree import Node, gpu, version

HEAD = re.compile(r"^=*\s*NVSMI LOG\s*=*|^\s*Attached (v?GPUs)\s*:|^\s*Product Name\s+: ", re.MULTILINE)
_GPU = re.compile(r"^\s*GPU (?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]\s*$")
_VALUE = re.compile(r"^(\s*)(\S.*?)\s*:(?:\s(.*))?$")
_TITLE = re.compile(r"^(\s*)([A-Za-z][^:]*?)\s*$")
#: A process's own lines follow the line with its number at the same depth.
_OF_PROCESS = ("Type", "Name", "Used GPU Memory")


def read(text: str) -> Report:
    """The first log in a text."""
    starts = [found.start() for found in re.finditer(r"^=+\s*NVSMI LOG\s*=+", text, re.MULTILINE)]
    if len(starts) > 1:
        text = text[: starts[1]]
    root, gpus = Node("log"), []
    stack: list[tuple[int, Node]] = [(-1, root)]
    lines = text.splitlines(keepends=True)
    flat = not any(line[:1].isspace() and line.strip() for line in lines)
    for line in lines:
        plain = line.rstrip("\r\n")
        # The last line counts only if it is whole.
        whole = line.endswith(("\n", "\r"))
        if whole and _GPU.match(plain):
            node = Node("GPU")
            gpus.append(node)
            root.children.append(node)
            stack = [(-1, root), (len(plain) - len(plain.lstrip()), node)]
        elif plain.strip():
            _take(stack, plain, whole, flat)
    if gpus and not lines[-1].endswith(("\n", "\r")):
        # Whether anything is missing cannot be told; what stands there can be read.
        gpus[-1].whole = "Processes" in [one.name for one in gpus[-1].children]
    found = tuple(gpu(node, number) for number, node in enumerate(gpus))
    return Report(
        Form.QUERY,
        version(root, "driver version", "kmd version"),
        version(root, "cuda version", "cuda umd version"),
        found if found or re.search(r"^\s*Attached v?GPUs\s*: 0\s", text, re.MULTILINE) else SILENT,
    )


def _take(stack: list[tuple[int, Node]], line: str, whole: bool, flat: bool) -> None:
    """Adds a line to the innermost node that it is nested in."""
    if found := _VALUE.match(line):
        depth, name, text = len(found[1]), found[2], (found[3] or "").strip() if whole else None
    elif title := _TITLE.match(line):
        depth, name, text = len(title[1]), title[2], None
    else:
        return
    if flat:
        depth = _flat_depth(stack, found is not None)
    last = stack[-1][1]
    if name in _OF_PROCESS and last.name == "Process ID":
        last.children.append(Node(name, text))
        return
    while len(stack) > 1 and stack[-1][0] >= depth:
        stack.pop()
    node = Node(name, text)
    stack[-1][1].children.append(node)
    if not flat or found is None or name == "Process ID":
        stack.append((depth, node))


def _flat_depth(stack: list[tuple[int, Node]], is_value: bool) -> int:
    """Without indentation, as some pastes come, values belong to the title before them, titles to the GPU."""
    in_gpu = any(node.name == "GPU" for _, node in stack)
    return (2 if in_gpu else 0) + (1 if is_value else 0) if in_gpu else 0
