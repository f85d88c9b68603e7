"""Writes contact sheets: what came of every strength and guidance of a sweep, side by side in one image."""

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdops_runtime.outputs import output_name

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdops.jobs.local import Outcome

#: Longest side of a picture on a sheet, space around it, and height of letters, in pixels.
SIDE, SPACE, LETTERS = 256, 12, 18
_INK, _PAPER, _NONE = "#1c1b1a", "#fbfaf8", "#ddd8d0"
_MARK = "sdops-sheet"


def write(outcome: "Outcome") -> tuple[Path, ...]:
    """Writes a sheet for each input, prompt and seed of which a picture is here; returns them.

    A file of that name that is no sheet stays, and is passed over. Raises SdopsError.
    """
    request = outcome.asked.request
    names = {one["index"]: outcome.out / one["name"] for one in (*outcome.there, *outcome.pictures)}
    groups: dict[tuple[int, int, int], dict[tuple[float, float], Path]] = {}
    for item in request.items():
        if item.index in names:
            group = groups.setdefault((item.input, item.prompt, item.seed), {})
            group[request.sweep[item.cell]] = names[item.index]
    rows = tuple(dict.fromkeys(strength for strength, _ in request.sweep))
    columns = tuple(dict.fromkeys(guidance for _, guidance in request.sweep))
    written = []
    for (source, prompt, seed), cells in groups.items():
        name = output_name(request.inputs[source], seed)
        path = outcome.out / f"{name[:-4]}-sheet.png"
        if _is_free(path):
            _save(_draw(request.prompts[prompt], seed, rows, columns, cells), path)
            written.append(path)
    return tuple(written)


def _draw(
    prompt: str,
    seed: int,
    rows: Sequence[float],
    columns: Sequence[float],
    cells: dict[tuple[float, float], Path],
) -> "Image":
    from PIL import Image, ImageDraw, ImageFont

    small = {cell: _open(path) for cell, path in cells.items()}
    wide = max(one.width for one in small.values())
    high = max(one.height for one in small.values())
    font = ImageFont.load_default(LETTERS)
    line = LETTERS * 2
    left = SPACE + int(max(font.getlength(f"strength {row:g}") for row in rows)) + SPACE
    size = left + len(columns) * (wide + SPACE), 2 * line + len(rows) * (high + SPACE) + SPACE
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    title = f"{' '.join(prompt.split())}, seed {seed}"
    while title and font.getlength(title) > size[0] - 2 * SPACE:
        title = title[:-2].rstrip("…") + "…" if len(title) > 2 else ""
    pen.text((SPACE, LETTERS // 2), title, _INK, font)
    for number, column in enumerate(columns):
        pen.text((left + number * (wide + SPACE), line + LETTERS // 2), f"guidance {column:g}", _INK, font)
    for down, row in enumerate(rows):
        top = 2 * line + down * (high + SPACE)
        pen.text((SPACE, top + high // 2 - LETTERS // 2), f"strength {row:g}", _INK, font)
        for across, column in enumerate(columns):
            place = left + across * (wide + SPACE), top
            if one := small.get((row, column)):
                sheet.paste(one, place)
            else:
                pen.rectangle((*place, place[0] + wide - 1, place[1] + high - 1), outline=_NONE)
    return sheet


def _open(path: Path) -> "Image":
    from sdops_runtime.images import open_image

    image = open_image(path).image
    image.thumbnail((SIDE, SIDE))
    return image


def _is_free(path: Path) -> bool:
    """Whether a sheet may be written there: nothing is, or an older sheet."""
    from PIL import Image

    if not path.exists():
        return True
    with suppress(OSError, ValueError, SyntaxError), Image.open(path) as before:
        return _MARK in before.info
    return False


def _save(sheet: "Image", path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo
    from sdops_runtime import png

    about = PngInfo()
    about.add_text(_MARK, "1")
    stream = BytesIO()
    options: dict[str, Any] = {"pnginfo": about}
    sheet.save(stream, "PNG", **options)
    png.keep(stream.getvalue(), path, overwrite=True)
