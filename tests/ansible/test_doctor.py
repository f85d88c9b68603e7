"""`sdops doctor` as a person types it, over real SSH, on a host that all of site.yml has made.

Its GPU is a fake nvidia-smi, torch a shell that knows a fake GPU (see doubles/conda/torch_shell.py); the rest
of the environment is real. Each fault is found by its own check, first, and nothing else is an error.
"""

import json
import shlex
import sys
from pathlib import Path

import pytest
from bench.fleet import Fleet
from hosts.gpu import Answer, install_fake_gpu
from plays import Play

pytestmark = pytest.mark.hosts

ROOT = Path(__file__).parents[2]
HOME = "/home/sdops"
ENV = f"{HOME}/.conda/envs/env1"
#: A version later than any that is known to work.
LATER = "3000.0.0"
SITE = f"{ENV}/lib/python3.9/site-packages"

SMI = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
<driver_version>535.129.03</driver_version><cuda_version>12.2</cuda_version><attached_gpus>1</attached_gpus>
<gpu id="00000000:02:00.0">
<product_name>GRID A100D-10C</product_name><persistence_mode>Enabled</persistence_mode>
<mig_mode><current_mig>Disabled</current_mig></mig_mode>
<gpu_virtualization_mode><virtualization_mode>VGPU</virtualization_mode></gpu_virtualization_mode>
<vgpu_software_licensed_product><license_status>Licensed</license_status></vgpu_software_licensed_product>
<fb_memory_usage><total>10240 MiB</total><reserved>560 MiB</reserved><used>0 MiB</used></fb_memory_usage>
<ecc_errors><volatile><sram_uncorrectable>0</sram_uncorrectable></volatile></ecc_errors>
<processes></processes>
</gpu>
</nvidia_smi_log>
"""
OTHERS = {
    "": "| NVIDIA-SMI 535.129.03   Driver Version: 535.129.03   CUDA Version: 12.2     |\n",
    "*": "GRID A100D-10C, 10240, 8.0\n",
}


def gpu(answer=SMI, rc=0):
    """Makes the host's nvidia-smi answer so."""
    return lambda host: install_fake_gpu(host, {**OTHERS, "-q -x": Answer(answer, rc)})


