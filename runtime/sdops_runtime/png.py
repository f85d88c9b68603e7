"""Writes result pictures as PNG files that say how they were made, and reads that again.

A file appears under its name whole or not at all, and its bytes depend on the
picture, the record and Pillow only. Nothing of the input's own metadata, and
no path, gets into it. Reading decodes no pixels and trusts nothing in the file.
"""

import errno
import json
import os
import re
import secrets
import shlex
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union, get_args, get_origin, get_type_hints

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdops_runtime import __version__
from sdops_runtime.errors import SdopsError
from sdops_runtime.images import open_file, shown

#: Raised by one whenever an older reader could misunderstand a record.
SCHEMA = 1
#: Keyword of our text chunk, and of the one that other Stable Diffusion programs read and write.
KEYWORD, PARAMETERS = "sdops", "parameters"
#: What they call the sampler that this project uses.
SAMPLER = "PLMS"

#: On five photographs of 512x512, clean and noisy, with both Pillows: level 1 takes 0.2 to 0.6 of the
#: default's (6) time for 0.88 to 1.13 of its size; level 9 up to 6 times the time for 0.97 to 1.00.
COMPRESS_LEVEL = 1

#: Far above any prompt, far below what could hurt.
_MAX_RECORD = 4 * 2**20
_MAX_CHUNKS = 1_000_000
#: File systems without hard links (FAT, some network and FUSE ones) answer with one of these.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class Record:
    """Everything that makes the same picture again, but the input's pixels and the model's weights.

    model: hub id, or a local folder's base name (a path is cut down to it).
    revision: the resolved commit, None for a folder. versions: of python,
    torch, diffusers, transformers and Pillow. batch: pictures computed
    together. input_sha256: hex, of the input file's bytes; input_size: its
    width and height, upright. flagged: the safety checker blackened the
    picture. retried_float32: made again in float32 after values overflowed.
    """

    model: str
    revision: Optional[str]
    stack: Optional[str]
    versions: Mapping[str, str]
    device: str
    dtype: str
    batch: int
    prompt: str
    seed: int
    index: int
    strength: float
    guidance: float
    steps: int
    width: int
    height: int
    background: str
    input_sha256: str
    input_size: tuple[int, int]
    flagged: Optional[bool]
    retried_float32: bool
    negative_prompt: Optional[str] = None
    model_hash: Optional[str] = None
    sdops: str = __version__
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _public_name(self.model))
        object.__setattr__(self, "versions", dict(self.versions))

    def to_json(self) -> str:
        """One JSON object, sorted keys, ASCII (so that any odd character of a prompt comes back)."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)


def parameters(record: Record) -> str:
    """The record in the words that Stable Diffusion programs exchange: prompt, negative prompt, settings.

    The form has no escapes for prompts: they stand there as they are, on as
    many lines as they have. Our own JSON is the exact record.
    """
    settings = {
        "Steps": record.steps,
        "Sampler": SAMPLER,
        "CFG scale": format(record.guidance, ".12g"),
        "Seed": record.seed,
        "Size": f"{record.width}x{record.height}",
        "Model hash": record.model_hash,
        "Model": record.model,
        "Denoising strength": format(record.strength, ".12g"),
        "Version": f"sdops {record.sdops}",
    }
    lines = [record.prompt]
    if record.negative_prompt and record.negative_prompt.strip():
        lines.append(f"Negative prompt: {record.negative_prompt}")
    lines.append(
        ", ".join(f"{key}: {_quoted(value)}" for key, value in settings.items() if value is not None)
    )
    return "\n".join(lines)


def save_png(image: Image.Image, path: Path, record: Record, overwrite: bool = False) -> str:
    """Writes ``image`` (RGB) with its record to ``path``; returns the SHA-256 of the file, hex.

    When it returns, the file is on the disk; when it raises, nothing is left
    but what was there. Raises SdopsError: output-exists (never if
    ``overwrite``), output-unwritable or disk-full.
    """
    data = _encode(image, record)
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

    Raises SdopsError: metadata-missing where no record of sdops stands in it,
    whole and readable; image-missing or image-unreadable for the file itself.
    """
    name = shown(path.name)
    try:
        with open_file(path) as stream:
            text = next(_records(stream), None)
    except OSError as error:
        raise SdopsError("image-unreadable", f"{name} cannot be read: {error.strerror}.") from error
    if text is None:
        raise SdopsError(
            "metadata-missing",
            f"{name} carries no settings of sdops.",
            "Only PNG files made by sdops do, until another program saves them again.",
        )
    try:
        # Python 3.9 takes minutes for a number of a million digits.
        data = json.loads(text, parse_int=_short_int, parse_constant=_no_constant)
        if data["schema"] > SCHEMA:
            raise SdopsError(
                "metadata-missing",
                f"{name} was made by a newer sdops, whose settings this one cannot read.",
                "Update sdops.",
            )
        return _from_mapping(data)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SdopsError("metadata-missing", f"The settings in {name} are damaged.") from error


def _public_name(model: str) -> str:
    """A hub id as it is; of anything that looks like a path the last part: folders name people."""
    if re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", model):
        return model
    return re.split(r"[/\\]", model.rstrip("/\\"))[-1] or "local"


def _quoted(value: Any) -> str:
    """A value of the settings line, in quotes where it could be taken for several."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text


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


def _records(stream: BinaryIO) -> Iterator[str]:
    """The text of every chunk that is ours, whichever kind of text chunk another program made of it."""
    if stream.read(8) != b"\x89PNG\r\n\x1a\n":
        return
    for _ in range(_MAX_CHUNKS):
        head = stream.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind == b"IEND" or length >= 2**31:
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= _MAX_RECORD:
            data, check = stream.read(length), stream.read(4)
            keyword, _, rest = data.partition(b"\0")
            if keyword == KEYWORD.encode() and zlib.crc32(kind + data) == int.from_bytes(check, "big"):
                text = _text(kind, rest)
                if text is not None:
                    yield text
        else:
            stream.seek(length + 4, os.SEEK_CUR)


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


def _from_mapping(data: Mapping[str, Any]) -> Record:
    """A Record of what JSON held; unknown keys are ignored. Raises KeyError or TypeError."""
    kinds = get_type_hints(Record)
    values: dict[str, Any] = {}
    for entry in fields(Record):
        if entry.name not in data and entry.default is not MISSING:
            continue
        value = data[entry.name]
        if not _fits(value, kinds[entry.name]):
            raise TypeError(entry.name)
        values[entry.name] = tuple(value) if isinstance(value, list) else value
    return Record(**values)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is of a field's type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Union:
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(inner) and all(map(_fits, value, inner))
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _short_int(text: str) -> int:
    if len(text) > 20:
        raise ValueError("no setting has so many digits")
    return int(text)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
