"""`sdops run` where it cannot run: each reason is an error of its own, whose remedy helps when typed."""

from __future__ import annotations

import re
import shutil
import zipfile

import pytest
from people import Person, wait_for

pytestmark = pytest.mark.hosts

#: --force: what an earlier command made must not be taken for the answer.
SMALL = ("--model", "demo", "--width", "96", "--steps", "4", "--strength", "0.5", "--overwrite", "--force")
HOME = "/home/sdops"
LAUNCHER = f"{HOME}/.local/bin/sdops-runtime"
ARCHIVE = f"{HOME}/.local/lib/sdops/sdops-runtime.pyz"
UNIT = f"{HOME}/.config/systemd/user/sdops-runtime.service"
QUEUE = f"{HOME}/.local/share/sdops"
OWN = "systemctl --user -M sdops@"


@pytest.fixture
def person(lab, maker, tmp_path, photo):
    one = Person.of(lab, tmp_path / "her", maker)
    shutil.copy(photo, one.folder / "photo.jpg")
    return one


def asked(host, *words):
    return ("run", "photo.jpg", "a hat", *SMALL, "--host", host.name, *words)


def fails(person, host, code, *words):
    """What is said of a job that cannot be, in words; the error's hint."""
    shown = person.sdops(*asked(host, *words))
    assert (shown.rc, shown.stdout) == (1, "")
    assert "Traceback" not in shown.stderr
    document = person.json(*asked(host, *words))
    assert (document["ok"], document["error"]["code"]) == (False, code), document
    assert " ".join(document["error"]["message"].split()) in " ".join(shown.stderr.split())
    # Nothing is remembered of a job that no host has.
    assert person.tickets() == []
    return document["error"]


def works(person, host):
    ran = person.sdops(*asked(host))
    assert ran.rc == 0, ran.stdout + ran.stderr


def commands(text):
    """The commands in a hint."""
    return re.findall(r"(?:ansible-playbook|sdops|ssh) .*", text)


def other_runtime(host, protocol=False):
    """Puts a runtime on the host that is not the one of this checkout."""
    place = host.root / ARCHIVE.lstrip("/")
    with zipfile.ZipFile(place) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if protocol:
        name = "sdops_runtime/protocol.py"
        files[name] = re.sub(rb"(?m)^PROTOCOL = \d+", b"PROTOCOL = 99", files[name])
    with zipfile.ZipFile(place, "w") as archive:
        for name, data in {**files, "extra.txt": b"another version"}.items():
            archive.writestr(name, data)


def shell(text):
    return lambda host: host.inside(["sh", "-ec", text])


#: What is the matter with the host's runtime; what is said of it. The remedy is typed.
DEPLOYED = {
    "missing": (shell(f"rm {LAUNCHER}"), "runtime-missing"),
    "other": (other_runtime, "runtime-stale"),
    "older": (lambda host: other_runtime(host, protocol=True), "protocol-mismatch"),
}


@pytest.mark.parametrize("name", DEPLOYED)
def test_another_runtime_or_none_is_deployed_by_the_command_that_is_printed(person, maker, name):
    fault, code = DEPLOYED[name]
    fault(maker)
    (command,) = commands(fails(person, maker, code)["hint"])
    assert command.endswith(f"-l {maker.name} --tags runtime")
    person.types(command)
    works(person, maker)


#: What only doctor can tell.
EXAMINED = {
    "launcher": (f"chmod a-x {LAUNCHER}", "runtime-missing", "no runtime"),
    "damaged": (f"echo garbage >{ARCHIVE}", "runtime-broken", "garbage"),
    "unit": (f"sed -i s,^ExecStart=.*,ExecStart=/bin/false, {UNIT}", "worker-dead", "exit-code"),
    "program": (f"sed -i s,^ExecStart=.*,ExecStart=/no, {UNIT}", "worker-dead", "No such file or directory"),
}


@pytest.mark.parametrize("name", EXAMINED)
def test_what_does_not_start_is_said_with_its_reason_and_left_to_doctor(person, maker, name):
    fault, code, why = EXAMINED[name]
    renew = f"{OWN} daemon-reload; {OWN} stop sdops-runtime"
    files = f"{LAUNCHER} {ARCHIVE} {UNIT}"
    shell(f"mkdir {HOME}/aside; cp -a {files} {HOME}/aside; {fault}; {renew}")(maker)
    try:
        error = fails(person, maker, code)
    finally:
        shell(f"for f in {files}; do mv {HOME}/aside/${{f##*/}} $f; done; rmdir {HOME}/aside; {renew}")(maker)
    assert why in error["message"]
    assert not error["message"].endswith("..")
    (command,) = commands(error["hint"])
    # What doctor says of each, and that it helps: see test_doctor.
    assert command == f"sdops doctor {maker.name}" or command.endswith("--tags runtime")
    works(person, maker)


def test_a_service_that_was_stopped_is_started_by_the_job(person, maker):
    maker.inside(["sh", "-ec", f"{OWN} stop sdops-runtime"])
    works(person, maker)
    assert maker.inside(["sh", "-c", f"{OWN} is-active sdops-runtime"]).stdout == "active\n"


