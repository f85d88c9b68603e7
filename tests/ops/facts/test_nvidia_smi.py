"""Any output of nvidia-smi gives facts, or Unknown: never a wrong number, never a crash."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdops.facts.nvidia_smi import Complaint, Form, MigDevice, Process, Trouble, decode, read, value
from sdops.facts.nvidia_smi.record import SILENT
from sdops.facts.unknown import Unknown

from . import smi_outputs as outputs
from .smi_outputs import OUTPUTS, known

CAPTURES = Path(__file__).parents[4] / "shared" / "captures" / "nvidia_smi"


def facts(report):
    """What an output says, in the form of OUTPUTS."""
    gpus = known(report.gpus)
    if gpus is not None:
        gpus = [tuple(map(known, (gpu.name, gpu.memory_mib, gpu.mig, gpu.vgpu, gpu.licence))) for gpu in gpus]
    return known(report.driver), known(report.cuda), gpus


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_form_is_read(name):
    text, *said = OUTPUTS[name]
    assert facts(read(text)) == tuple(said)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("  ", "\u00a0 ").encode(),
        lambda text: b"\x1b[32m" + text.encode() + b"\x1b[0m",
        lambda text: (
            "Willkommen auf gpu1, 3 Aktualisierungen\n欢迎 您好\n".encode() + text.encode() + b"\n$ "
        ),
        lambda text: text.encode() + b"Connection to 203.0.113.10 closed.\n",
    ],
    ids=["crlf", "utf-16", "utf-16-le", "bom", "nbsp", "colours", "greeting", "farewell"],
)
def test_how_it_was_pasted_does_not_matter(name, change):
    text, *said = OUTPUTS[name]
    assert facts(read(decode(change(text)))) == tuple(said)


def test_what_else_a_log_says():
    first, second = read(outputs.QUERY).gpus
    assert (first.memory_used_mib, first.memory_reserved_mib, first.persistence) == (5, 700, True)
    assert (first.ecc_errors, first.processes) == (3, (Process(4711, "python", 5),))
    assert (second.memory_used_mib, second.memory_reserved_mib) == (
        Unknown("it says [Unknown Error]"),
        Unknown("it says N/A"),
    )
    assert (second.virtualization, second.persistence, second.processes) == ("Pass-Through", False, ())


def test_what_else_xml_says():
    (gpu,) = read(outputs.XML).gpus
    assert (gpu.mig_devices, gpu.reset_required, gpu.ecc_errors) == ((), True, 0)
    assert gpu.processes == (Process(4711, "a & b", 1),)


def test_what_else_a_table_says():
    (gpu,) = read(outputs.MIG).gpus
    assert (gpu.mig_devices, gpu.memory_used_mib) == ((MigDevice(9728, 10),), 10)
    rows = "|    0   N/A  N/A            4711      C   /opt/a program/python                   373MiB |"
    (gpu,) = read(outputs.table("535", outputs.SHARE, processes=rows)).gpus
    assert gpu.processes == (Process(4711, "/opt/a program/python", 373),)
    assert gpu.ecc_errors == 0


def test_a_table_that_is_printed_again_and_again_is_read_once():
    assert facts(read(OUTPUTS["table-share"][0] * 3)) == OUTPUTS["table-share"][1:]


def test_a_table_with_blank_lines_between_its_own_is_read():
    text = OUTPUTS["table-several"][0].replace("\n", "\n\n")
    assert facts(read(text)) == OUTPUTS["table-several"][1:]


@pytest.mark.parametrize(("cell", "expected"), [("024MiB", None), ("0MiB", 0), ("1024MiB", 1024)])
def test_an_amount_that_lost_its_beginning_is_none(cell, expected):
    amount = value.mib(cell)
    assert (None if isinstance(amount, Unknown) else amount) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GRID P40-2B4", True),
        ("A100-1-5CME", True),
        ("NVIDIA L4-12Q", True),
        ("NVIDIA A100-PCIE-40GB", False),
    ],
)
def test_a_share_is_told_by_what_its_name_ends_in(name, expected):
    assert value.share(name, SILENT) is expected


def test_a_log_without_its_indentation_is_read():
    text = "\n".join(line.strip() for line in outputs.QUERY.splitlines()) + "\n"
    assert facts(read(text)) == tuple(OUTPUTS["query"][1:])


def test_xml_expands_and_fetches_nothing():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>\n'
    (gpu,) = read(bomb + outputs.XML.replace("a &amp; b", "&b;&c;")).gpus
    assert gpu.processes == (Process(4711, "&b;&c;", 1),)


COMPLAINTS = {
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n": Trouble.NO_DRIVER,
    "Failed to initialize NVML: Driver/library version mismatch\n": Trouble.MISMATCH,
    "Failed to initialize NVML: Unknown Error\n": Trouble.UNKNOWN,
    "Failed to initialize NVML: Driver Not Loaded\n": Trouble.NO_DRIVER,
    "Failed to initialize NVML: Insufficient Permissions\n": Trouble.NO_PERMISSION,
    "Failed to initialize NVML: GPU access blocked by the operating system\n": Trouble.BLOCKED,
    "No devices were found\n": Trouble.NO_DEVICES,
    "Unable to determine the device handle for GPU 0000:0B:00.0: Unknown Error\n": Trouble.NO_HANDLE,
    "Unable to determine the device handle for GPU0000:0B:00.0: GPU is lost.\n": Trouble.LOST,
    "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\n": Trouble.NO_LIBRARY,
    'Field "cuda_version" is not a valid field to query.\n': Trouble.BAD_FIELD,
    "bash: nvidia-smi: command not found\n": Trouble.NO_COMMAND,
    "sh: 1: nvidia-smi: not found\n": Trouble.NO_COMMAND,
    "fish: Unknown command: nvidia-smi\n": Trouble.NO_COMMAND,
    "Segmentation fault (core dumped)\n": Trouble.CRASHED,
}


@pytest.mark.parametrize("text", COMPLAINTS)
def test_a_complaint_is_told_by_its_words(text):
    report = read(text)
    assert report.form is Form.ERROR
    assert [one.kind for one in report.complaints] == [COMPLAINTS[text]]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (9, Trouble.NO_DRIVER),
        (12, Trouble.NO_LIBRARY),
        (15, Trouble.LOST),
        (18, Trouble.MISMATCH),
        (77, Trouble.UNKNOWN),
    ],
)
def test_words_that_nobody_knows_are_told_by_the_exit_status(status, kind):
    assert read("Etwas ist schiefgegangen\n", status).complaints == (
        Complaint(kind, "Etwas ist schiefgegangen"),
    )


def test_silence_is_told_by_the_exit_status():
    assert read("", 9).complaints == (Complaint(Trouble.NO_DRIVER, "nothing is said; exit status 9"),)


TEXTS = [text for text, *_ in OUTPUTS.values()]


@st.composite
def mutated(draw):
    """An output as a careless hand would paste it."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["cut", "behead", "drop", "double", "letter", "greet"]))
        place = draw(st.integers(0, max(len(text) - 1, 0)))
        lines = text.splitlines(keepends=True)
        number = draw(st.integers(0, max(len(lines) - 1, 0)))
        if kind == "cut":
            text = text[:place]
        elif kind == "behead":
            text = text[place:]
        elif kind == "drop" and lines:
            text = "".join(lines[:number] + lines[number + 1 :])
        elif kind == "double" and lines:
            text = "".join(lines[: number + 1] + lines[number:])
        elif kind == "letter" and text:
            text = text[:place] + draw(st.sampled_from("x |\n\t:<>,[]é中\x00")) + text[place + 1 :]
        elif kind == "greet":
            text = draw(st.text(max_size=60)) + "\n" + text
    return text


