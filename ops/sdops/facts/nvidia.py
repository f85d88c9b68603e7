"""What nvidia-smi says on a host: the driver and the GPUs, or its complaint. No I/O here."""

import re
from dataclasses import dataclass

from sdops.facts import nvidia_smi
from sdops.facts.lines import UNSAID, Lines
from sdops.facts.nvidia_smi import Gpu, Report
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted


@dataclass(frozen=True)
class Nvidia:
    """nvidia-smi and what it says.

    tool: where it is, "" for nowhere. pci: NVIDIA's display and 3D
    controllers on the PCI bus. nodes: how many /dev/nvidiaN there are. hung:
    whether nvidia-smi did not end in time. report: None where it is not there.
    """

    tool: str | Unknown = UNSAID
    pci: int | Unknown = UNSAID
    nodes: int | Unknown = UNSAID
    hung: bool = False
    report: Report | Unknown | None = UNSAID

    @property
    def gpus(self) -> tuple[Gpu, ...] | Unknown:
        """The GPUs that nvidia-smi lists."""
        if isinstance(self.report, Unknown):
            return self.report
        return Unknown("there is no nvidia-smi") if self.report is None else self.report.gpus

    @property
    def driver(self) -> str | Unknown:
        """The driver's version as nvidia-smi tells it."""
        if isinstance(self.report, Unknown):
            return self.report
        return Unknown("there is no nvidia-smi") if self.report is None else self.report.driver

    @property
    def summary(self) -> list[str]:
        """GPUs and driver for people, as far as they are known."""
        gpus = self.gpus if isinstance(self.gpus, tuple) else ()
        names = [gpu.name for gpu in gpus if isinstance(gpu.name, str)]
        parts = [
            f"{names.count(name)} x {name}" if names.count(name) > 1 else name
            for name in dict.fromkeys(names)
        ]
        return [*parts, f"driver {self.driver}"] if isinstance(self.driver, str) else parts


def parse(output: Output, wanted: Wanted) -> Nvidia:
    """The facts in what the probe printed."""
    head, asked, rest = output.text.partition("\noutput=\n")
    lines = Lines(head)
    report: Report | Unknown | None = None
    hung = False
    if asked:
        said = re.search(r"\nstatus=(\d+)\s*\Z", rest)
        hung = said is None and output.timed_out
        text = rest[: said.start()] + "\n" if said else rest
        report = nvidia_smi.read(text, int(said[1]) if said else 0)
    elif lines.text("tool"):
        # It was about to be asked.
        hung, report = output.timed_out, UNSAID
    return Nvidia(lines.text("tool"), lines.whole("pci"), lines.whole("nodes"), hung, report)


PROBE = Probe("nvidia", 30, parse)
