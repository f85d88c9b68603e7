"""Ansible filters that judge settings and hosts: values in, a list of sentences out (empty: all is well).

Each sentence says what is so and what to set. What versions need comes from the stack manifest's own
reader, so that it is known in one place.
"""

import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

RUNTIME = Path(__file__).resolve().parents[4] / "runtime"

sys.path.insert(0, str(RUNTIME))
try:
    from sdops_runtime import stack as manifest
finally:
    sys.path.remove(str(RUNTIME))

#: Debian's own rule for names of accounts (adduser, NAME_REGEX), and useradd's for their length.
ACCOUNT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
ENVIRONMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
KEY = re.compile(
    r"(\S.*\s)?(ssh-ed25519|ssh-rsa|ecdsa-sha2-\S+|sk-\S+@openssh\.com)\s+[\w+/]{20,}=*(\s.*)?", re.ASCII
)

#: The first user id that Debian and Ubuntu give to people (login.defs, UID_MIN).
UID_MIN = 1000

#: Groups whose members are as good as root: by sudo, or by what they may start.
PRIVILEGED = ("admin", "docker", "lxd", "root", "sudo", "wheel")

#: What a failing nvidia-smi means, by the states of the module nvidia_smi, and what helps. A driver is
#: never touched: in a vGPU guest it must stay on its host's branch.
GPU_STATES = {
    "not-running": (
        "The NVIDIA driver is installed but not running",
        "Reboot the host. If that does not help, its kernel was upgraded without the driver: "
        "make the host anew from an image with the driver.",
    ),
    "mismatch": (
        "The NVIDIA driver's packages were changed since it was loaded",
        "Reboot the host.",
    ),
    "no-devices": (
        "The NVIDIA driver runs but finds no GPU",
        "Check in the cloud's panel that the plan has a GPU, stop the host there and start it again. "
        "For a host that is meant to have none, set sdops_expect_gpu: false.",
    ),
    "blocked": (
        "Access to the GPU is blocked by the operating system",
        "Stop the host in the cloud's panel and start it again.",
    ),
    "lost": (
        "The GPU does not answer its driver",
        "Stop the host in the cloud's panel and start it again.",
    ),
    "no-library": (
        "nvidia-smi does not find the NVIDIA driver's library",
        "The driver is only half installed: make the host anew from an image with the driver.",
    ),
    "no-permission": (
        "nvidia-smi may not look at the GPU",
        "Log in as root: set ansible_user: root.",
    ),
    "failed": (
        "nvidia-smi failed",
        "Run it on the host, and reboot the host if it goes on failing.",
    ),
}


def ansible_faults(version, meta):
    """Why this Ansible is too old; meta: the text of a role's meta/main.yml."""
    needed = re.search(r'^ *min_ansible_version: "([\d.]+)"$', meta, re.MULTILINE)[1]
    if _numbers(version) >= _numbers(needed):
        return []
    return [
        f"The Ansible on this machine has ansible-core {version}, and sdops needs {needed} or later. Install "
        "the newest into a virtual environment of its own: python3 -m venv ~/ansible && "
        "~/ansible/bin/pip install ansible; then run ~/ansible/bin/ansible-playbook."
    ]


def _numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def setting_faults(settings):
    """What is wrong with the inventory's settings, without a look at any host."""
    faults = []
    name = settings["sdops_stack"]
    if name not in manifest.names():
        known = ", ".join(manifest.names())
        faults.append(f"sdops_stack is {name!r}, which is no stack. Set it to one of {known}.")
    user = str(settings["sdops_user"])
    if not ACCOUNT.fullmatch(user):
        faults.append(
            f"sdops_user is {user!r}, which is no name for an account. Set it to a name of small letters, "
            "digits, _ and -, that begins with a letter and has 32 characters at most."
        )
    elif user == "root":
        faults.append("sdops_user is 'root'. Set it to the name of an account without privileges.")
    environment = str(settings["sdops_env"])
    if not ENVIRONMENT.fullmatch(environment) or environment in ("base", "root"):
        faults.append(
            f"sdops_env is {environment!r}, which is no name for an environment. Set it to a name of "
            "letters, digits, _, . and -, other than base and root."
        )
    if str(settings["sdops_expect_gpu"]).lower() not in ("true", "false", "yes", "no", "1", "0"):
        faults.append(f"sdops_expect_gpu is {str(settings['sdops_expect_gpu'])!r}. Set it to true or false.")
    if not str(settings["sdops_model"]).strip():
        faults.append("sdops_model is empty. Set it to a model's name at the hub or to a folder on the host.")
    for variable, url in settings["mirrors"].items():
        faults.extend(_address_faults(variable, str(url), file=variable != "sdops_hub_endpoint"))
    keys = settings["keys"]
    if isinstance(keys, str):
        # Text is no list, and its letters are no keys.
        faults.append(
            f"service_user_authorized_keys is {_shortened(keys)!r}, which is no list. Set it to a list of "
            "lines as they stand in a file ~/.ssh/id_ed25519.pub: ['ssh-ed25519 AAAA...']."
        )
        keys = []
    for line in keys:
        if not KEY.fullmatch(str(line).strip()):
            faults.append(
                f"service_user_authorized_keys has {_shortened(str(line))!r}, which is no public key. "
                "Set it to lines as they stand in a file ~/.ssh/id_ed25519.pub."
            )
    return faults


