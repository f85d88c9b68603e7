"""``sdops status``: a table of hosts that is read at a glance, whatever a host says."""

import io
import json
import time

import pytest
from sdops.jobs.status import State
from sdops.report import status as report
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


def test_it_fits_into_80_columns():
    from rich.console import Console

    table = report._table([State("gpu1", BUSY), State("a-long-name", ASLEEP)])
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for word in ("gpu1", "a-long-name", "3.2/10.7", "525.60.13", "0123abcd 3/8 25%", "stopped"):
        assert word in text


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
