"""What a pasted output of nvidia-smi says, in the form of ``doctor --nvidia-smi … --json``. No I/O here."""

from typing import Any

from sdops.facts.nvidia import Nvidia
from sdops.facts.nvidia_smi import Gpu, Report
from sdops.facts.unknown import Unknown


def document(nvidia: Nvidia | Unknown) -> dict[str, Any]:
    """``facts`` and, beside them, why some are null.

    facts.driver: version and cuda (the newest that the driver runs).
    facts.gpus: name, memory_mib (a whole number), mig and vgpu (true or false),
    licence (the output's own words); null where the output lists no GPUs.
    unknown: the reason by the path of each null, such as ``driver.cuda`` and
    ``gpus[0].memory_mib``.
    """
    report = nvidia.report if isinstance(nvidia, Nvidia) else nvidia
    if not isinstance(report, Report):
        reason = report.reason if isinstance(report, Unknown) else "there is no output"
        return {
            "facts": {"driver": {"version": None, "cuda": None}, "gpus": None},
            "form": None,
            "complaints": [],
            "unknown": {"driver.version": reason, "driver.cuda": reason, "gpus": reason},
        }
    unknown: dict[str, str] = {}

    def told(path: str, value: Any) -> Any:
        if isinstance(value, Unknown):
            unknown[path] = value.reason
            return None
        return value

    driver = {
        "version": told("driver.version", report.driver),
        "cuda": told("driver.cuda", report.cuda),
    }
    gpus = told("gpus", report.gpus)
    if gpus is not None:
        gpus = [
            {name: told(f"gpus[{number}].{name}", value) for name, value in _gpu(gpu).items()}
            for number, gpu in enumerate(gpus)
        ]
    return {
        "facts": {"driver": driver, "gpus": gpus},
        "form": report.form.value,
        "complaints": [{"kind": one.kind.value, "text": one.text} for one in report.complaints],
        "unknown": unknown,
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {
        "name": gpu.name,
        "memory_mib": gpu.memory_mib,
        "mig": gpu.mig,
        "vgpu": gpu.vgpu,
        "licence": gpu.licence,
    }
