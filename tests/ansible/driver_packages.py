"""Debian packages that stand for parts of NVIDIA's driver: they are empty, and only named like them."""

from __future__ import annotations

import hashlib

from hosts.gpu import install_fake_gpu
from hosts.host import Host

PARTS = ["libnvidia-compute-535", "nvidia-driver-535"]

CONTROL = """\
Package: {}
Version: {}
Architecture: {}
Multi-Arch: {}
Maintainer: Nobody <nobody@invalid>
Description: stands for a part of NVIDIA's driver
"""


def control(name: str, version: str, architecture: str = "all") -> str:
    """What a package says of itself."""
    return CONTROL.format(name, version, architecture, "foreign" if architecture == "all" else "same")


def package(host: Host, name: str, version: str, architecture: str = "all") -> str:
    """Builds an empty Debian package on a host and returns its path there."""
    folder = f"/srv/build/{name}-{version}-{architecture}"
    path = f"/srv/apt/{name}_{version}_{architecture}.deb"
    host.put(f"{folder}/DEBIAN/control", control(name, version, architecture))
    host.inside(["mkdir", "-p", "/srv/apt"])
    host.inside(["dpkg-deb", "--build", folder, path])
    return path


def upgrade(host: Host, version: str, *names: str) -> None:
    """Upgrades a host by apt from a folder that offers these packages, newer, and nothing else."""
    stanzas = []
    for name in names:
        path = package(host, name, version)
        content = host.root.joinpath(path.lstrip("/")).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        tail = f"Filename: {path.removeprefix('/srv/apt/')}\nSize: {len(content)}\nSHA256: {digest}\n"
        stanzas.append(control(name, version) + tail)
    host.put("/srv/apt/Packages", "\n".join(stanzas))
    host.put("/etc/apt/sources.list.d/driver.list", "deb [trusted=yes] file:/srv/apt ./\n")
    only = ["-o", "Dir::Etc::sourcelist=/dev/null"]
    host.inside(["apt-get", *only, "update"])
    host.inside(["apt-get", *only, "--yes", "dist-upgrade"])


def held(host: Host) -> list[str]:
    """The packages that are held on a host."""
    return host.inside(["apt-mark", "showhold"]).stdout.split()


def noted(host: Host) -> list[str]:
    """The packages that sdops holds on a host."""
    return host.inside(["cat", "/var/lib/sdops/held-packages"]).stdout.split()


def install(host: Host) -> None:
    """A driver that runs an A100: its packages, nvidia-smi, and the GPU that the look-alike torch sees."""
    version = "535.129.03"
    host.inside(["dpkg", "--install", *(package(host, name, version) for name in PARTS)])
    host.inside(["rm", "-r", "/srv/apt", "/srv/build"])
    heading = f"Driver Version: {version}  CUDA Version: 12.2\n"
    install_fake_gpu(host, {"": heading, "*": "A100, 10240, 8.0\n"})
    host.put("/usr/local/share/fake-torch-gpu.json", '{"capability": [8, 0]}')
