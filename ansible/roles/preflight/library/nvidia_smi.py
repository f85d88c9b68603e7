"""Ansible module: reads the NVIDIA driver and GPUs from nvidia-smi in all its forms. Changes nothing.

The functions above ``main`` are pure: text in, values out. Runs on the host's own Python, 3.9 or later.
"""

import re
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: nvidia_smi
short_description: Read the NVIDIA driver and GPUs
description: >-
  Changes nothing: no driver is installed, loaded, upgraded or restarted. Any failure of nvidia-smi is a
  result, told apart in C(state).
options:
  timeout:
    description: Seconds that one call of nvidia-smi may take.
    type: int
    required: true
author: sdops
"""

#: In tables, ``-q`` and ``--version``. From driver 610 on it is KMD Version and CUDA UMD Version, and what
#: stands behind the older words is "Deprecated".
DRIVER = re.compile(r"\b(?:KMD|driver)\s+version\s*:\s*(\d[\d.]*)", re.IGNORECASE)
CUDA = re.compile(r"\bCUDA\s+(?:UMD\s+)?version\s*:\s*(\d[\d.]*)", re.IGNORECASE)

#: States by what the tool says; its exit codes (man page, RETURN VALUE) decide where it says nothing known.
SAYINGS = (
    ("mismatch", "driver/library version mismatch"),
    ("not-running", "couldn't communicate with the nvidia driver"),
    ("no-devices", "no devices were found"),
    ("blocked", "blocked by the operating system"),
    ("lost", "gpu is lost"),
    ("lost", "unable to determine the device handle"),
    ("lost", "gpu requires reset"),
    ("no-library", "couldn't find libnvidia-ml"),
    ("no-permission", "insufficient permissions"),
)
CODES = {4: "no-permission", 6: "no-devices", 9: "not-running", 12: "no-library", 15: "lost", 18: "mismatch"}

#: The infoROM of a GPU is damaged, which the tool warns of; the GPU works.
INFOROM = 14

FIELDS = ("name", "memory.total", "compute_cap")


def versions(text):
    """Driver and highest CUDA version that a text of nvidia-smi names, "" for what it does not."""
    driver, cuda = DRIVER.search(text), CUDA.search(text)
    return {"driver": driver[1] if driver else "", "cuda": cuda[1] if cuda else ""}


def state(code, text):
    """What a call of nvidia-smi tells of the driver: ``ok`` or the kind of its failure."""
    low = text.lower()
    if DRIVER.search(text) and code in (0, INFOROM):
        return "ok"
    for name, saying in SAYINGS:
        if saying in low:
            return name
    return CODES.get(code, "failed")


def gpus(text, fields):
    """GPUs from CSV without heading and units: name, memory_mb and capability; None for what is not told."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(fields):
            continue
        row = dict(zip(fields, cells))
        memory, capability = row["memory.total"], row.get("compute_cap", "")
        found.append(
            {
                "name": row["name"],
                "memory_mb": int(memory) * 1024 * 1024 // 1_000_000 if memory.isdigit() else None,
                "capability": capability if re.fullmatch(r"\d+\.\d+", capability) else None,
            }
        )
    return found


def call(arguments, timeout):
    """Exit code and output of nvidia-smi; 124 when it does not answer in time."""
    try:
        ran = subprocess.run(
            ["nvidia-smi", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, ""
    except OSError as error:
        return 126, str(error)
    return ran.returncode, ran.stdout.decode("utf-8", "replace")


def query(timeout):
    """All GPUs; without their compute capability where the driver (before 510 or so) cannot tell it."""
    for fields in (FIELDS, FIELDS[:2]):
        code, text = call([f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"], timeout)
        if code in (0, INFOROM):
            return gpus(text, fields)
    return []


def on_the_bus():
    """How many GPUs of NVIDIA's the host's PCI bus has, driver or not."""
    count = 0
    for device in Path("/sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = (
                (device / name).read_text(encoding="ascii").strip() for name in ("vendor", "class")
            )
        except OSError:
            continue
        # 0x03....: display controllers, 3D controllers among them.
        count += vendor == "0x10de" and kind.startswith("0x03")
    return count


def read(timeout):
    """Everything that nvidia-smi tells."""
    nothing = {"driver": "", "cuda": "", "gpus": [], "said": ""}
    if not shutil.which("nvidia-smi"):
        return {**nothing, "state": "absent"}
    code, text = call([], timeout)
    if code == 124:
        return {**nothing, "state": "hangs"}
    said = " ".join(text.split())[:200]
    now = state(code, text)
    if now != "ok":
        return {**nothing, "state": now, "said": said, "code": code}
    return {**nothing, **versions(text), "state": "ok", "gpus": query(timeout)}


def main():
    """Reads and answers."""
    module = AnsibleModule(
        argument_spec={"timeout": {"type": "int", "required": True}}, supports_check_mode=True
    )
    found = read(module.params["timeout"])
    module.exit_json(changed=False, on_the_bus=on_the_bus() if found["state"] != "ok" else None, **found)


if __name__ == "__main__":
    main()
