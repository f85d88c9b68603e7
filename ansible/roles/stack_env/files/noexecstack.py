"""noexecstack.py FOLDER: libraries below it ask for no executable stack any more. Names those changed.

torch of the guide's time asks for one, only because a piece of assembly in it does not say that it
needs none, and from glibc 2.41 on (Debian 13) such a library is not loaded:
https://github.com/conda-forge/pytorch-cpu-feedstock/issues/350. What is changed is one bit of the
file, in place, so that conda's cache of packages, which shares the file, has it too.
"""

import os
import struct
import sys
from pathlib import Path

# Of the ELF format, 64 bits, little-endian; see elf(5).
IDENT = b"\x7fELF\x02\x01"
PT_GNU_STACK, PF_X = 0x6474E551, 1


def clear(path):
    """Whether the file asked for an executable stack; it asks no more."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:6] != IDENT or len(head) < 64:
            return False
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, number = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * number)
    for entry in range(0, len(table) - 7, size):
        kind, flags = struct.unpack_from("<II", table, entry)
        if kind == PT_GNU_STACK and flags & PF_X:
            with path.open("rb+") as file:
                file.seek(offset + entry + 4)
                file.write(struct.pack("<I", flags & ~PF_X))
            return True
    return False


for folder, _, names in os.walk(sys.argv[1]):
    for name in sorted(names):
        found = Path(folder, name)
        if ".so" in name and not found.is_symlink() and clear(found):
            print(found)  # noqa: T201
