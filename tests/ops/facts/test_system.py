"""The probe ``system``: asked of this machine by a real shell, and read from texts."""

import os
import time
from pathlib import Path

import pytest
from sdops.facts import system
from sdops.facts.lines import UNSAID
from sdops.facts.probe import Output
from sdops.facts.system import Account, Disk
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

from . import asking
from .asking import ME

TEXT = """os_id=debian
os_version="12"
os_name="Debian GNU/Linux 12 (bookworm)"
clock=1669200000.250000000
kernel=6.1.0-27-amd64
architecture=x86_64
libc=glibc 2.36
uptime=86400.50
memory_total=16384000
memory_available=15360000
ntp=synchronised
reboot_required=yes
reboot_package=linux-image-6.1.0-28-amd64
kernel_installed=6.1.0-28-amd64
kernel_modules=no
login_uid=0
login=root
python=/usr/bin/python3
python_version=Python 3.11.2
tmux=no
sftp=yes
packages=yes
uid=1000
home=/home/sdops
shell=/bin/bash
home_there=yes
linger=yes
keys=2
guarded=1000 700 /home/sdops
guarded=1000 777 /home/sdops/.ssh
env=yes
disk=root /
disk=home /home/sdops
df=Filesystem     1024-blocks     Used Available Capacity Mounted on
df=/dev/vda1         52428800 20971520  31457280      40% /
df=//nas/a b         104857600 1024 -5 100% /home/on nas
df_inodes=Filesystem       Inodes  IUsed    IFree IUse% Mounted on
df_inodes=/dev/vda1        3276800 100000 3176800       4% /
df_inodes=//nas/a b              0      0       0       - /home/on nas
read_only=/home/on\\040nas
"""


def parse(text):
    return system.parse(Output(text), Wanted())


def ask(**fields):
    """What the probe tells of this machine."""
    return asking.ask(system.PROBE, **fields)[0]


def test_this_machine_tells_what_it_is():
    before = time.time()
    found = ask(prefix=ME.pw_dir)
    assert before - 1 < found.clock_utc < time.time() + 1
    assert found.kernel == os.uname().release
    assert found.architecture == os.uname().machine
    assert (found.login, found.login_uid) == (ME.pw_name, ME.pw_uid)
    assert (found.account.uid, found.account.home) == (ME.pw_uid, ME.pw_dir)
    assert found.memory_total_mib == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    disks = {disk.name: disk for disk in found.disks}
    assert Path(ME.pw_dir).is_relative_to(disks["home"].mount)
    free = os.statvfs(ME.pw_dir)
    assert disks["home"].free_mib == pytest.approx(free.f_bavail * free.f_frsize / 2**20, abs=200)


def test_an_account_that_is_not_there_is_none_and_not_unknown():
    found = ask(user="nobody-of-that-name")
    assert found.account is None
    assert found.env_there is False


def test_the_answer_is_read():
    found = parse(TEXT)
    assert (found.release_id, found.release_version, found.release) == (
        "debian",
        "12",
        "Debian GNU/Linux 12 (bookworm)",
    )
    assert (found.clock_utc, found.uptime_s, found.ntp) == (1669200000.25, 86400.5, "synchronised")
    assert found.reboot_packages == ("linux-image-6.1.0-28-amd64",)
    assert (found.reboot_required, found.kernel_gone) == (True, True)
    assert (found.memory_total_mib, found.memory_available_mib) == (16000, 15000)
    assert (found.python, found.tmux, found.sftp, found.half_installed) == ("3.11.2", False, True, ())
    assert found.account == Account(
        1000, "/home/sdops", "/bin/bash", home_there=True, linger=True, keys=2, loose=("/home/sdops/.ssh",)
    )
    assert found.disks == (
        Disk("root", "/", "/", 51200, 30720, 3176800),
        Disk("home", "/home/sdops", "/home/on nas", 102400, 0, None, read_only=True),
    )


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        pytest.param(("kernel_installed=6.1.0-28-amd64\n", ""), "kernel_gone", None, id="no-kernel-anywhere"),
        pytest.param(("kernel_modules=no", "kernel_modules=yes"), "kernel_gone", False, id="modules-there"),
        pytest.param(
            ("python=/usr/bin/python3\npython_version=Python 3.11.2", "python="), "python", "", id="no-python"
        ),
        pytest.param(
            ("=Python 3.11.2", "=pyenv: not found"), "python", UNSAID, id="a-python-that-does-not-run"
        ),
        pytest.param(("=1669200000.250000000", "=1669200000.%N"), "clock_utc", 1669200000.0, id="small-date"),
        pytest.param(("=1669200000.250000000", "="), "clock_utc", UNSAID, id="no-date"),
        pytest.param(("df=/dev/vda1", "gone=/dev/vda1"), "disks", UNSAID, id="a-disk-that-df-left-out"),
        pytest.param(
            ("memory_total=16384000", "memory_total=lots"), "memory_total_mib", UNSAID, id="no-number"
        ),
        pytest.param(("packages=yes\n", ""), "half_installed", UNSAID, id="no-dpkg"),
        pytest.param(
            ("packages=yes", "half_installed=curl\npackages=yes"),
            "half_installed",
            ("curl",),
            id="interrupted",
        ),
        pytest.param(('os_version="12"\n', ""), "release_version", UNSAID, id="a-rolling-release"),
        pytest.param(('"12"', '"12'), "release_version", UNSAID, id="a-torn-os-release"),
    ],
)
def test_what_is_odd_is_read_as_what_it_is(change, field, value):
    assert TEXT.count(change[0]) == 1
    assert getattr(parse(TEXT.replace(*change)), field) == value


def test_an_answer_that_was_cut_off_leaves_the_rest_unknown():
    """A probe that is stopped in the middle has printed whole lines."""
    lines, whole = TEXT.splitlines(keepends=True), parse(TEXT)
    for end in range(1, len(lines)):
        found = parse("".join(lines[:end]))
        for name in ("release_id", "tmux", "python", "reboot_required", "memory_total_mib", "env_there"):
            assert getattr(found, name) in (getattr(whole, name), UNSAID), (name, end)
        if isinstance(found.account, Account):
            assert found.account.linger in (True, UNSAID)
            assert found.account.keys in (2, UNSAID)


@pytest.mark.parametrize("text", ["", "\n\n", "sh: 1: syntax error", "\x00\xff"])
def test_what_is_no_answer_is_unknown(text):
    assert isinstance(system.PROBE.read(Output(text), Wanted()), Unknown)