def named_mirrors(mirrors, public):
    """Those of the mirrors that somebody has set: neither empty nor the public address."""
    named = {name: str(url) for name, url in mirrors.items() if url}
    return {name: url for name, url in named.items() if url.rstrip("/") != public.get(name)}


def host_facts(text):
    """What the first look at a host tells, from lines KEY=VALUE as in os-release."""
    facts = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals:
            try:
                facts[key] = " ".join(shlex.split(value))
            except ValueError:
                facts[key] = value
    return facts


def host_faults(facts, releases):
    """Why nothing can be installed on a host of this release, processor or Python."""
    faults = []
    if facts.get("VERSION_ID") not in releases.get(facts.get("ID"), []):
        known = " and ".join(f"{name.capitalize()} {', '.join(which)}" for name, which in releases.items())
        name = facts.get("PRETTY_NAME") or "an unknown system"
        faults.append(f"The host runs {name}. sdops knows {known}: make the host anew with one of these.")
    if facts.get("MACHINE") != "x86_64":
        faults.append(
            f"The host's processor is {facts.get('MACHINE') or 'unknown'}. The packages are for x86_64: "
            "take a host with that."
        )
    if facts.get("USER_ID") != "0":
        faults.append("The login has no root rights. Set ansible_user: root, or ansible_become: true.")
    if not facts.get("PYTHON"):
        faults.append(
            "The host has no python3, which Ansible needs. Run there: "
            "apt-get update && apt-get install --yes python3"
        )
    return faults


def boot_faults(idle, cloud_init_timeout, package_lock_timeout):
    """What is still under way on a host after a bounded wait."""
    faults = []
    if not idle["cloud_init_done"]:
        faults.append(
            f"cloud-init is still at work after {cloud_init_timeout} s. Look at 'cloud-init status --long' "
            "on the host and run the playbook again when it is done, or raise preflight_cloud_init_timeout."
        )
    if idle["lock"]:
        lock = idle["lock"]
        faults.append(
            f"{lock['path']} is still held after {package_lock_timeout} s, by {lock['program']} "
            f"(process {lock['process']}). Run the playbook again when that is done, or raise "
            "preflight_package_lock_timeout."
        )
    return faults


def room_faults(probe, settings):
    """What a host lacks in disk, memory, keys or mirrors."""
    faults = []
    account, disk = probe["account"], int(settings["disk_mb"])
    if account["uid"] is not None and account["uid"] < UID_MIN:
        faults.append(
            f"{settings['user']} is an account of the host's own system. Set sdops_user to another name."
        )
    elif rights := [name for name in account["groups"] if name in PRIVILEGED]:
        faults.append(
            f"{settings['user']} is an account on the host that has root's rights (group "
            f"{', '.join(rights)}), a person's perhaps. Set sdops_user to another name."
        )
    # Of what lies there already, a part need not be written again; how much, the roles know.
    if probe["free_mb"] + probe["occupied_mb"] < disk:
        faults.append(
            f"{account['home']} has {probe['free_mb']} MB of free disk; stack {settings['stack']} and the "
            f"model need {disk} MB. Take a host with a larger disk, or set preflight_disk_stack_mb and "
            "preflight_disk_model_mb to what yours need."
        )
    if probe["memory_mb"] < int(settings["memory_mb"]):
        faults.append(
            f"The host has {probe['memory_mb']} MB of memory; loading the model needs "
            f"{settings['memory_mb']} MB. Take a larger host, or set preflight_memory_mb to what your model "
            "needs."
        )
    if not settings["keys"] and not probe["root_keys"]:
        faults.append(
            "There is no SSH key for the account: root has none in ~/.ssh/authorized_keys on the host. "
            "Set service_user_authorized_keys to a list of public keys."
        )
    for variable, fault in probe["mirrors"].items():
        if fault:
            url = _without_password(str(settings["mirrors"][variable]))
            faults.append(
                f"{variable} is {url}, which the host cannot reach: {fault.rstrip('.')}. Set it to an "
                "address that answers, or leave it out for the public one."
            )
    # Said once: a mirror that does not answer has no installer either.
    if not probe["mirrors"].get("miniconda_base_url"):
        faults.extend(_installer_faults(probe["installer"], settings["installer"]))
    return faults


