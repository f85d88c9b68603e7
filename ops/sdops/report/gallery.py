"""What is said of a gallery that was written: what it shows, and what could not be shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdops_runtime.images import shown

from sdops.report.terminal import document, messages, plain, results

if TYPE_CHECKING:
    from sdops.gallery.collect import Found

#: Files that are named one by one.
_MOST = 5


@contextmanager
def progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """Shows on a terminal how many of the pictures have been made small."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = messages()
    columns = (TextColumn("Making thumbnails"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def render(found: "Found", path: Path, size: int, as_json: bool) -> None:
    """Prints where the page is, and what it shows."""
    missing = [source.name for source in found.sources.values() if source.path is None]
    if as_json:
        document(
            {
                "ok": True,
                "page": str(path.absolute()),
                "bytes": size,
                "pictures": len(found.pictures),
                "inputs": len(found.sources),
                "inputs_missing": len(missing),
                "others": found.others,
                "broken": dict(found.broken),
            }
        )
        return
    pictures, inputs = _count(len(found.pictures), "picture"), _count(len(found.sources), "input")
    results().print(plain(f"{shown(path)}: {pictures} of {inputs}, {size / 1e6:.1f} MB"), soft_wrap=True)
    say = messages()
    name = shown(found.folder)
    if not found.pictures:
        say.print(plain(f"No picture in {name} carries settings of sdops; -r takes the folders below it."))
    if missing:
        say.print(plain(f"Not found: {_count(len(missing), 'input')}. Put them beside the pictures."))
    for name, why in list(found.broken.items())[:_MOST]:
        say.print(plain(f"Left out: {shown(name)}: {why}"))
    if len(found.broken) > _MOST:
        say.print(f"Left out: {len(found.broken) - _MOST} more.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
