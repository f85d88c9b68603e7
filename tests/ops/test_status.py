"""``sdops status``: a table of hosts that is read at a glance, whatever a host says."""

import io
import json
import time

import pytest
from rich.console import Console
from sdops.jobs.status import State
from sdops.report import status as report
from sdops.report import status_table as report_table
from sdops_runtime.errors import SdopsError

A100 = {
    "name": "NVIDIA GRID A100D-10C",
    "driver": "525.60.13",
    "total": 10 * 2**30,
    "used": 3 * 2**30,
    "busy": 97,
}
BUSY = {
    "gpu": A100, "serving": True, "waiting": 2, "free": 2**33, "model": "CompVis/stable-diffusion-v1-4",
    "step": 0.25,
    "job": {"job": "20260101-000000-0123abcd", "made": 3, "wanted": 8}, "error": None,
}  # fmt: skip
ASLEEP = {
    "gpu": None,
    "serving": False,
    "waiting": 1,
    "free": 1,
    "model": None,
    "step": None,
    "job": None,
    "error": None,
}


def printed(capsys, *states, as_json=False):
    report.render(states, as_json)
    return capsys.readouterr()


def rows(text):
    return [" ".join(line.split()) for line in text.splitlines()[1:]]


def test_hosts_are_shown_a_line_each(capsys):
    failed = {"job": "20260101-000000-0000ffff", "at": time.time() - 7200, "message": "The disk is full."}
    states = (State("gpu1", BUSY), State("gpu2", {**ASLEEP, "waiting": 0, "serving": True, "error": failed}))
    out, err = printed(capsys, *states)
    assert rows(out) == [
        "gpu1 GRID A100D-10C 3.2/10.7 525.60.13 busy, stable-diffusion-v1-4 0123abcd 3/8 25% 2",
        "gpu2 none ready 2 h ago",
    ]
    assert err == "gpu2, job 0000ffff: The disk is full.\n"


def fleet_until(left, whole=365):
    """A host of a fleet whose certificate is valid for so many days of so many yet."""
    until = time.time() + left * 86400
    valid = {"since": until - whole * 86400, "until": until}
    return {**BUSY, "fleet": {"head": False, "members": [], "certificate": valid}}


def test_a_fleets_certificate_that_should_have_been_renewed_is_told(capsys):
    _, err = printed(capsys, State("gpu1", fleet_until(130)), State("gpu2", fleet_until(100.01)))
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 100.01 * 86400))
    assert err == (
        f"gpu2: its certificate for the fleet expires on {day}. "
        "Renew it: ansible-playbook ansible/site.yml --tags fleet\n"
    )
    _, err = printed(capsys, State("gpu1", fleet_until(-1)))
    assert "gpu1: its certificate for the fleet expired on " in err


@pytest.mark.parametrize(
    "valid", [[], {"since": "x", "until": 1}, {"since": 0, "until": 1e300}, {"until": 1}]
)
def test_nonsense_of_a_certificate_is_not_told(capsys, valid):
    odd = {**BUSY, "fleet": {"head": False, "members": [], "certificate": valid}}
    assert printed(capsys, State("gpu1", odd)).err == ""


def test_jobs_that_wait_without_a_worker_are_said_to_need_doctor(capsys):
    out, err = printed(capsys, State("gpu1", ASLEEP))
    assert rows(out) == ["gpu1 none stopped 1"]
    assert "sdops doctor gpu1" in err


def test_a_host_that_cannot_be_asked_has_its_line_and_its_reason(capsys):
    error = SdopsError("host-unreachable", "gpu2 does not answer.", "See whether it runs.")
    out, err = printed(capsys, State("gpu1", BUSY), State("gpu2", error=error))
    assert rows(out)[1] == "gpu2 ?"
    assert err == "Error: gpu2 does not answer. See whether it runs.\n"
    out, _ = printed(capsys, State("gpu2", error=error), as_json=True)
    told = json.loads(out)
    assert (told["ok"], told["hosts"][0]["error"]["code"]) == (False, "host-unreachable")
    assert report.exit_code([State("gpu2", error=error)]) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"gpu": "none", "job": [], "error": 3, "model": 7, "step": "x", "waiting": -1},
        {"gpu": {"name": "\x1b[31m[red]x", "used": True, "total": "9", "driver": None}, "serving": 1},
        {"job": {"job": None}, "serving": True, "error": {"at": "x", "message": "\x1b[2J\nnext"}},
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_whatever_a_host_says_is_shown_as_text(capsys, odd, as_json):
    out, err = printed(capsys, State("gpu1", odd), as_json=as_json)
    assert "\x1b" not in out + err
    assert "gpu1" in out


