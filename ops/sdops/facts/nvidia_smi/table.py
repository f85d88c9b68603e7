"""The table that nvidia-smi prints without options, of every generation. No I/O here."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sdops.facts.nvidia_smi import value
from sdops.facts.nvidia_smi.record import SILENT, Form, Gpu, MigDevice, Process, Report
from sdops.facts.unknown import Unknown

HEAD = re.compile(r"\bNVIDIA-SMI\s+\d[\d.]*\s")
#: A version counts only if the table goes on after it: a text may be cut off within a number.
_AFTER = r"(?=\s{2,}|\s*\||\s+CUDA\b)"
_DRIVER = re.compile(rf"\b(?:Driver|KMD)\s+Version:\s*([^\s|]+){_AFTER}", re.IGNORECASE)
_CUDA = re.compile(rf"\bCUDA\s+(?:UMD\s+)?Version:\s*([^\s|]+){_AFTER}", re.IGNORECASE)

#: Number, name, persistence (on Windows: driver model) | bus and display | uncorrected ECC errors.
_FIRST = re.compile(
    r"^\|\s*(\d{1,3})\s+(\S.*?)\s+(On|Off|N/A|ERR!|WDDM|TCC|MCDM)\s*\|"
    r"\s*(?:(?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]|N/A)\s*[^|]*\|\s*([^|]*?)\s*\|"
)
_NONE = r"N/A|ERR!|Not Supported"
_MEMORY = re.compile(rf"^\s*(\d+ ?MiB|{_NONE})\s*/\s*(\d+ ?MiB|{_NONE})\s*$|^\s*({_NONE})\s*$")
_MIG_ROW = re.compile(r"^\|\s*(\d{1,3})\s+\d+\s+\d+\s+\d+\s*\|\s*(\d+ ?MiB)\s*/\s*(\d+ ?MiB)\s*\|")
_PROCESS = re.compile(
    r"^\|\s+(\d{1,3})\s+(?:(?:N/A|\d+)\s+(?:N/A|\d+)\s+)?(\d+)\s+([CGM+]+)\s+(.*?)\s+(\d+ ?MiB|N/A)?\s*\|$"
)
_RULE = re.compile(r"^[+|][-=+|]+[+|]?$")


def read(text: str) -> Report:
    """The first table in a text; what stands around it is passed over."""
    # Pastes have blank lines between the others.
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    start = next(number for number, line in enumerate(lines) if HEAD.search(f"{line} "))
    end = next((n for n in range(start + 1, len(lines)) if HEAD.search(f"{lines[n]} ")), len(lines))
    driver, cuda = _DRIVER.search(lines[start]), _CUDA.search(lines[start])
    # A table has a GPU: one without is cut off, or of another kind.
    gpus = _gpus(lines[start + 1 : end]) or SILENT
    return Report(
        Form.TABLE,
        value.version(driver[1]) if driver else SILENT,
        value.version(cuda[1]) if cuda else SILENT,
        gpus,
    )


def _gpus(lines: Sequence[str]) -> tuple[Gpu, ...]:
    windows = any("Driver-Model" in line for line in lines[:3])
    with_mig = any("MIG M." in line for line in lines[:6])
    found: dict[int, Gpu] = {}
    for block in _blocks(lines):
        gpu = _gpu(block, windows, with_mig)
        if isinstance(gpu.index, int):
            found.setdefault(gpu.index, gpu)
    parts = _mig_devices(lines)
    programs = _processes(lines)
    return tuple(
        replace(
            gpu,
            mig_devices=tuple(parts.get(index, ()))
            if parts is not None and gpu.mig is True
            else gpu.mig_devices,
            processes=tuple(programs.get(index, ())) if programs is not None else SILENT,
        )
        for index, gpu in found.items()
    )


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines of each GPU: from its first one up to a rule."""
    block: list[str] = []
    for line in lines:
        if "MIG devices:" in line or "Processes:" in line:
            break
        if _FIRST.match(line):
            if block:
                yield block
            block = [line]
        elif block and not _RULE.match(line):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _gpu(block: Sequence[str], windows: bool, with_mig: bool) -> Gpu:
    first = _FIRST.match(block[0])
    assert first is not None
    used: int | Unknown = SILENT
    total: int | Unknown = SILENT
    mig: bool | Unknown = SILENT
    # Each of them in its place: what comes later may be another GPU's whose first line is missing.
    for number, line in enumerate(block[1:3]):
        cells = line.strip().strip("|").split("|")
        if len(cells) < 3 or not line.endswith("|"):
            # The memory's own column may be whole where the line is not.
            cells = line.strip().removeprefix("|").split("|")[:-1]
        if number == 0 and len(cells) > 1 and (memory := _MEMORY.match(cells[1])):
            used, total = (value.mib(memory[1] or memory[3]), value.mib(memory[2] or memory[3]))
        elif len(cells) > 2 and with_mig and not cells[0].strip() and not cells[1].strip():
            mig = value.mode(cells[2])
    name = value.words(first[2])
    return Gpu(
        index=int(first[1]),
        name=name,
        memory_mib=total,
        memory_used_mib=used,
        mig=mig,
        vgpu=value.share(name, SILENT),
        persistence=SILENT if windows else value.switch(first[3]),
        ecc_errors=value.whole(first[4]),
    )


def _mig_devices(lines: Sequence[str]) -> dict[int, list[MigDevice]] | None:
    """By number of the GPU; None where there is no such table, or it is cut off."""
    begin = next((number for number, line in enumerate(lines) if "MIG devices:" in line), None)
    if begin is None:
        return None
    found: dict[int, list[MigDevice]] = {}
    for line in lines[begin:]:
        if "Processes:" in line:
            return found
        if row := _MIG_ROW.match(line):
            found.setdefault(int(row[1]), []).append(MigDevice(value.mib(row[3]), value.mib(row[2])))
    return None


def _processes(lines: Sequence[str]) -> dict[int, list[Process]] | None:
    """By number of the GPU; None where there is no such table, or it is cut off."""
    begin = next((number for number, line in enumerate(lines) if "Processes:" in line), None)
    if begin is None:
        return None
    found: dict[int, list[Process]] = {}
    body = False
    for line in lines[begin:]:
        if re.match(r"^\|=+\|$", line):
            body = True
        elif body and re.match(r"^\+-+\+$", line):
            return found
        elif body and (row := _PROCESS.match(line)):
            memory = value.mib(row[5])
            process = Process(int(row[2]), row[4], memory if isinstance(memory, int) else None)
            found.setdefault(int(row[1]), []).append(process)
    return None
