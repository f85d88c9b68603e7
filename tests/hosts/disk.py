"""A host's disk: a writable layer over the shared base, of a given size, in memory.

The layer is a tmpfs of just that size, so that a full disk is a real one, df tells the
truth, nothing waits for a sync, and throwing it away takes no time.
"""

from __future__ import annotations

from pathlib import Path

from .enclosure import Enclosure

MOUNT = """set -e
mkdir -p "$1/layer" "$1/root"
mount -t tmpfs -o "size=$3,mode=755" tmpfs "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work"
mount -t overlay -o "lowerdir=$2,upperdir=$1/layer/upper,workdir=$1/layer/work" overlay "$1/root"
"""


class Disk:
    """The mounts of one host's disk, inside the enclosure.

    inside: the root folder as the enclosure sees it. root: the same as seen from outside;
    there whether the host runs or not.
    """

    def __init__(self, enclosure: Enclosure, folder: Path, base: Path, size: str) -> None:
        """folder: where to mount. base: the layer below. size: as tmpfs takes it (``20G``)."""
        self._enclosure = enclosure
        self._folder = folder
        self.inside = folder / "root"
        self.root = enclosure.root / self.inside.relative_to("/")
        enclosure.run(["sh", "-c", MOUNT, "mount", folder, base, size])

    def close(self) -> None:
        """Throws the disk away with all that was written to it."""
        # Lazily, because the kernel may still be taking the last processes of the guest apart.
        self._enclosure.run(["umount", "--lazy", self.inside, self._folder / "layer"])
