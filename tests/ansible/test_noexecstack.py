"""Libraries that ask for an executable stack, which new C libraries refuse, are mended; others are not."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "ansible" / "roles" / "stack_env" / "files" / "noexecstack.py"
LOAD, STACK = 1, 0x6474E551
READ_WRITE, ALL = 6, 7


def library(*headers: tuple[int, int]) -> bytes:
    """The beginning of a shared library with program headers of these types and flags."""
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQI", 3, 62, 1, 0, 64, 0, 0)
    head += struct.pack("<HHHHHH", 64, 56, len(headers), 0, 0, 0)
    return head + b"".join(struct.pack("<II", *header).ljust(56, b"\0") for header in headers) + b"code"


def mend(folder: Path) -> list[str]:
    command = [sys.executable, PROGRAM, folder]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_the_stacks_flag_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    path = tmp_path / "torch" / "libtorch_cpu.so.1"
    path.write_bytes(library((LOAD, ALL), (STACK, ALL)))
    assert mend(tmp_path) == [str(path)]
    assert path.read_bytes() == library((LOAD, ALL), (STACK, READ_WRITE))
    assert mend(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(library((LOAD, ALL), (STACK, READ_WRITE)), id="asks for none"),
        pytest.param(library((LOAD, ALL)), id="says nothing"),
        pytest.param(library((STACK, ALL))[:40], id="cut off"),
        pytest.param(b"INPUT(libx.so.1)\n", id="linker script"),
        pytest.param(b"", id="empty"),
    ],
)
def test_other_files_are_left_as_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(content)
    (tmp_path / "link.so").symlink_to("missing.so")
    assert mend(tmp_path) == []
    assert path.read_bytes() == content
