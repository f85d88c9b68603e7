"""What is said of a gallery that was written: what it shows, and what could not be shown."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdops_runtime.images import shown

from sdops.report.terminal import document, messages, plain, results

if TYPE_CHECKING:
    from sdops.gallery.collect import Found
    from sdops.gallery.page import Written

#: Files that are named one by one.
_MOST = 5


@contextmanager
def progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """Shows on a terminal how many of the pictures and inputs have been made small."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = messages()
    columns = (TextColumn("Making thumbnails"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def render(found: "Found", written: "Written", as_json: bool) -> None:
    """Prints where the page is, and what it shows."""
    missing = [source.name for source in found.sources.values() if source.path is None]
    if as_json:
        document(
            {
                "ok": True,
                "page": str(written.path.absolute()),
                "bytes": written.size,
                "pictures": len(found.pictures),
                "inputs": len(found.sources),
                "inputs_missing": len(missing),
                "others": found.others,
                "broken": dict(found.broken),
                "undecodable": written.undecodable,
            }
        )
        return
    pictures, inputs = _count(len(found.pictures), "picture"), _count(len(found.sources), "input")
    where = f"{shown(written.path)}: {pictures} of {inputs}, {written.size / 1e6:.1f} MB"
    results().print(plain(where), soft_wrap=True)
    name = shown(found.folder)
    if not found.pictures:
        _say(f"No picture in {name} carries settings of sdops; -r takes the folders below it.")
    if missing:
        it = "it" if len(missing) == 1 else "them"
        _say(f"Not found: {_count(len(missing), 'input')}. Put {it} beside the pictures.")
    _some("Cannot be shown", written.undecodable)
    _some("Left out", [_where(name, why) for name, why in found.broken.items()])


def _say(text: str) -> None:
    messages().print(plain(text), soft_wrap=True)


def _some(what: str, lines: Sequence[str]) -> None:
    for line in lines[:_MOST]:
        _say(f"{what}: {line}")
    if len(lines) > _MOST:
        _say(f"{what}: {len(lines) - _MOST} more.")


def _where(name: str, why: str) -> str:
    """A sentence about a file, with its name as it is seen from the gallery's folder."""
    base = shown(Path(name).name)
    return f"{shown(name)}{why.removeprefix(base)}" if why.startswith(f"{base} ") else f"{shown(name)}: {why}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
