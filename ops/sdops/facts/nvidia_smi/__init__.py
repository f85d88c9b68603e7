"""Reads any output of nvidia-smi: facts, and Unknown for what it does not say. No I/O here."""

import re
from dataclasses import replace

from sdops.facts.nvidia_smi import complaint, csv, lists, query, table, xml
from sdops.facts.nvidia_smi.record import SILENT, Complaint, Form, Gpu, MigDevice, Process, Report, Trouble
from sdops.facts.unknown import Unknown

__all__ = [
    "SILENT",
    "Complaint",
    "Form",
    "Gpu",
    "MigDevice",
    "Process",
    "Report",
    "Trouble",
    "decode",
    "read",
]

#: Colours, and what else terminals are told.
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*(?:\x07|\x1b\\)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
#: What pastes have in the place of a blank.
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u2009\u3000"), " ") | dict.fromkeys(
    map(ord, "\ufeff\u200b"), None
)


def decode(data: bytes) -> str:
    """The text of a file: UTF-16 as Windows' shells write it, else UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if data[:64].count(0) > 16:
        return data.decode("utf-16-le", "replace")
    return data.decode("utf-8", "replace")


def read(text: str, status: int = 0) -> Report:
    """What an output says. status: its exit status, 0 if that is not known.

    Of several outputs in one text the one that says most is read.
    """
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n").translate(_BLANKS))
    report = _form(text)
    complaints = complaint.complaints(text, status)
    if report.form is Form.NONE and complaints:
        report = replace(report, form=Form.ERROR)
    gpus = report.gpus
    if (
        not isinstance(gpus, Unknown)
        and any(one.kind is Trouble.RESET for one in complaints)
        and len(gpus) == 1
    ):
        gpus = (replace(gpus[0], reset_required=True),)
    return replace(report, complaints=complaints, gpus=gpus)


def _form(text: str) -> Report:
    if xml.HEAD.search(text):
        return xml.read(text)
    if query.HEAD.search(text):
        return query.read(text)
    if any(table.HEAD.search(f"{line} ") and "version  :" not in line for line in text.splitlines()):
        return table.read(text)
    if csv.head(text) is not None:
        return csv.read(text)
    if lists.GPUS.search(text):
        return lists.read_list(text)
    if lists.VERSIONS.search(text):
        return lists.read_versions(text)
    return Report(Form.NONE)