def gpu_faults(probe, name, timeout=60):
    """Why a stack cannot run on a host's driver and GPUs."""
    condition = probe["state"]
    if condition == "absent":
        if probe["on_the_bus"]:
            return [
                "The host has an NVIDIA GPU and no driver. sdops never installs one, since it must fit the "
                "cloud's own: make the host anew from an image with the driver."
            ]
        return [
            "The host has no NVIDIA GPU. Take a plan with one, or set sdops_expect_gpu: false for a host "
            "that is meant to have none."
        ]
    if condition == "hangs":
        return [
            f"nvidia-smi did not answer within {timeout} s. Stop the host in the cloud's panel and start it "
            "again."
        ]
    if condition != "ok":
        what, remedy = GPU_STATES[condition]
        said = probe["said"] or "nothing"
        return [f"{what}: nvidia-smi said {said!r} (exit code {probe['code']}). {remedy}"]
    stack = manifest.load(name)
    faults = []
    if not stack.supports_driver(probe["driver"]):
        needed = f"stack {name} needs {stack.minimum_driver} or newer"
        faults.append(f"The NVIDIA driver is {probe['driver']}; {needed}.")
    for gpu in _unfit(stack, probe):
        faults.append(
            f"{gpu['name']} has compute capability {gpu['capability']}; stack {name} has kernels for "
            f"{', '.join(stack.kernels)}."
        )
    if not faults:
        return []
    fitting = [other for other in manifest.names() if _fits(manifest.load(other), probe)]
    if fitting:
        return [f"{' '.join(faults)} Set sdops_stack: {' or '.join(fitting)}."]
    return [
        f"{' '.join(faults)} No other stack runs there either. Make the host anew from an image with a newer "
        "driver, or take another GPU; sdops never changes a driver."
    ]


def _fits(stack, probe):
    return stack.supports_driver(probe["driver"]) and not _unfit(stack, probe)


def _unfit(stack, probe):
    """GPUs that a stack has no kernels for, each kind once; those that do not tell what they are pass."""
    kinds = {}
    for gpu in probe["gpus"]:
        if gpu["capability"] and not stack.supports_gpu(gpu["capability"]):
            kinds.setdefault((gpu["name"], gpu["capability"]), gpu)
    return list(kinds.values())


def _installer_faults(found, wanted):
    if not found:
        return []
    url = _without_password(wanted["url"])
    if found["fault"]:
        return [
            f"Miniconda's installer, {url}, cannot be read from the host: {found['fault'].rstrip('.')}. Set "
            "miniconda_base_url to a place that has this file, or miniconda_version to one that is there."
        ]
    if found["sha256"] != wanted["sha256"]:
        return [
            f"{url} is not the file that is expected: its SHA-256 is {found['sha256']}, and not "
            f"{wanted['sha256']}. If it is your mirror's own and you trust it, set miniconda_sha256 to that."
        ]
    return []


def _address_faults(variable, url, file):
    if not url:
        return [] if file else [f"{variable} is empty. Set it to the address of the model hub."]
    forms = "http://, https:// or file://" if file else "http:// or https://"
    fault = (
        f"{variable} is {_without_password(url)!r}, which is no address. Set it to one that begins "
        f"with {forms}" + (", or leave it empty for the public one." if file else ".")
    )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return [fault]
    if re.search(r"\s", url) or parts.query or parts.fragment:
        return [fault]
    if file and parts.scheme == "file":
        return [] if parts.path.startswith("/") and not parts.netloc else [fault]
    return [] if parts.scheme in ("http", "https") and parts.hostname else [fault]


def _without_password(url):
    return re.sub(r"//[^/@]*@", "//…@", url)


def _shortened(text):
    """The beginning: of a private key that somebody pasted, the first line tells nothing."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 40 else line[:37] + "..."


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """The filters, by the names that tasks use."""
        return {
            "preflight_ansible_faults": ansible_faults,
            "preflight_setting_faults": setting_faults,
            "preflight_named_mirrors": named_mirrors,
            "preflight_host_facts": host_facts,
            "preflight_host_faults": host_faults,
            "preflight_boot_faults": boot_faults,
            "preflight_room_faults": room_faults,
            "preflight_gpu_faults": gpu_faults,
        }
