"""``sdops doctor``: its options, documents and exit codes. Hosts themselves: tests/ansible/test_doctor.py."""

import io
import json
import sys
from dataclasses import replace

import pytest
from sdops import cli
from sdops.checks.registry import CHECKS
from sdops.facts.data import from_data
from sdops.facts.host import HostFacts
from sdops.facts.stored import FORMAT
from sdops.report.doctor import facts_data

from .checks import cases_env, cases_gpu
from .checks.test_registry import CASES, HEALTHY
from .facts import smi_outputs as outputs


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sdops(monkeypatch, capsys):
    """Runs a command line; what it printed on stdout and stderr, and its exit code."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sdops", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return said.out, said.err, ended.value.code

    return call


@pytest.fixture
def stored(tmp_path):
    """A file of facts: of hosts on which something is wrong, by the names of the checks."""

    def write(*names):
        hosts = [
            replace(CASES[name](HEALTHY) if name else HEALTHY, host=f"gpu{number}")
            for number, name in enumerate(names, 1)
        ]
        path = tmp_path / "facts.json"
        path.write_text(json.dumps(facts_data(hosts)))
        return path

    return write


def test_a_healthy_host_takes_two_lines(sdops, stored):
    out, err, code = sdops("doctor", "--from", stored(""))
    assert (err, code) == ("", 0)
    assert out.splitlines() == [
        "gpu1: Debian GNU/Linux 12 (bookworm), GRID A100D-10C, driver 570.133.20, stack guide",
        f"  {len(CHECKS)} checks passed",
    ]


def test_a_finding_says_what_is_so_what_comes_of_it_and_what_to_type(sdops, stored):
    out, _, code = sdops("doctor", "--from", stored("numpy-too-new"))
    assert code == 1
    lines = out.splitlines()
    assert lines[1:5] == [
        "  error  numpy-too-new",
        f"    numpy {cases_env.NEXT} is too new for the stack's torch.",
        '    torch says "Numpy is not available", and no picture comes out.',
        f"    | numpy {cases_env.NEXT}; the stack has {cases_env.GUIDE.pin('numpy')}",
    ]
    assert lines[5:8] == [
        "    Build the environment anew, from the stack's lock.",
        "        ssh sdops@203.0.113.10 'rm -f ~/.conda/envs/env1/.sdops.json'",
        "        ansible-playbook -i inventory.ini ansible/site.yml -l gpu1 --tags stack_env",
    ]
    assert any("skipped because of numpy-too-new" in line for line in lines)


def test_json_is_one_document(sdops, stored):
    out, _, code = sdops("doctor", "--from", stored("vgpu-unlicensed", ""), "--json", "--only", "gpu")
    told = json.loads(out)
    assert code == 1
    assert told["ok"] is False
    assert [host["host"] for host in told["hosts"]] == ["gpu1", "gpu2"]
    ids = [check.id for check in CHECKS if check.topic == "gpu"]
    assert [[one["check"] for one in host["results"]] for host in told["hosts"]] == [ids, ids]
    assert told["hosts"][0]["examined"] is True
    assert next(one for one in told["hosts"][0]["results"] if one["finding"]) == {
        "check": "vgpu-unlicensed",
        "topic": "gpu",
        "status": "error",
        "because": None,
        "ignored": False,
        "finding": {
            "summary": "The share of a GPU (vGPU) has no licence.",
            "effect": "Without one it runs at full speed for 20 minutes after the boot, and is then "
            "throttled: pictures take many times as long.",
            "evidence": ["License Status: Unlicensed (Unrestricted)"],
            "remedy": "See what its service says, and whether the licence's token is there and its server "
            "can be reached. The token comes from the provider.",
            "commands": [
                "ssh root@203.0.113.10 'journalctl --unit nvidia-gridd --lines 20; "
                "ls /etc/nvidia/ClientConfigToken'",
                "ssh root@203.0.113.10 'systemctl restart nvidia-gridd'",
            ],
        },
    }


def test_facts_come_back_as_they_were_printed(sdops, stored):
    path = stored("mig-empty", "conda-terms")
    out, _, code = sdops("doctor", "--from", path, "--facts")
    told = json.loads(out)
    assert (code, told["format"]) == (0, FORMAT)
    assert told == json.loads(path.read_text())
    assert from_data(HostFacts, told["hosts"][0]) == replace(
        cases_gpu.CASES["mig-empty"](HEALTHY), host="gpu1"
    )


@pytest.mark.parametrize(
    ("names", "words", "code"),
    [
        ([""], [], 0),
        (["conda-terms"], [], 0),
        (["conda-terms"], ["--strict"], 1),
        (["numpy-too-new"], [], 1),
        (["numpy-too-new"], ["--ignore", "numpy-too-new"], 0),
        (["numpy-too-new"], ["--ignore", "env"], 0),
        (["numpy-too-new"], ["--ignore", "numpy-too-new", "--strict"], 1),
        (["numpy-too-new"], ["--only", "gpu"], 0),
        (["host-unreachable", ""], [], 3),
        (["host-unreachable", "numpy-too-new"], [], 1),
        (["host-unreachable"], ["--only", "gpu"], 3),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, list) else str(value),
)
def test_the_exit_code_says_what_came_of_it(sdops, stored, names, words, code):
    out, _, ended = sdops("doctor", "--from", stored(*names), *words, "--json")
    assert (ended, json.loads(out)["ok"]) == (code, code == 0)


def test_several_hosts_end_with_a_line_about_all(sdops, stored):
    out, _, _ = sdops("doctor", "--from", stored("", "numpy-too-new", "host-unreachable"))
    assert out.splitlines()[-1] == "1 of 3 hosts without errors; errors on gpu2; not examined: gpu3."


def test_list_names_every_check(sdops):
    out, _, code = sdops("doctor", "--list")
    assert code == 0
    assert all(f"  {check.id} " in out and check.title in out for check in CHECKS)
    told = json.loads(sdops("doctor", "--list", "--json")[0])
    assert [one["check"] for one in told["checks"]] == [check.id for check in CHECKS]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "nothing"], "There is no check and no topic 'nothing'."),
        (["--ignore", "nothing"], "There is no check and no topic 'nothing'."),
        (["--from", "none.json"], "none.json cannot be read: No such file or directory."),
        (["--nvidia-smi", "none.txt"], "none.txt cannot be read: No such file or directory."),
        (["local", "--from", "x"], "Hosts, --from and --nvidia-smi exclude each other."),
        (
            ["gpu9"],
            "There is no host and no group 'gpu9': no inventory was found, and so there is only local.",
        ),
        (["-i", "none.ini"], "none.ini"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_told_in_a_line_and_what_to_do(sdops, words, said):
    out, err, code = sdops("doctor", *words)
    assert (out, code) == ("", 2)
    assert said in err.splitlines()[0]
    assert len(err.splitlines()) == 2
    told = json.loads(sdops("doctor", *words, "--json")[0])
    assert told["ok"] is False
    assert said in told["error"]["message"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 9, "hosts": []}', '{"format": 1, "hosts": [{"host": 1}]}']
)
def test_a_file_that_holds_no_facts_is_refused(sdops, tmp_path, text):
    (tmp_path / "facts.json").write_text(text)
    _, err, code = sdops("doctor", "--from", "facts.json")
    assert (err.splitlines()[0].startswith("Error: facts.json holds no facts: "), code) == (True, 2)


def smi(tmp_path, text):
    path = tmp_path / "smi.txt"
    path.write_text(text)
    return path


def test_a_pasted_output_is_judged_without_a_host(sdops, tmp_path):
    out, _, code = sdops("doctor", "--nvidia-smi", smi(tmp_path, outputs.QUERY), "--json")
    told = json.loads(out)
    assert code == 1
    assert told["facts"] == {
        "driver": {"version": "535.99.07", "cuda": "12.2"},
        "gpus": [
            {
                "name": "NVIDIA A10-12Q",
                "memory_mib": 12288,
                "mig": None,
                "vgpu": True,
                "licence": "Unlicensed (Restricted)",
            },
            {"name": "NVIDIA H100 PCIe", "memory_mib": 81559, "mig": False, "vgpu": False, "licence": None},
        ],
    }
    assert told["unknown"] == {"gpus[0].mig": "it says N/A", "gpus[1].licence": "this output does not say"}
    assert [one["check"] for one in told["results"] if one["status"] == "error"] == ["vgpu-unlicensed"]
    assert {one["topic"] for one in told["results"]} == {"driver", "gpu"}


def test_a_pasted_output_comes_by_standard_input_too(sdops, monkeypatch):
    data = outputs.OUTPUTS["table-share"][0].encode("utf-16")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    out, _, code = sdops("doctor", "--nvidia-smi", "-")
    assert (out.splitlines()[0], code) == ("nvidia-smi: GRID A100D-10C, driver 535.99.07", 0)


def test_a_complaint_is_a_finding_whose_commands_are_for_the_host_itself(sdops, tmp_path):
    text = "Failed to initialize NVML: Driver/library version mismatch\n"
    out, _, code = sdops("doctor", "--nvidia-smi", smi(tmp_path, text), "--json")
    told = json.loads(out)
    assert (code, told["complaints"]) == (1, [{"kind": "mismatch", "text": text.strip()}])
    assert told["facts"] == {"driver": {"version": None, "cuda": None}, "gpus": None}
    (finding,) = (one["finding"] for one in told["results"] if one["finding"])
    assert finding["commands"] == ["systemctl reboot"]


def test_what_is_no_output_of_nvidia_smi_is_said_to_be_none(sdops, tmp_path):
    out, _, code = sdops("doctor", "--nvidia-smi", smi(tmp_path, "Bonjour\n"), "--json")
    told = json.loads(out)
    assert (code, told["facts"]) == (3, {"driver": {"version": None, "cuda": None}, "gpus": None})
    assert [one["check"] for one in told["results"]] == ["not-examined"]
    assert "'Bonjour'" in told["unknown"]["gpus"]


def test_the_best_stack_is_recommended_with_the_lines_to_set_it(sdops, tmp_path):
    text = outputs.table("580", outputs.row(0, "NVIDIA H200", "0MiB", "143771MiB"))
    out, _, code = sdops("doctor", "--recommend", "--nvidia-smi", smi(tmp_path, text))
    assert code == 0
    assert out.splitlines() == [
        "nvidia-smi: NVIDIA H200, driver 580.11.02",
        "  Best stack: cu124",
        "  In the inventory:",
        "      [gpu:vars]",
        "      sdops_stack=cu124",
        "  guide: its torch has no kernels for compute capability 9.0",
        "  cu124: runs",
        "  cu130: CUDA 13.0 needs driver 580.65.06 or later, and this is 580.11.02",
    ]


def test_this_machine_is_examined_without_any_inventory(sdops):
    """Whatever is wrong with it: it is examined, and what nobody has provisioned here is not judged."""
    out, err, code = sdops("doctor", "--quick", "--json")
    (host,) = json.loads(out)["hosts"]
    assert (host["host"], host["examined"], err) == ("local", True, "")
    assert code in (0, 1)
    assert {one["topic"] for one in host["results"]} >= {"reach", "system", "hub"}
    assert not {"conda", "env", "runtime"} & {one["topic"] for one in host["results"]}
    assert [one for one in host["results"] if "failed" in (one["because"] or "")] == []
