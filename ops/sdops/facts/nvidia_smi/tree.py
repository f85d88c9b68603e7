"""Nested names and values, as ``-q`` and ``-q -x`` print them, and a GPU of such. No I/O here."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sdops.facts.nvidia_smi import value
from sdops.facts.nvidia_smi.record import SILENT, Gpu, MigDevice, Process
from sdops.facts.unknown import Unknown


@dataclass
class Node:
    """A name, its value (None for none, or one cut off) and what is nested in it. whole: up to its end."""

    name: str
    text: str | None = None
    children: list["Node"] = field(default_factory=list)
    whole: bool = True

    def child(self, *names: str) -> "Node | None":
        """The first child with one of these names."""
        return next((one for one in self.children if one.name in names), None)

    def under(self, *path: tuple[str, ...]) -> str | None:
        """The value at the end of a path, each step one of several names."""
        node: Node | None = self
        for names in path:
            node = node.child(*names) if node else None
        return node.text if node else None

    def below(self, *names: str) -> Iterator["Node"]:
        """All nodes with one of these names, at any depth."""
        for one in self.children:
            if one.name in names:
                yield one
            yield from one.below(*names)


def gpu(node: Node, index: int) -> Gpu:
    """A GPU from its node; names are those of both forms."""
    name = value.words(node.under(("Product Name", "product_name")))
    mode = ("GPU Virtualization Mode", "gpu_virtualization_mode")
    virtualization = value.words(node.under(mode, ("Virtualization Mode", "virtualization_mode")))
    memory = ("FB Memory Usage", "fb_memory_usage", "Memory Usage", "memory_usage")
    mig = value.switch(node.under(("MIG Mode", "mig_mode"), ("Current", "current_mig")))
    licence = next((one.text for one in node.below("License Status", "license_status")), None)
    reset = ("GPU Reset Status", "gpu_reset_status")
    return Gpu(
        index=index,
        name=name,
        memory_mib=value.mib(node.under(memory, ("Total", "total"))),
        memory_used_mib=value.mib(node.under(memory, ("Used", "used"))),
        memory_reserved_mib=value.mib(node.under(memory, ("Reserved", "reserved"))),
        mig=mig,
        mig_devices=_mig_devices(node, mig),
        vgpu=value.share(name, virtualization),
        virtualization=virtualization,
        licence=value.words(licence),
        persistence=value.switch(node.under(("Persistence Mode", "persistence_mode"))),
        ecc_errors=_ecc(node),
        reset_required=value.switch(node.under(reset, ("Reset Required", "reset_required"))),
        processes=_processes(node),
    )


def version(root: Node, *names: str) -> str | Unknown:
    """The first of these that is a version; what an older name says is words from driver 610 on."""
    found: str | Unknown = SILENT
    for one in root.children:
        if one.name.lower() in names:
            read = value.version(one.text)
            if isinstance(read, str):
                return read
            found = read
    return found


def _mig_devices(node: Node, mig: bool | Unknown) -> tuple[MigDevice, ...] | Unknown:
    memory = ("FB Memory Usage", "fb_memory_usage")
    found = tuple(
        MigDevice(
            value.mib(one.under(memory, ("Total", "total"))), value.mib(one.under(memory, ("Used", "used")))
        )
        for one in node.below("MIG Device", "mig_device")
    )
    return found if found or (mig is True and node.whole) else SILENT


def _ecc(node: Node) -> int | Unknown:
    """Uncorrected errors since the last reset: a sum, since their names differ with every generation."""
    volatile = [
        one
        for parent in node.below("ECC Errors", "ecc_errors")
        for one in parent.below("Volatile", "volatile")
    ]
    counts = [
        value.whole(one.text)
        for parent in volatile
        for one in _leaves(parent)
        if "uncorrect" in one.name.lower() and "parity" not in one.name.lower()
    ]
    numbers = [one for one in counts if isinstance(one, int)]
    return sum(numbers) if numbers else SILENT


def _leaves(node: Node) -> Iterator[Node]:
    for one in node.children:
        if one.children:
            yield from _leaves(one)
        else:
            yield one


def _processes(node: Node) -> tuple[Process, ...] | Unknown:
    """Those that are listed; none where it says so."""
    parent = node.child("Processes", "processes")
    if parent is None or not (parent.whole and node.whole):
        return SILENT
    found = []
    for one in parent.below("Process ID", "process_info"):
        number = value.whole(one.text if one.name == "Process ID" else one.under(("pid",)))
        name = one.under(("Name", "process_name")) or ""
        memory = value.mib(one.under(("Used GPU Memory", "used_memory")))
        if isinstance(number, int):
            found.append(Process(number, name.strip(), memory if isinstance(memory, int) else None))
    if not found and parent.text and parent.text.strip() not in ("None", ""):
        return Unknown(f"it says {parent.text.strip()[:80]}")
    return tuple(found)