@pytest.mark.parametrize("folder", ["miniconda3/envs/env1", "miniconda3"])
def test_an_environment_that_is_gone_is_said_with_the_tags_that_make_it(person, maker, folder):
    maker.inside(["mv", f"{HOME}/{folder}", f"{HOME}/aside"])
    try:
        error = fails(person, maker, "stack-missing")
    finally:
        maker.inside(["mv", f"{HOME}/aside", f"{HOME}/{folder}"])
    (command,) = commands(error["hint"])
    assert command.endswith(f"-l {maker.name} --tags miniconda,stack_env")
    works(person, maker)


def test_a_key_that_the_account_does_not_know_is_said_to_need_the_playbook(person, maker):
    maker.inside(["mv", f"{HOME}/.ssh/authorized_keys", f"{HOME}/aside"])
    try:
        error = fails(person, maker, "login-refused")
    finally:
        maker.inside(["mv", f"{HOME}/aside", f"{HOME}/.ssh/authorized_keys"])
    assert "sdops" in error["message"]
    # It lets in whom root lets in; see the role service_user.
    (command,) = commands(error["hint"])
    assert command.endswith(f"site.yml -l {maker.name}")


def test_a_host_without_the_account_is_said_to_need_the_playbook(person, maker):
    maker.inside(["sed", "-i", "s/^sdops:/else:/", "/etc/passwd"])
    try:
        error = fails(person, maker, "login-refused")
    finally:
        maker.inside(["sed", "-i", "s/^else:/sdops:/", "/etc/passwd"])
    (command,) = commands(error["hint"])
    assert command.endswith(f"site.yml -l {maker.name}")


def test_an_account_that_may_run_nothing_is_said(person, maker):
    maker.inside(["usermod", "--shell", "/usr/sbin/nologin", "sdops"])
    try:
        error = fails(person, maker, "runtime-broken")
    finally:
        maker.inside(["usermod", "--shell", "/bin/bash", "sdops"])
    assert error["message"].endswith("This account is currently not available.")


def test_a_disk_of_the_host_that_is_full_is_said_before_anything_is_sent(person, maker):
    works(person, maker)
    for ticket in person.tickets():
        (person.folder / f".local/state/sdops/jobs/{ticket}.json").unlink()
    maker.inside(
        [
            "sh",
            "-ec",
            f"{OWN} stop sdops-runtime; mount -t tmpfs -o size=60m,mode=0700 tmpfs {QUEUE}; "
            f"chown sdops: {QUEUE}",
        ]
    )
    try:
        error = fails(person, maker, "disk-full")
        assert maker.inside(["sh", "-c", f"ls {QUEUE}/inputs"], check=False).stdout == ""
    finally:
        maker.inside(["sh", "-ec", f"{OWN} stop sdops-runtime; umount {QUEUE}"])
    (command,) = commands(error["hint"])
    assert command == f"sdops prune --days 0 --host {maker.name}"
    person.types(command)
    works(person, maker)


@pytest.fixture
def small_gpu(maker):
    """A stand-in for nvidia-smi that tells of a GPU of 1100 MiB; the worker's own word is taken away."""
    place = "/usr/local/bin/nvidia-smi"
    maker.put(place, "#!/bin/sh\necho 'GRID A100X-1C, 1100, 1000'\n", mode=0o755)
    maker.inside(["rm", "-f", f"{QUEUE}/gpu.json"])
    yield
    maker.inside(["rm", place])


def test_a_size_that_does_not_fit_into_the_gpu_is_refused_before_anything_is_sent(person, maker, small_gpu):
    maker.inside(["sh", "-c", f"rm -rf {QUEUE}/inputs"])
    error = fails(person, maker, "out-of-memory", "--width", "2048")
    assert "GRID A100X-1C" in error["message"]
    width = re.search(r"--width (\d+)", error["hint"])[1]
    assert 512 <= int(width) < 2048
    assert maker.inside(["sh", "-c", f"ls {QUEUE}/inputs"], check=False).stdout == ""


def test_what_the_gpus_memory_will_lower_is_said_before_the_upload(person, maker, small_gpu):
    shown = person.sdops(*asked(maker, "--width", "1024", "--detach"))
    assert shown.rc == 0, shown.stderr
    assert "encoded and decoded in tiles" in " ".join(shown.stderr.split())
    assert person.sdops("cancel", person.tickets()[-1]).rc == 0


def test_a_disk_here_that_fills_up_loses_nothing(person, maker, lab):
    """The job goes on at its host, and attach fetches what did not fit."""
    inside = lab.controller.run
    out = person.folder / "out"
    out.mkdir()
    inside(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", out])
    try:
        running = person.start(*asked(maker, "--images", "60", "--seed", "7", "--out", "out"))
        wait_for(lambda: "[3/60]" in running.err or running.ended(), "three pictures")
        inside(["sh", "-c", f"head -c 50M /dev/zero >{out}/filler; true"])
        assert running.wait() == 1
        assert "Traceback" not in running.err
        assert "sdops attach" in running.err
        inside(["rm", f"{out}/filler"])
        attached = person.sdops("attach")
        assert attached.rc == 0, attached.stderr
        names = [name for name in inside(["ls", out]).stdout.split() if name.endswith(".png")]
        assert sorted(names) == sorted(f"photo-{number}.png" for number in range(7, 67))
    finally:
        inside(["umount", out])
