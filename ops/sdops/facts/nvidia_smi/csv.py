"""What ``nvidia-smi --query-…=… --format=csv`` prints, with its line of names. No I/O here."""

import re
from collections.abc import Mapping

from sdops.facts.nvidia_smi import value
from sdops.facts.nvidia_smi.record import SILENT, Form, Gpu, Report
from sdops.facts.unknown import Unknown

#: One of these is in every line of names that concerns us; names are lower-case words with dots.
_KNOWN = frozenset(
    """name gpu_name index gpu_index driver_version kmd_version memory.total memory.used memory.free uuid
    gpu_uuid
    pci.bus_id gpu_bus_id compute_cap mig.mode.current pid count timestamp persistence_mode serial pstate
    temperature.gpu utilization.gpu power.draw""".split()  # noqa: SIM905
)
_NAME = re.compile(r"[A-Za-z][\w.]*(?: \[[^\]]*\])?")
#: Lists of something else than GPUs: their programs, their retired pages, their clocks.
_OF_OTHERS = (
    "pid",
    "retired_pages.address",
    "retired_pages.cause",
    "retired_pages.timestamp",
    "graphics",
    "sm",
)


def head(text: str) -> int | None:
    """The number of the line with the names; None if there is none."""
    for number, line in enumerate(text.splitlines()):
        names = [cell.strip() for cell in line.split(",")]
        if all(_NAME.fullmatch(name) for name in names) and any(_bare(name) in _KNOWN for name in names):
            return number
    return None


def read(text: str) -> Report:
    """The first list in a text. Rows that have not all of their cells are cut off and left out."""
    lines = text.splitlines(keepends=True)
    start = head(text)
    assert start is not None
    titles = [cell.strip() for cell in lines[start].split(",")]
    names = [_bare(title) for title in titles]
    units = {_bare(title): title.partition("[")[2].rstrip("]") for title in titles}
    rows = []
    for line in lines[start + 1 :]:
        cells: list[str | None] = [cell.strip() for cell in line.rstrip("\r\n").split(",")]
        if len(cells) != len(names) or not line.strip():
            continue
        if not line.endswith(("\n", "\r")) and not (cells[-1] or "").endswith(("MiB", "]", "%")):
            # The text may have been cut off within the last cell.
            cells[-1] = None
        rows.append(dict(zip(names, cells, strict=True)))
    gpus: tuple[Gpu, ...] | Unknown = tuple(_gpu(row, units) for row in rows) or SILENT
    if any(name in names for name in _OF_OTHERS):
        gpus = Unknown("this is no list of GPUs")
    first = rows[0] if rows else {}
    driver = value.version(first.get("driver_version"))
    return Report(
        Form.CSV,
        driver
        if isinstance(driver, str) or "kmd_version" not in first
        else value.version(first["kmd_version"]),
        value.version(first.get("cuda_umd_version")),
        gpus,
    )


def _gpu(row: Mapping[str, str | None], units: Mapping[str, str]) -> Gpu:
    def mib(name: str) -> int | Unknown:
        return value.mib(row.get(name), units.get(name, ""))

    name = value.words(row.get("name", row.get("gpu_name")))
    virtualization = value.words(row.get("vgpu_driver_mode", row.get("virtualization_mode")))
    cells = [cell or "" for cell in row.values()]
    return Gpu(
        index=value.whole(row.get("index", row.get("gpu_index"))),
        name=name,
        memory_mib=mib("memory.total"),
        memory_used_mib=mib("memory.used"),
        memory_reserved_mib=mib("memory.reserved"),
        mig=value.switch(row.get("mig.mode.current")),
        vgpu=value.share(name, virtualization),
        virtualization=virtualization,
        capability=_capability(row.get("compute_cap")),
        persistence=value.switch(row.get("persistence_mode")),
        ecc_errors=value.whole(row.get("ecc.errors.uncorrected.volatile.total")),
        reset_required=True if any("GPU requires reset" in cell for cell in cells) else SILENT,
    )


def _capability(text: str | None) -> str | Unknown:
    if (reason := value.silent(text)) is not None:
        return reason
    assert text is not None
    return text if re.fullmatch(r"\d{1,2}\.\d", text) else Unknown(f"it says {text[:80]}")


def _bare(title: str) -> str:
    """A column's name without its unit."""
    return title.partition(" [")[0].strip().lower()