def full():
    """A host all of whose values are long, and real."""
    job = {"job": "20260101-000000-0123abcd", "made": 1203, "wanted": 5000}
    error = {
        "job": "20260101-000000-0000ffff",
        "at": time.time() - 83 * 60,
        "message": "The disk is full.",
    }
    return {**BUSY, "waiting": 12, "job": job, "error": error}


#: What has to be seen of it, in the table, below it or in its notes.
VALUES = (
    "GRID", "A100D-10C", "3.2/10.7", "driver", "525.60.13", "busy", "stable-diffusion-v1-4",
    "0123abcd 1203/5000 25%", "12", "83 min ago", "job 0000ffff", "The disk is full.",
)  # fmt: skip


def shown(width, *states):
    """What is printed in so many columns: the table, and all of it with its notes."""
    view = report._view(states, width)
    console = Console(width=width, file=io.StringIO())
    console.print(view.body[0])
    table = console.file.getvalue()
    for one in (*view.body[1:], *view.notes):
        console.print(one, soft_wrap=True)
    return table, console.file.getvalue()


@pytest.mark.parametrize("host", ["gpu1", "frankfurt-gpu1"])
@pytest.mark.parametrize("width", [60, 80, 90, 100, 120, 10_000])
def test_nothing_vanishes_however_narrow_it_is(width, host):
    table, text = shown(width, State(host, full()), State("gpu9", ASLEEP))
    assert max(map(len, table.splitlines())) <= width
    headings = table.splitlines()[0].split()
    assert headings == [one for one in report_table._COLUMNS if one in headings]
    assert {"host", "GB", "worker", "job", "waits"} <= set(headings)
    assert [one for one in VALUES if one not in text] == []
    assert host in text
    assert "…" not in text
    if width == 10_000:
        assert rows(table)[0] == (
            f"{host} GRID A100D-10C 3.2/10.7 525.60.13 busy, stable-diffusion-v1-4 0123abcd 1203/5000 25% 12 "
            "83 min ago"
        )


def test_in_80_columns_the_gpu_has_its_column_and_the_rest_lines_of_their_own():
    table, text = shown(80, State("frankfurt-gpu1", full()), State("gpu2", full()))
    assert table.splitlines()[0].split() == ["host", "GPU", "GB", "worker", "job", "waits"]
    assert text.splitlines()[-4:] == [
        "driver 525.60.13: frankfurt-gpu1, gpu2",
        "stable-diffusion-v1-4 in memory: frankfurt-gpu1, gpu2",
        "frankfurt-gpu1, job 0000ffff, 83 min ago: The disk is full.",
        "gpu2, job 0000ffff, 83 min ago: The disk is full.",
    ]


def test_the_table_keeps_its_form_while_numbers_grow():
    job = {"job": "20260101-000000-0123abcd", "made": 9, "wanted": 10}
    early = {**BUSY, "gpu": {**A100, "used": 1e9}, "job": job, "step": 0.0}
    late = {**BUSY, "gpu": {**A100, "used": 10e9}, "job": {**job, "made": 10}, "step": 1.0}
    for width in range(56, 130):
        forms = [shown(width, State("gpu1", one))[0].splitlines()[0] for one in (early, late)]
        assert forms[0] == forms[1], width


def test_a_real_host_is_asked(sdops, photo, desk_host):
    ran = sdops("status", *desk_host, "--json")
    (host,) = json.loads(ran.out)["hosts"]
    assert (host["host"], host["error"]) == ("gpu1", None)
    assert host["status"]["serving"] is True
    assert [host["status"][key] for key in ("waiting", "model", "job", "error")] == [0, None, None, None]
    quick = ("--model", "demo", "--width", "96", "--steps", "4", "--out", "out")
    assert sdops("run", photo, "a hat", *quick, *desk_host).code == 0
    (host,) = json.loads(sdops("status", *desk_host, "--json").out)["hosts"]
    assert host["status"]["model"] == "demo"
    ran = sdops("status", *desk_host)
    assert rows(ran.out) == ["gpu1 none ready, demo"]


def test_without_hosts_it_says_so(sdops, tmp_path):
    (tmp_path / "none.ini").write_text("")
    ran = sdops("status", "--inventory", tmp_path / "none.ini")
    assert ran.code == 0
    assert "no hosts" in ran.err
