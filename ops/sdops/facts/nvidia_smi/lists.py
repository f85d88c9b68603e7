"""The short outputs: ``nvidia-smi -L`` and ``nvidia-smi --version``. No I/O here."""

import re

from sdops.facts.nvidia_smi import value
from sdops.facts.nvidia_smi.record import SILENT, Form, Gpu, MigDevice, Report

GPUS = re.compile(r"^GPU (\d{1,3}): (.+?) \(UUID: [^\s()]+\)", re.MULTILINE)
_MIG = re.compile(r"^\s+MIG .+ Device +\d+: \(UUID", re.MULTILINE)
VERSIONS = re.compile(
    r"^\s*(NVIDIA-SMI|NVML|DRIVER|KMD|CUDA|CUDA UMD) version\s*:", re.MULTILINE | re.IGNORECASE
)
_LINE = re.compile(
    r"^\s*(DRIVER|KMD|CUDA|CUDA UMD) version[ \t]*:[ \t]*(.*?)[ \t]*\r?\n", re.MULTILINE | re.IGNORECASE
)


def read_list(text: str) -> Report:
    """GPUs, each on its line, and below each its MIG devices: those show that it is divided."""
    heads = list(GPUS.finditer(text))
    gpus: dict[int, Gpu] = {}
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        parts = _MIG.findall(text[head.end() : after.start() if after else len(text)])
        name = value.words(head[2])
        gpus.setdefault(
            int(head[1]),
            Gpu(
                index=int(head[1]),
                name=name,
                vgpu=value.share(name, SILENT),
                mig=True if parts else SILENT,
                mig_devices=tuple(MigDevice() for _ in parts) if parts else SILENT,
            ),
        )
    return Report(Form.LIST, gpus=tuple(gpus.values()))


def read_versions(text: str) -> Report:
    """Versions alone. From driver 610 on the older names only point to the newer ones."""
    found = {name.lower(): value.version(words) for name, words in reversed(_LINE.findall(text))}

    def first(*names: str):  # type: ignore[no-untyped-def]
        known = [found[name] for name in names if name in found]
        return next((one for one in known if isinstance(one, str)), known[0] if known else SILENT)

    return Report(Form.VERSION, first("driver", "kmd"), first("cuda", "cuda umd"))
