"""Writes contact sheets: what came of every strength and guidance of a sweep, side by side in one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdops_runtime.outputs import name_of, output_name

from sdops.errors import SdopsError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont
    from sdops_runtime.protocol import Item, JobRequest
    from sdops_runtime.record import Record

    from sdops.jobs.local import Outcome

#: Longest side of a picture on a sheet, space around it, and height of letters, in pixels.
SIDE, SPACE, LETTERS = 256, 12, 18
#: Pixels of a sheet, for which its pictures are made smaller. Half of where Pillow warns of a file that
#: could be meant to fill the memory; a grid of 100x100 has pictures of 50 pixels so, and takes 120 MB.
MOST = 40_000_000
#: Letters are no smaller than this, and pictures no smaller than that.
_LEAST_LETTERS, _LEAST_SIDE = 8, 8
_INK, _PAPER, _NONE = "#1c1b1a", "#fbfaf8", "#ddd8d0"
_MARK = "sdops-sheet"


@dataclass(frozen=True)
class Sheets:
    """Contact sheets that were written, and why others were not, or lack a picture that is there."""

    paths: tuple[Path, ...] = ()
    troubles: tuple[SdopsError, ...] = ()


@dataclass(frozen=True)
class _Cell:
    """A picture that is here, and its size."""

    path: Path
    size: tuple[int, int]


def write(outcome: "Outcome") -> Sheets:
    """Writes a sheet for each input, prompt and seed of a sweep of which a picture is here. Raises nothing.

    A file of that name that is no sheet stays, and is told.
    """
    request = outcome.asked.request
    if not request.sweep:
        return Sheets()
    paths: list[Path] = []
    troubles: list[SdopsError] = []
    try:
        for (source, prompt, seed), cells in _groups(outcome).items():
            path = outcome.out / f"{output_name(request.inputs[source], seed)[:-4]}-sheet.png"
            try:
                _check_free(path)
                drawn = _draw(request.prompts[prompt], seed, request.sweep, cells, troubles)
                if drawn is not None:
                    _save(drawn, path)
                    paths.append(path)
            except SdopsError as error:
                troubles.append(error)
    except KeyboardInterrupt:
        # What came of the job is told all the same.
        troubles.append(SdopsError("interrupted", "Interrupted while contact sheets were drawn."))
    return Sheets(tuple(paths), tuple(troubles))


def _groups(outcome: "Outcome") -> Mapping[tuple[int, int, int], Mapping[tuple[float, float], _Cell]]:
    """The pictures that are here, whoever fetched them, by input, prompt and seed, and by their cell."""
    from sdops_runtime import png

    request = outcome.asked.request
    names = {one["index"]: str(one["name"]) for one in (*outcome.there, *outcome.pictures)}
    groups: dict[tuple[int, int, int], dict[tuple[float, float], _Cell]] = {}
    for item in request.items():
        path = outcome.out / names.get(item.index, name_of(request, item))
        try:
            record = png.read_record(path)
        except SdopsError:
            continue  # that it is not here is told elsewhere
        if _is_of(record, request, item):
            group = groups.setdefault((item.input, item.prompt, item.seed), {})
            group[request.sweep[item.cell]] = _Cell(path, (record.width, record.height))
    return groups


def _is_of(record: "Record", request: "JobRequest", item: "Item") -> bool:
    """Whether a picture is the one of an item, and not another that has its name."""
    settings = request.at(item.cell)
    told = (record.seed, record.prompt, record.negative_prompt, record.strength, record.guidance)
    wanted = (item.seed, request.prompts[item.prompt], settings.negative_prompt)
    return (*told, record.steps, record.width) == (
        *wanted,
        settings.strength,
        settings.guidance,
        settings.steps,
        settings.width,
    )


def _draw(
    prompt: str,
    seed: int,
    sweep: Sequence[tuple[float, float]],
    cells: Mapping[tuple[float, float], _Cell],
    troubles: list[SdopsError],
) -> "Image | None":
    """The sheet; None if none of the pictures can be opened. What cannot is added to troubles."""
    from PIL import Image, ImageDraw, ImageFont

    rows = tuple(dict.fromkeys(strength for strength, _ in sweep))
    columns = tuple(dict.fromkeys(guidance for _, guidance in sweep))
    largest = max(cell.size[0] for cell in cells.values()), max(cell.size[1] for cell in cells.values())
    font = ImageFont.load_default(LETTERS)
    line = LETTERS * 2
    left = SPACE + int(max(font.getlength(text) for text in ("guidance", *map(_strength, rows)))) + SPACE

    def size(wide: int, high: int) -> tuple[int, int]:
        return left + len(columns) * (wide + SPACE), 2 * line + len(rows) * (high + SPACE) + SPACE

    side = SIDE
    while side > _LEAST_SIDE and _area(size(*_fit(largest, side))) > MOST:
        side -= 1
    wide, high = _fit(largest, side)
    sheet = Image.new("RGB", size(wide, high), _PAPER)
    pen = ImageDraw.Draw(sheet)
    title = f"{' '.join(prompt.split())}, seed {seed}"
    while title and font.getlength(title) > sheet.width - 2 * SPACE:
        title = title[:-2].rstrip("…") + "…" if len(title) > 2 else ""
    pen.text((SPACE, LETTERS // 2), title, _INK, font)
    whole = all(font.getlength(f"guidance {column:g}") <= wide for column in columns)
    heads = [f"guidance {column:g}" if whole else f"{column:g}" for column in columns]
    if not whole:
        pen.text((SPACE, line + LETTERS // 2), "guidance", _INK, font)
    above, beside = (
        _letters(heads, wide + SPACE // 2, LETTERS),
        _letters((), 0, min(LETTERS, high + SPACE // 2)),
    )
    for number, head in enumerate(heads):
        pen.text((left + number * (wide + SPACE), line + LETTERS // 2), head, _INK, above)
    shown = 0
    for down, row in enumerate(rows):
        top = 2 * line + down * (high + SPACE)
        pen.text((SPACE, top + high // 2), _strength(row), _INK, beside, anchor="lm")
        for across, column in enumerate(columns):
            place = left + across * (wide + SPACE), top
            cell = cells.get((row, column))
            picture = _open(cell.path, side, troubles) if cell else None
            if picture is None:
                pen.rectangle((*place, place[0] + wide - 1, place[1] + high - 1), outline=_NONE)
            else:
                sheet.paste(picture, place)
                shown += 1
    return sheet if shown else None


def _strength(value: float) -> str:
    return f"strength {value:g}"


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """A size that is made to fit into a square; smaller ones stay."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _letters(texts: Sequence[str], width: int, height: int) -> "FreeTypeFont | ImageFont":
    """Letters of that height, or smaller ones in which each text is as wide as that at most."""
    from PIL import ImageFont

    height = max(height, _LEAST_LETTERS)
    found = ImageFont.load_default(height)
    while height > _LEAST_LETTERS and any(found.getlength(text) > width for text in texts):
        height -= 1
        found = ImageFont.load_default(height)
    return found


def _open(path: Path, side: int, troubles: list[SdopsError]) -> "Image | None":
    from sdops_runtime.images import open_image

    try:
        image = open_image(path).image
    except SdopsError as error:
        troubles.append(error)
        return None
    image.thumbnail((side, side))
    return image


def _check_free(path: Path) -> None:
    """Raises SdopsError("output-exists") where something is that is no sheet of ours."""
    from sdops_runtime import png

    if path.exists() and not png.carries(path, _MARK):
        raise SdopsError(
            "output-exists",
            f"{path} is there already, and is no contact sheet: none was written.",
            "Move it away, and run the same command again.",
        )


def _save(sheet: "Image", path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo
    from sdops_runtime import png

    about = PngInfo()
    about.add_text(_MARK, "1")
    stream = BytesIO()
    options: dict[str, Any] = {"pnginfo": about, "compress_level": png.COMPRESS_LEVEL}
    sheet.save(stream, "PNG", **options)
    png.keep(stream.getvalue(), path, overwrite=True)
