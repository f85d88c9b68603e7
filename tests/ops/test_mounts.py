"""Mounts: found by any way to them, and what to type. Real ones: tests/ansible/test_mount_and_shell.py."""

import shlex

import pytest
from sdops import mounts
from sdops.errors import SdopsError
from sdops.transport import split_hint

DNF = "sudo dnf install fuse-sshfs"


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """A folder with a name that shells cut, in which the system shows a mount of gpu1."""
    folder = tmp_path / "her own" / "gpu1"
    folder.mkdir(parents=True)
    table = tmp_path / "mountinfo"
    shown = str(folder).replace(" ", "\\040")
    table.write_text(f"36 35 0:40 / {shown} rw,nosuid - fuse.sshfs sdops+:gpu1 rw,user_id=0\n")
    monkeypatch.setattr(mounts, "_TABLE", table)
    monkeypatch.chdir(tmp_path)
    return folder


def typed(error):
    """The command of a hint, as a shell reads it."""
    (command,) = split_hint(error.hint)[1]
    return shlex.split(command)


@pytest.mark.parametrize(
    "word", ["gpu1", "her own/gpu1", "./her own/gpu1/", "lnk/gpu1", "lnk/../her own/gpu1"]
)
def test_a_mount_is_found_by_its_host_and_by_every_way_to_its_folder(mounted, tmp_path, word):
    (tmp_path / "lnk").symlink_to("her own")
    assert mounts.find(word) == mounts.Mount("gpu1", mounted, made=True)


@pytest.mark.parametrize("word", ["lnk", "her own", "gpu2"])
def test_another_folder_is_not_mounted(mounted, tmp_path, word):
    (tmp_path / "lnk").symlink_to("her own")
    with pytest.raises(SdopsError) as raised:
        mounts.find(word)
    assert (raised.value.code, f"gpu1 at {mounted}" in raised.value.hint) == ("mount-unknown", True)


@pytest.mark.parametrize("way", ["her own/gpu1", "lnk/gpu1"])
def test_what_is_mounted_already_is_unmounted_by_the_line_that_is_shown(mounted, tmp_path, way):
    (tmp_path / "lnk").symlink_to("her own")
    with pytest.raises(SdopsError) as raised:
        mounts.mount(None, "gpu1", "", way)  # it does not come to a login
    assert raised.value.code == "mount-taken"
    *command, folder = typed(raised.value)
    assert command == ["sdops", "unmount"]
    assert mounts.find(folder).folder == mounted


def test_a_full_folder_is_refused_with_a_line_that_can_be_typed(tmp_path):
    full = tmp_path / "my $pictures; rm"
    full.mkdir()
    (full / "one").touch()
    with pytest.raises(SdopsError) as raised:
        mounts.mount(None, "gpu1", "", full)
    assert typed(raised.value) == ["sdops", "mount", "gpu1", f"{full}-on-gpu1"]


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("ID=debian\n", "sudo apt install sshfs"),
        ("ID=ubuntu\nID_LIKE=debian\n", "sudo apt install sshfs"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "sudo apt install sshfs"),
        ("ID=pop\nID_LIKE='ubuntu debian'\n", "sudo apt install sshfs"),
        ("ID=fedora\n", DNF),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', f"sudo dnf install epel-release && {DNF}"),
        ("ID=arch\n", "sudo pacman -S sshfs"),
        ('ID_LIKE="arch"\nID=manjaro\n', "sudo pacman -S sshfs"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "sudo zypper install sshfs"),
        ("ID=alpine\n", "sudo apk add sshfs"),
        ("ID=gentoo\n", "sudo emerge net-fs/sshfs"),
        ("ID=nixos\n", "nix-shell -p sshfs"),
        ('ID="void"\n', "sudo xbps-install fuse-sshfs"),
    ],
    ids=lambda value: value.partition("\n")[0] if value.startswith("ID") else "",
)  # fmt: skip
def test_each_system_is_told_how_it_installs_sshfs(tmp_path, monkeypatch, release, line):
    file = tmp_path / "os-release"
    file.write_text(f'PRETTY_NAME="ID=arch"\nVERSION_ID="12"\n{release}')
    monkeypatch.setattr(mounts, "_RELEASE", file)
    monkeypatch.setattr(mounts.platform, "system", lambda: "Linux")
    monkeypatch.setattr(mounts.shutil, "which", lambda name: None)
    assert mounts.install_line() == line
    with pytest.raises(SdopsError) as raised:
        mounts.check()
    assert (raised.value.code, split_hint(raised.value.hint)[1]) == ("sshfs-missing", (line,))


@pytest.mark.parametrize("release", ["ID=haiku\n", None], ids=["another", "no-file"])
def test_a_system_that_is_not_known_is_told_what_to_look_for(tmp_path, monkeypatch, release):
    file = tmp_path / "os-release"
    if release:
        file.write_text(release)
    monkeypatch.setattr(mounts, "_RELEASE", file)
    monkeypatch.setattr(mounts.platform, "system", lambda: "Linux")
    monkeypatch.setattr(mounts.shutil, "which", lambda name: None)
    assert mounts.install_line() == ""
    with pytest.raises(SdopsError) as raised:
        mounts.check()
    assert raised.value.hint == "Install it: in most systems its package is called sshfs."


def test_macos_is_told_how_it_installs_sshfs(monkeypatch):
    monkeypatch.setattr(mounts.platform, "system", lambda: "Darwin")
    assert mounts.install_line() == "brew install --cask macfuse && brew install gromgit/fuse/sshfs-mac"