class Person:
    """Somebody at the controller's terminal."""

    def __init__(self, host, play):
        self.host, self.play = host, play

    def sdops(self, *words):
        """What a command of sdops prints and ends with."""
        argv = [sys.executable, "-c", "from sdops.cli import main; main()", *words, "-i", "inventory.ini"]
        environment = {
            **self.play.environment(),
            "PYTHONPATH": f"{ROOT / 'ops'}:{ROOT / 'runtime'}",
            "XDG_CACHE_HOME": str(self.play.home / ".cache"),
        }
        run = self.play.lab.controller.run
        return run(argv, timeout=200, check=False, env=environment, cwd=self.play.folder)

    def findings(self, *words):
        """The errors and warnings of a quick look, in order, and the exit code."""
        ran = self.sdops("doctor", self.host.name, "--quick", "--json", *words)
        told = json.loads(ran.stdout)
        (one,) = told["hosts"]
        # This side may or may not have sshfs.
        found = [
            result for result in one["results"] if result["finding"] and result["check"] != "sshfs-missing"
        ]
        return found, ran.rc

    def types(self, command):
        """What a person does with a command that doctor printed."""
        words = shlex.split(command)
        run = self.play.lab.controller.run
        ran = run(words, timeout=400, check=False, env=self.play.environment(), cwd=self.play.folder)
        assert ran.rc == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def person(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    fleet = Fleet(lab, tmp_path_factory.mktemp("fleet"), "bookworm", real_torch=False)
    host = fleet.fresh()
    gpu()(host)
    # Something to be loaded as libcuda, which does not know CUDA's functions: nothing can be told of it.
    host.inside(
        [
            "sh",
            "-ec",
            "ln -s libc.so.6 /usr/lib/x86_64-linux-gnu/libcuda.so.1; apt-get -q update; "
            "apt-get -q -y --no-install-recommends install fish",
        ],
        timeout=300,
    )
    play = Play(lab, folder, playbook="site.yml")
    play.give(host, **fleet.variables)
    play.run(host)
    yield Person(host, play)
    lab.remove(host)


def test_nothing_is_wrong_with_a_host_that_the_playbook_made(person):
    assert person.findings() == ([], 0)
    ran = person.sdops("doctor", person.host.name, "--quick")
    assert ran.rc == 0, ran.stdout + ran.stderr
    first = ran.stdout.splitlines()[0]
    assert first.endswith("GRID A100D-10C, driver 535.129.03, stack guide")


def test_stored_facts_are_judged_as_the_host_was(person):
    facts = person.sdops("doctor", person.host.name, "--quick", "--facts").stdout
    (person.play.folder / "facts.json").write_text(facts)
    told = [
        person.sdops("doctor", *words, "--quick", "--json").stdout
        for words in ([person.host.name], ["--from", "facts.json"])
    ]
    assert json.loads(told[0]) == json.loads(told[1])


#: What somebody does to the host, in a shell as root, and what undoes it; by what doctor finds first.
FAULTS = {
    "python": ("mv /usr/bin/python3 /usr/bin/python3.aside", "mv /usr/bin/python3.aside /usr/bin/python3"),
    "env-missing": (f"mv {ENV} {ENV}.aside", f"mv {ENV}.aside {ENV}"),
    "env-incomplete": (f"mv {ENV}/.sdops.json {HOME}/aside", f"mv {HOME}/aside {ENV}/.sdops.json"),
    "mkl-too-new": (
        f"cd {ENV}/conda-meta; mv mkl-*.json {HOME}/; cp {HOME}/mkl-*.json mkl-{LATER}-h0_0.json",
        f"cd {ENV}/conda-meta; rm mkl-{LATER}-h0_0.json; mv {HOME}/mkl-*.json .",
    ),
    "numpy-too-new": (
        f"cd {SITE}; mv numpy-*.dist-info {HOME}/; mkdir numpy-{LATER}.dist-info",
        f"cd {SITE}; rmdir numpy-{LATER}.dist-info; mv {HOME}/numpy-*.dist-info .",
    ),
    "hub-library-too-new": (
        f"cd {SITE}; mv huggingface_hub-*.dist-info {HOME}/; mkdir huggingface_hub-{LATER}.dist-info",
        f"cd {SITE}; rmdir huggingface_hub-{LATER}.dist-info; mv {HOME}/huggingface_hub-*.dist-info .",
    ),
    "torch-without-cuda": (
        f"echo 'cuda: Optional[str] = None' >{SITE}/torch/version.py",
        f"rm {SITE}/torch/version.py",
    ),
    "torch-other-cuda": (
        f"""echo "cuda = '10.2'" >{SITE}/torch/version.py""",
        f"rm {SITE}/torch/version.py",
    ),
    "accelerate-missing": (
        f"mv {SITE}/accelerate-*.dist-info {HOME}/",
        f"mv {HOME}/accelerate-*.dist-info {SITE}/",
    ),
    "env-drift": (f"mkdir {SITE}/requests-9.9.9.dist-info", f"rmdir {SITE}/requests-9.9.9.dist-info"),
    "hook-missing": (
        f"mv {ENV}/etc/conda/activate.d/env_vars.sh {HOME}/",
        f"mv {HOME}/env_vars.sh {ENV}/etc/conda/activate.d/",
    ),
    "libcuda-shadowed": (f"touch {ENV}/lib/libcuda.so.1", f"rm {ENV}/lib/libcuda.so.1"),
    "conda-missing": (f"mv {HOME}/miniconda3 {HOME}/aside", f"mv {HOME}/aside {HOME}/miniconda3"),
    "disk-full": (
        # A small disk of its own: a test host's own lies in this machine's memory.
        "mount -t tmpfs -o size=1m tmpfs /tmp; fallocate -l 1000K /tmp/filler",
        "umount /tmp",
    ),
    "token-open": (
        f"chmod 0644 {HOME}/.cache/huggingface/token",
        f"chmod 0600 {HOME}/.cache/huggingface/token",
    ),
    "worker-dead": (
        "systemctl --user -M sdops@ stop sdops-runtime.service",
        "systemctl --user -M sdops@ start sdops-runtime.service",
    ),
    "account": ("sed -i s/^sdops:/else:/ /etc/passwd", "sed -i s/^else:/sdops:/ /etc/passwd"),
    "release": (
        "sed -i s/^ID=debian/ID=slackware/ /etc/os-release",
        "sed -i s/^ID=slackware/ID=debian/ /etc/os-release",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_own_check_and_nothing_else_is(person, name):
    fault, undoing = FAULTS[name]
    person.host.inside(["sh", "-ec", fault])
    try:
        found, code = person.findings()
    finally:
        person.host.inside(["sh", "-ec", undoing])
    assert [result["check"] for result in found] == [name]
    assert code == (0 if name == "env-drift" else 1)


SMIS = {
    "driver-not-loaded": (
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        9,
    ),
    "driver-mismatch": (
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.1\n",
        18,
    ),
    "no-devices": ("No devices were found\n", 6),
    "nvml-error": ("Failed to initialize NVML: Unknown Error\n", 255),
    "gpu-lost": ("Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.\n", 15),
    "driver-too-old": (SMI.replace("535.129.03", "440.33.01"), 0),
    "gpu-kernels": (SMI.replace("GRID A100D-10C", "NVIDIA H100 80GB HBM3").replace("VGPU", "None"), 0),
    "vgpu-unlicensed": (SMI.replace(">Licensed", ">Unlicensed (Unrestricted)"), 0),
    "gpu-small": (SMI.replace("10240 MiB", "3072 MiB"), 0),
    "gpu-reset": (
        SMI.replace(
            "<fb_m", "<gpu_reset_status><reset_required>Yes</reset_required></gpu_reset_status><fb_m"
        ),
        0,
    ),
}


@pytest.mark.parametrize("name", SMIS)
def test_what_nvidia_smi_says_is_found_by_its_own_check(person, name):
    gpu(*SMIS[name])(person.host)
    try:
        found, code = person.findings()
    finally:
        gpu()(person.host)
    assert [result["check"] for result in found] == [name]
    assert code == 1


def test_a_host_without_any_driver_has_no_gpu(person):
    person.host.inside(["mv", "/usr/bin/nvidia-smi", "/usr/bin/aside"])
    try:
        found, code = person.findings()
    finally:
        person.host.inside(["mv", "/usr/bin/aside", "/usr/bin/nvidia-smi"])
    assert ([result["check"] for result in found], code) == (["gpu-absent"], 1)


@pytest.mark.parametrize("shell", ["/bin/dash", "/usr/bin/fish", "/bin/bash"])
def test_greetings_and_login_shells_do_no_harm(person, shell):
    noise = "echo Welcome to gpu1; echo 'sdops-0 END 0 0' >&2"
    person.host.inside(
        [
            "sh",
            "-ec",
            f"usermod --shell {shell} root; cp /root/.bashrc /root/.aside; "
            f"mkdir -p /root/.config/fish; echo {shlex.quote(noise)} | tee -a /root/.bashrc"
            " >/root/.config/fish/config.fish; echo Hello >/etc/motd",
        ]
    )
    try:
        assert person.findings() == ([], 0)
    finally:
        person.host.inside(
            [
                "sh",
                "-ec",
                "usermod --shell /bin/bash root; mv /root/.aside /root/.bashrc; "
                "rm -r /root/.config/fish /etc/motd",
            ]
        )


def test_an_account_that_may_run_nothing_is_told_so(person):
    person.host.inside(["usermod", "--shell", "/usr/sbin/nologin", "root"])
    try:
        found, code = person.findings()
    finally:
        person.host.inside(["usermod", "--shell", "/bin/bash", "root"])
    assert ([result["check"] for result in found], code) == (["shell-unusable"], 3)


def test_a_stopped_sshd_another_key_and_an_unknown_one_are_told_apart(person):
    host, known = person.host, person.play.lab.controller.known_hosts
    text = known.read_text()
    host.inside(["systemctl", "stop", "ssh.service", "ssh.socket"], check=False)
    try:
        found, code = person.findings()
        assert ([result["check"] for result in found], code) == (["ssh-refused"], 3)
    finally:
        host.inside(["systemctl", "start", "ssh.service"])
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGqm5PUz2VYUx5nCTmIMhI1Ox7xQ4sXl8bYp3h5Q9Y0m"
    for name, line in (
        ("host-key-changed", f"{host.name},{host.address} {other}\n"),
        ("host-key-unknown", ""),
    ):
        known.write_text(line)
        try:
            found, code = person.findings()
        finally:
            known.write_text(text)
        assert ([result["check"] for result in found], code) == ([name], 3)


#: Faults whose remedy is typed, from those above: the rest is in test_mended_by_tags.
MENDED = ("env-missing", "numpy-too-new", "hook-missing", "libcuda-shadowed", "conda-missing")


@pytest.mark.parametrize("name", MENDED)
def test_what_is_printed_mends_it(person, name):
    person.host.inside(["sh", "-ec", FAULTS[name][0]])
    found, _ = person.findings()
    assert [result["check"] for result in found] == [name]
    assert found[0]["finding"]["commands"]
    for command in found[0]["finding"]["commands"]:
        person.types(command)
    assert person.findings() == ([], 0)


def test_a_full_look_starts_torch_and_believes_nothing_but_a_kernel(person):
    """The shell of torch knows a GPU; the libraries on top of it need the real one, and say so."""
    ran = person.sdops("doctor", person.host.name, "--json")
    found = [one for one in json.loads(ran.stdout)["hosts"][0]["results"] if one["finding"]]
    assert [one["check"] for one in found if one["status"] == "error"] == ["libraries-import"]
    facts = json.loads(person.sdops("doctor", person.host.name, "--facts").stdout)["hosts"][0]["kernel"]
    assert (facts["available"], facts["computes"], facts["capability"]) == (True, True, "8.0")
    assert facts["path"].split(":") == [f"{ENV}/lib"]
