"""From the words of a command line to a checked job request. Reads the file of prompts, nothing else."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdops_runtime.protocol import JobRequest, Settings

from sdops.errors import SdopsError

#: Seeds drawn for a person stay within 32 bits, which every other tool accepts too.
DRAWN_SEEDS = 2**32


@dataclass(frozen=True)
class Asked:
    """A job as asked for: the request and the files of its inputs, in the same order.

    drawn: whether nobody chose the seed.
    """

    request: JobRequest
    sources: tuple[Path, ...]
    drawn: bool = False


def ask(
    words: Sequence[str],
    prompts: Sequence[str],
    prompts_file: Path | None,
    settings: Settings,
    sweep: Sequence[tuple[float, float]] = (),
) -> Asked:
    """Returns the checked job that ``IMAGE… [PROMPT]`` and the prompt options describe.

    sweep: pairs of strength and guidance. Without a prompt option the last word is the prompt. Raises
    SdopsError: input-missing, prompt-empty, prompts-unreadable, settings-invalid, image-missing.
    """
    texts = list(prompts)
    if prompts_file is not None:
        texts += read_prompts(prompts_file)
    names = list(words)
    if not texts and names:
        if len(names) == 1 and not _is_file(names[0]):
            raise SdopsError(
                "input-missing",
                f"There is no input image: {_short(names[0])!r} was taken for the prompt.",
                'Name the image first: sdops run photo.jpg "wearing a christmas hat"',
            )
        if _is_file(names[-1]):
            raise SdopsError(
                "prompt-empty",
                f"There is no prompt: the last word, {_short(names[-1])!r}, is a file.",
                'Put the prompt last, or give it with -p "wearing a christmas hat".',
            )
        texts.append(names.pop())
    if not names:
        raise SdopsError(
            "input-missing",
            "There is no input image.",
            'Name one: sdops run photo.jpg "wearing a christmas hat"',
        )
    sources = tuple(Path(name) for name in names)
    request = JobRequest(tuple(source.name for source in sources), tuple(texts), settings, sweep=tuple(sweep))
    request.check()
    hint = "Check the file's name and folder."
    if prompts or prompts_file is not None:
        hint += " With -p or --prompts every other word is taken for an image."
    for source in sources:
        reason = _why_not_there(source)
        if reason:
            raise SdopsError("image-missing", f"{_short(str(source))} {reason}.", hint)
    return Asked(request, sources)


def read_prompts(path: Path) -> list[str]:
    """The prompts in a UTF-8 text file: one a line, blank lines and lines starting with # left out.

    Raises SdopsError("prompts-unreadable").
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SdopsError(
            "prompts-unreadable",
            f"{path} cannot be read: {reason}.",
            "Give a text file with one prompt a line.",
        ) from error
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise SdopsError("prompts-unreadable", f"{path} holds no prompt.", "Write one prompt a line into it.")
    return found


def draw_seed() -> int:
    """A seed for a job whose person does not care which."""
    return secrets.randbelow(DRAWN_SEEDS)


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):
        return False  # a prompt may be longer than a file name can be


def _why_not_there(source: Path) -> str:
    """Why a file cannot be had, as the end of a sentence; empty if it is there."""
    try:
        source.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError) as error:  # a folder that is closed to us; a prompt that is no file name
        return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
