"""What an output of nvidia-smi says, whatever its form. No I/O here."""

from dataclasses import dataclass, field
from enum import StrEnum

from sdops.facts.unknown import Unknown

SILENT = Unknown("this output does not say")


class Form(StrEnum):
    """The forms of its outputs."""

    TABLE = "table"
    QUERY = "query"
    XML = "xml"
    CSV = "csv"
    LIST = "list"
    VERSION = "version"
    ERROR = "error"
    NONE = "none"


class Trouble(StrEnum):
    """What it complains of. Each has one cause, and one remedy."""

    NO_COMMAND = "no-command"
    NO_DRIVER = "no-driver"
    MISMATCH = "mismatch"
    NO_DEVICES = "no-devices"
    NO_LIBRARY = "no-library"
    BLOCKED = "blocked"
    NO_PERMISSION = "no-permission"
    LOST = "lost"
    RESET = "reset"
    POWER = "power"
    INTERRUPT = "interrupt"
    INFOROM = "inforom"
    NO_HANDLE = "no-handle"
    BAD_FIELD = "bad-field"
    BAD_OPTION = "bad-option"
    CRASHED = "crashed"
    UNKNOWN = "unknown-error"


@dataclass(frozen=True)
class Complaint:
    """A complaint, in its own words."""

    kind: Trouble
    text: str


@dataclass(frozen=True)
class Process:
    """A program that uses a GPU. memory_mib: None where it is not told."""

    pid: int
    name: str
    memory_mib: int | None = None


@dataclass(frozen=True)
class MigDevice:
    """A part of a GPU that programs can use by itself."""

    memory_mib: int | Unknown = SILENT
    memory_used_mib: int | Unknown = SILENT


@dataclass(frozen=True)
class Gpu:
    """One GPU, or share of one.

    name: as printed; tables cut long ones and put three dots. memory_mib: in
    all; of it memory_reserved_mib is the driver's own. mig: whether it is
    divided into MIG devices. vgpu: whether this is a virtual machine's share
    of a GPU. virtualization, licence: as printed. capability: compute
    capability, such as "8.0". ecc_errors: uncorrected ones since the last
    reset. reset_required: whether it works again only after a reset.
    """

    index: int | Unknown = SILENT
    name: str | Unknown = SILENT
    memory_mib: int | Unknown = SILENT
    memory_used_mib: int | Unknown = SILENT
    memory_reserved_mib: int | Unknown = SILENT
    mig: bool | Unknown = SILENT
    mig_devices: tuple[MigDevice, ...] | Unknown = SILENT
    vgpu: bool | Unknown = SILENT
    virtualization: str | Unknown = SILENT
    licence: str | Unknown = SILENT
    capability: str | Unknown = SILENT
    persistence: bool | Unknown = SILENT
    ecc_errors: int | Unknown = SILENT
    reset_required: bool | Unknown = SILENT
    processes: tuple[Process, ...] | Unknown = SILENT


@dataclass(frozen=True)
class Report:
    """All that an output says.

    driver: the kernel module's version. cuda: the newest CUDA that the driver
    can run. gpus: Unknown where the output is not one that lists them.
    """

    form: Form
    driver: str | Unknown = SILENT
    cuda: str | Unknown = SILENT
    gpus: tuple[Gpu, ...] | Unknown = field(default=SILENT)
    complaints: tuple[Complaint, ...] = ()

    def complains_of(self, kind: Trouble) -> str:
        """The words of a complaint of that kind; "" for none."""
        return next((one.text for one in self.complaints if one.kind is kind), "")
