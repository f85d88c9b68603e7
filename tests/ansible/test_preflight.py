"""Preflight on hosts: it passes or says what to set, and changes nothing in either case."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hosts.fixtures import need_release
from hosts.gpu import Answer, install_fake_gpu
from hosts.host import Host
from hosts.lab import Lab
from playbook import ANSIBLE, Playbook, listing, program
from sdops_runtime import stack

NewHost = Callable[..., Host]

TABLE = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI {0:<22} Driver Version: {0:<14} CUDA Version: 12.2     |
+-----------------------------------------------------------------------------------------+
"""
TABLE_610 = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 610.12.01              KMD Version: 610.12.01     CUDA UMD Version: 13.3     |
+-----------------------------------------+------------------------+----------------------+
"""
QUERY = "--query-gpu={} --format=csv,noheader,nounits"
FULL, WITHOUT_CAPABILITY = QUERY.format("name,memory.total,compute_cap"), QUERY.format("name,memory.total")
UNKNOWN_FIELD = Answer('Field "compute_cap" is not a valid field to query.\n', 2)

A100 = {"": TABLE.format("535.129.03"), FULL: "GRID A100D-10C, 10240, 8.0\n"}

NOT_RUNNING = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
    "NVIDIA driver is installed and running."
)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"

MINIMUM = stack.load("cu124").minimum_driver
KERNELS = ", ".join(stack.load("guide").kernels)


@pytest.fixture(scope="module")
def play(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Playbook:
    return Playbook(lab, tmp_path_factory.mktemp("preflight"), ["preflight"])


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[Host]:
    """One Debian 12 host for tests that leave it as it was."""
    need_release("bookworm")
    host = lab.host()
    yield host
    lab.remove(host)


def refused(play: Playbook, host: Host, **variables: object) -> str:
    """What preflight says against a host that it must refuse without having changed anything."""
    before = listing(host)
    outcome = play.run(host, **variables)
    assert outcome.rc == 2, outcome.output
    assert outcome.changed() == []
    assert listing(host) == before
    return outcome.failure()


@pytest.mark.hosts
def test_it_passes_and_changes_nothing(play: Playbook, new_host: NewHost, release: str) -> None:
    host = new_host(release=release)
    install_fake_gpu(host, A100)
    before = listing(host)
    assert "/etc/passwd " in before
    for options in (["--check"], [], ["--check", "--diff"]):
        outcome = play.run(host, options=options)
        assert (outcome.rc, outcome.changed()) == (0, []), outcome.output
    assert listing(host) == before


@pytest.fixture
def nowhere(tmp_path: Path) -> Callable[..., str]:
    """Runs preflight against nobody's address (TEST-NET-3 of RFC 5737) and gives what it says."""
    (tmp_path / "roles").symlink_to(ANSIBLE / "roles")
    (tmp_path / "site.yml").write_text(
        "- name: Look\n  hosts: all\n  gather_facts: false\n  roles: [sdops, preflight]\n"
    )

    def fail(**settings: str) -> str:
        (tmp_path / "given.json").write_text(json.dumps(settings))
        words = ["-i", "203.0.113.9,", "site.yml", "-e", "@given.json", "-vvv"]
        ran = subprocess.run(
            [program(), *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 2, ran.stdout + ran.stderr
        assert "unreachable=0" in ran.stdout
        return ran.stdout + ran.stderr

    return fail


def test_wrong_settings_fail_before_any_host_is_reached(nowhere: Callable[..., str]) -> None:
    said = nowhere(sdops_stack="cu99", sdops_env="base")
    assert "sdops_stack is 'cu99', which is no stack. Set it to one of guide, cu124, cu130." in said
    assert "sdops_env is 'base', which is no name for an environment." in said


def test_a_malformed_token_fails_before_any_host_is_reached_and_is_not_shown(
    nowhere: Callable[..., str],
) -> None:
    said = nowhere(hub_token_value="hf_can ary")
    assert (
        "The hub access token is unusable: hub_token_value has a blank inside. A token is one word such as "
        "hf_AbCd. Copy it again from https://huggingface.co/settings/tokens." in " ".join(said.split())
    )
    assert "can ary" not in said


@pytest.mark.hosts
def test_an_unknown_release_is_refused(play: Playbook, new_host: NewHost) -> None:
    host = new_host()
    host.put("/etc/os-release", 'PRETTY_NAME="Fedora Linux 44"\nID=fedora\nVERSION_ID=44\n')
    assert refused(play, host) == (
        "The host runs Fedora Linux 44. sdops knows Debian 11, 12, 13 and Ubuntu 22.04, 24.04: make the host "
        "anew with one of these."
    )


@pytest.mark.hosts
def test_a_host_without_python_is_told_how_to_get_it(play: Playbook, new_host: NewHost) -> None:
    host = new_host()
    host.inside(["sh", "-c", "rm /usr/bin/python3*"])
    assert refused(play, host) == (
        "The host has no python3, which Ansible needs. Run there: "
        "apt-get update && apt-get install --yes python3"
    )


@pytest.mark.hosts
def test_a_small_disk_is_refused_until_what_is_there_makes_up_for_it(
    play: Playbook, new_host: NewHost
) -> None:
    host = new_host(disk="1G")
    said = refused(play, host, sdops_expect_gpu=False)
    assert re.fullmatch(
        r"/home/sdops has 10\d\d MB of free disk; stack guide and the model need 13500 MB. Take a host with "
        r"a larger disk, or set preflight_disk_stack_mb and preflight_disk_model_mb to what yours need.",
        said,
    )
    small = {"preflight_disk_stack_mb": {"guide": 900}, "preflight_disk_model_mb": 100}
    assert play.run(host, sdops_expect_gpu=False, **small).rc == 0
    host.inside(["sh", "-c", "useradd -m sdops && head -c 500M /dev/zero > /home/sdops/model"])
    outcome = play.run(host, sdops_expect_gpu=False, **small)
    assert outcome.rc == 0, outcome.failure()


@pytest.mark.hosts
def test_too_little_memory_is_refused(play: Playbook, shared: Host) -> None:
    said = refused(play, shared, sdops_expect_gpu=False, preflight_memory_mb=9_000_000)
    assert re.fullmatch(
        r"The host has \d+ MB of memory; loading the model needs 9000000 MB. Take a larger host, or set "
        r"preflight_memory_mb to what your model needs.",
        said,
    )


@pytest.mark.hosts
def test_no_key_for_the_account_is_refused(play: Playbook, new_host: NewHost) -> None:
    host = new_host()
    host.inside(["mv", "/root/.ssh/authorized_keys", "/etc/ssh/root_keys"])
    host.put("/etc/ssh/sshd_config.d/20-keys.conf", "AuthorizedKeysFile /etc/ssh/root_keys\n")
    host.inside(["systemctl", "reload", "ssh"])
    assert refused(play, host, sdops_expect_gpu=False) == (
        "There is no SSH key for the account: root has none in ~/.ssh/authorized_keys on the host. "
        "Set service_user_authorized_keys to a list of public keys."
    )


@pytest.mark.hosts
def test_a_mirror_that_does_not_answer_is_refused(play: Playbook, lab: Lab, shared: Host) -> None:
    with lab.listen() as taken:
        address, port = taken.getsockname()
    url = f"http://{address}:{port}/conda"  # nobody listens there any more
    assert refused(play, shared, sdops_expect_gpu=False, sdops_conda_channel_alias=url) == (
        f"sdops_conda_channel_alias is {url}, which the host cannot reach: Connection refused. Set it to an "
        "address that answers, or leave it out for the public one."
    )
    url = "file:///srv/conda"
    assert refused(play, shared, sdops_expect_gpu=False, sdops_conda_channel_alias=url) == (
        f"sdops_conda_channel_alias is {url}, which the host cannot reach: /srv/conda does not exist on the "
        "host. Set it to an address that answers, or leave it out for the public one."
    )


@pytest.mark.hosts
def test_a_mirror_that_answers_will_do(play: Playbook, lab: Lab, shared: Host, tmp_path: Path) -> None:
    service = lab.serve(
        lambda at: ["python3", "-m", "http.server", "--bind", at, "--directory", tmp_path, "8000"], 8000
    )
    outcome = play.run(shared, sdops_expect_gpu=False, sdops_pip_index_url=f"{service.url}/none/simple")
    service.stop()
    assert outcome.rc == 0, outcome.failure()


HOLD = """
import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep({})
"""


def hold_lock(host: Host, seconds: int) -> None:
    """Holds dpkg's lock on a host as apt-daily does on a first boot."""
    host.inside(["systemd-run", "--unit=other-packages", "--", "python3", "-c", HOLD.format(seconds)])
    for _ in range(200):
        if "held" in host.inside(["journalctl", "--unit=other-packages", "--output=cat"]).stdout:
            return
    raise AssertionError("the lock was not taken")


@pytest.mark.hosts
def test_a_lock_of_another_package_manager_is_waited_for(play: Playbook, new_host: NewHost) -> None:
    host = new_host()
    hold_lock(host, 3600)
    said = refused(play, host, sdops_expect_gpu=False, preflight_package_lock_timeout=1)
    assert re.fullmatch(
        r"/var/lib/dpkg/lock-frontend is still held after 1 s, by python3 \(process \d+\). Run the playbook "
        r"again when that is done, or raise preflight_package_lock_timeout.",
        said,
    )
    host.inside(["sh", "-c", "(sleep 8; systemctl stop other-packages) >/dev/null 2>&1 &"])
    outcome = play.run(host, sdops_expect_gpu=False)
    assert outcome.rc == 0, outcome.failure()
    waited = {name: result for _, name, result in outcome.tasks if name.startswith("Wait")}
    assert [result.get("skipped", False) for result in waited.values()] == [False]


@pytest.mark.hosts
def test_a_first_boot_is_waited_for(play: Playbook, new_host: NewHost) -> None:
    host = new_host()
    host.put("/usr/local/bin/cloud-init", "#!/bin/sh\nexec sleep 3600\n", mode=0o755)
    assert refused(play, host, sdops_expect_gpu=False, preflight_cloud_init_timeout=1) == (
        "cloud-init is still at work after 1 s. Look at 'cloud-init status --long' on the host and run the "
        "playbook again when it is done, or raise preflight_cloud_init_timeout."
    )
    host.put("/usr/local/bin/cloud-init", '#!/bin/sh\n[ "$*" = "status --wait" ]\n', mode=0o755)
    assert play.run(host, sdops_expect_gpu=False).rc == 0
    host.inside(["sh", "-c", "mkdir /run/cloud-init; echo '{}' > /run/cloud-init/result.json"])
    host.put("/usr/local/bin/cloud-init", "#!/bin/sh\nexec sleep 3600\n", mode=0o755)
    assert play.run(host, sdops_expect_gpu=False).rc == 0


@pytest.mark.hosts
@pytest.mark.parametrize(
    ("answers", "name"),
    [
        pytest.param(A100, "guide", id="vGPU"),
        pytest.param({"": TABLE_610, FULL: "NVIDIA H200, 143771, 9.0\n"}, "cu130", id="driver 610"),
        pytest.param(
            {
                "": TABLE.format("470.82.01"),
                FULL: UNKNOWN_FIELD,
                WITHOUT_CAPABILITY: "A100-SXM4-40GB, 40536\n",
            },
            "guide",
            id="driver that does not know capabilities",
        ),
    ],
)
def test_a_driver_that_runs_the_stack_passes(
    play: Playbook, shared: Host, answers: dict[str, Answer | str], name: str
) -> None:
    install_fake_gpu(shared, answers)
    outcome = play.run(shared, sdops_stack=name)
    assert outcome.rc == 0, outcome.failure()


@pytest.mark.hosts
@pytest.mark.parametrize(
    ("answers", "name", "fault"),
    [
        pytest.param(
            {
                "": TABLE.format("470.82.01"),
                FULL: UNKNOWN_FIELD,
                WITHOUT_CAPABILITY: "A100-SXM4-40GB, 40536\n",
            },
            "cu124",
            f"The NVIDIA driver is 470.82.01; stack cu124 needs {MINIMUM} or newer. Set sdops_stack: guide.",
            id="driver too old",
        ),
        pytest.param(
            {"": TABLE_610, FULL: "NVIDIA H200, 143771, 9.0\n"},
            "guide",
            f"NVIDIA H200 has compute capability 9.0; stack guide has kernels for {KERNELS}. Set "
            "sdops_stack: cu124 or cu130.",
            id="GPU too new",
        ),
        pytest.param(
            Answer(f"{NOT_RUNNING}\n\n", 9),
            "guide",
            f'The NVIDIA driver is installed but not running: nvidia-smi said "{NOT_RUNNING}" (exit code 9). '
            "Reboot the host. If that does not help, its kernel was upgraded without the driver: make the "
            "host anew from an image with the driver.",
            id="driver not running",
        ),
        pytest.param(
            Answer(f"{MISMATCH}\nNVML library version: 550.1\n", 18),
            "guide",
            f"The NVIDIA driver's packages were changed since it was loaded: nvidia-smi said '{MISMATCH} "
            "NVML library version: 550.1' (exit code 18). Reboot the host.",
            id="mismatch",
        ),
        pytest.param(
            Answer("No devices were found\n", 6),
            "guide",
            "The NVIDIA driver runs but finds no GPU: nvidia-smi said 'No devices were found' (exit code 6). "
            "Check in the cloud's panel that the plan has a GPU, stop the host there and start it again. For "
            "a host that is meant to have none, set sdops_expect_gpu: false.",
            id="no devices",
        ),
        pytest.param(
            Answer(TABLE.format("535.129.03"), seconds=60),
            "guide",
            "nvidia-smi did not answer within 2 s. Stop the host in the cloud's panel and start it again.",
            id="hangs",
        ),
    ],
)
def test_a_driver_that_does_not_run_the_stack_is_refused(
    play: Playbook, shared: Host, answers: Answer | dict[str, Answer | str], name: str, fault: str
) -> None:
    install_fake_gpu(shared, answers)
    assert refused(play, shared, sdops_stack=name, preflight_nvidia_smi_timeout=2) == fault


@pytest.mark.hosts
def test_a_host_without_a_gpu_is_refused_unless_none_is_expected(play: Playbook, new_host: NewHost) -> None:
    host = new_host()
    assert refused(play, host) == (
        "The host has no NVIDIA GPU. Take a plan with one, or set sdops_expect_gpu: false for a host that is "
        "meant to have none."
    )
    outcome = play.run(host, sdops_expect_gpu="false")
    assert outcome.rc == 0, outcome.failure()
