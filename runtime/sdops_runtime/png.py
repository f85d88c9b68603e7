"""Writes result pictures as PNG files that say how they were made, and reads that again.

A file appears under its name whole or not at all, and its bytes depend on the
picture, the record and Pillow only. Nothing of the input's own metadata, and
no path, gets into it. Reading decodes no pixels and trusts nothing in the file.
"""

import errno
import os
import secrets
import shlex
import zlib
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Optional

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdops_runtime.errors import SdopsError
from sdops_runtime.images import open_file, shown
from sdops_runtime.record import Record, from_json, parameters

#: Keyword of our text chunk, and of the one that other Stable Diffusion programs read and write.
KEYWORD, PARAMETERS = "sdops", "parameters"
#: On five photographs of 512x512, clean and noisy, with both Pillows: level 1 takes 0.2 to 0.6 of the
#: default's (6) time for 0.88 to 1.13 of its size; level 9 up to 6 times the time for 0.97 to 1.00.
COMPRESS_LEVEL = 1

#: Far above any prompt, far below what could hurt.
_MAX_RECORD = 4 * 2**20
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AGAIN = "Copy it again."
_ONLY = "Only PNG files made by sdops carry settings, until another program saves them again."
_MAX_CHUNKS = 1_000_000
#: File systems without hard links (FAT, some network and FUSE ones) answer with one of these.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def save_png(image: Image.Image, path: Path, record: Record, overwrite: bool = False) -> str:
    """Writes ``image`` (RGB) with its record to ``path``; returns the SHA-256 of the file, hex.

    When it returns, the file is on the disk; when it raises, nothing is left
    but what was there. Raises SdopsError: output-exists (never if
    ``overwrite``), output-unwritable or disk-full.
    """
    return keep(_encode(image, record), path, overwrite)


def keep(data: bytes, path: Path, overwrite: bool = False) -> str:
    """Writes the bytes of a finished picture; otherwise as ``save_png``."""
    temporary = path.parent / f".sdops-{secrets.token_hex(8)}.part"
    try:
        try:
            _write(temporary, data)
            if overwrite:
                temporary.replace(path)
            else:
                _publish(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise _refused(error, path) from error
    _sync_folder(path.parent)
    return sha256(data).hexdigest()


def read_record(path: Path) -> Record:
    """How the picture in ``path`` was made.

    Raises SdopsError: metadata-missing for a PNG without a record of sdops;
    metadata-damaged where it is cut off or damaged, or its record is;
    metadata-newer; image-missing, or image-unreadable for what is no PNG.
    """
    name = shown(path.name)
    text = _text_of(path, KEYWORD)
    if text is None:
        raise SdopsError(
            "metadata-missing",
            f"{name} carries no settings of sdops.",
            _ONLY,
        )
    return from_json(text, name)


def carries(path: Path, keyword: str) -> bool:
    """Whether a PNG is there in which a text of that keyword can be read, however large its picture is."""
    try:
        return _text_of(path, keyword) is not None
    except SdopsError:
        return False


def _encode(image: Image.Image, record: Record) -> bytes:
    clean = image.convert("RGB")
    clean.info = {}  # Pillow would write a colour profile or transparency that stands there.
    chunks = PngInfo()
    text = parameters(record).replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    chunks.add_text(PARAMETERS, text)
    chunks.add_itxt(KEYWORD, record.to_json())
    buffer = BytesIO()
    clean.save(buffer, "PNG", pnginfo=chunks, compress_level=COMPRESS_LEVEL)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


def _publish(temporary: Path, path: Path) -> None:
    """Gives a finished file its name, unless that is taken: whoever is first, wins."""
    try:
        os.link(temporary, path)
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    # Second best: reserve the name, then replace the reservation. A crash between leaves an empty file.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        temporary.replace(path)
    except BaseException:
        path.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Makes the new name survive a power cut, where the folder may be read and the disk can do it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refused(error: OSError, path: Path) -> SdopsError:
    name, folder = shown(path), shown(path.parent)
    elsewhere = "or write elsewhere with --out."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        whose = "The disk of" if error.errno == errno.ENOSPC else "Your disk quota for"
        look = f"df -h {shlex.quote(folder)}"
        return SdopsError("disk-full", f"{whose} {folder} is full.", f"Free some space ({look}), {elsewhere}")
    if error.errno == errno.EEXIST:
        return SdopsError(
            "output-exists",
            f"{name} is there already.",
            "Use another --seed or --out, or --overwrite to replace.",
        )
    code = "output-unwritable"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        make = f"mkdir -p {shlex.quote(folder)}"
        return SdopsError(code, f"There is no folder {folder}.", f"Make it ({make}), {elsewhere}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        look = f"ls -ld {shlex.quote(folder)}"
        return SdopsError(
            code, f"Nothing may be written to {folder}: {error.strerror}.", f"Look at {look}, {elsewhere}"
        )
    return SdopsError(
        code, f"{name} cannot be written: {error.strerror}.", "Choose another place with --out."
    )


def _text_of(path: Path, keyword: str) -> Optional[str]:
    """The first text of a keyword that can be read; None where a whole PNG has none.

    Raises SdopsError: image-missing, image-unreadable, metadata-damaged.
    """
    name = shown(path.name)
    try:
        with open_file(path) as stream:
            start = stream.read(len(_SIGNATURE))
            if not start:
                raise SdopsError("image-unreadable", f"{name} is empty.", _AGAIN)
            if not _SIGNATURE.startswith(start):
                raise SdopsError("image-unreadable", f"{name} is no PNG.", _ONLY)
            return _find(stream, keyword.encode())
    except _BrokenError as error:
        raise SdopsError("metadata-damaged", f"{name} is {error}.", _AGAIN) from error
    except OSError as error:
        raise SdopsError("image-unreadable", f"{name} cannot be read: {error.strerror}.") from error


class _BrokenError(Exception):
    """What a PNG is, instead of whole."""


def _find(stream: BinaryIO, keyword: bytes) -> Optional[str]:
    """As ``_text_of``, from behind the signature, in whichever kind of text chunk another program made of it.

    Pixels are passed over. Raises _BrokenError.
    """
    damaged = False
    for _ in range(_MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            raise _BrokenError("cut off")
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if length >= 2**31 or not kind.isalpha():
            raise _BrokenError("damaged")
        if kind == b"IEND":
            break
        if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= _MAX_RECORD:
            data, check = stream.read(length), stream.read(4)
            if len(check) < 4:
                raise _BrokenError("cut off")
            name, ended, rest = data.partition(b"\0")
            if zlib.crc32(kind + data) != int.from_bytes(check, "big"):
                damaged = True  # whose keyword it really has, nobody knows
            elif name == keyword:
                text = _text(kind, rest) if ended else None
                if text is not None:
                    return text
                damaged = True
        else:
            stream.seek(length + 4, os.SEEK_CUR)
    if damaged:
        raise _BrokenError("damaged")
    return None


def _text(kind: bytes, rest: bytes) -> Optional[str]:
    """What stands behind the keyword of a text chunk (PNG specification, 11.3.3); None if it is broken."""
    packed, encoding = kind == b"zTXt", "utf-8" if kind == b"iTXt" else "latin-1"
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    try:
        if packed:
            unpack = zlib.decompressobj()
            rest = unpack.decompress(rest, _MAX_RECORD)
            if not unpack.eof:
                return None
        return rest.decode(encoding)
    except (zlib.error, ValueError):
        return None