def numbers(report):
    """Every number that a report has."""
    for gpu in known(report.gpus) or ():
        for amount in (gpu.memory_mib, gpu.memory_used_mib, gpu.memory_reserved_mib):
            if isinstance(amount, int):
                yield str(amount)
        for part in known(gpu.mig_devices) or ():
            yield from (str(one) for one in (part.memory_mib, part.memory_used_mib) if isinstance(one, int))
    yield from (value for value in (report.driver, report.cuda) if isinstance(value, str))


WHOLE = {number for text in TEXTS for number in numbers(read(text))}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_whatever_was_cut_or_changed_no_number_is_made_up(text):
    """A number stands in the text as a whole: no digit before it, and none after it."""
    for number in numbers(read(text)):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d]|\.\d)", text.replace("\x00", ""))


@pytest.mark.parametrize("name", OUTPUTS)
def test_wherever_it_is_cut_off_every_number_is_one_of_the_whole(name):
    text = OUTPUTS[name][0]
    whole = set(numbers(read(text)))
    for length in range(len(text)):
        assert set(numbers(read(text[:length]))) <= whole, text[:length][-40:]


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="there are no captures of real outputs beside the project")
def test_real_outputs_say_what_their_index_says():
    wrong = {}
    with (CAPTURES / "INDEX.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) > 50
    for row in rows:
        report = read(decode((CAPTURES / row["file"]).read_bytes()))
        gpus = known(report.gpus) or ()
        found = {
            "driver": known(report.driver) or "",
            "cuda": known(report.cuda) or "",
            "gpus": str(len(gpus)),
            "names": {known(gpu.name) for gpu in gpus} - {None},
            "mem": {str(known(gpu.memory_mib)) for gpu in gpus} - {"None"},
            "mig": {known(gpu.mig) for gpu in gpus} - {None},
            "virt": {known(gpu.virtualization) for gpu in gpus} - {None},
            "lic": {known(gpu.licence) for gpu in gpus} - {None},
        }
        told = {
            "driver": row["driver"],
            "cuda": row["cuda"] if row["cuda"][:1].isdigit() else "",
            "gpus": row["gpus"] or "0",
            "names": set(filter(None, row["names"].split("|"))) if row["kind"] != "error" else set(),
            "mem": set(re.findall(r"\d+", row["mem"])),
            "mig": {"Enabled": {True}, "Disabled": {False}, "5 MIG devices": {True}}.get(row["mig"], set()),
            "virt": set(filter(None, [row["virt"]])),
            "lic": set(filter(None, [row["lic"]])),
        }
        if found != told:
            wrong[row["file"]] = {key: (found[key], told[key]) for key in told if found[key] != told[key]}
    assert wrong == {}
