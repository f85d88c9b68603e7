"""How the end of a job is shown: a table of files, or one JSON document, and the exit code."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text
from sdops_runtime.protocol import JobRequest

from sdops.errors import Exit, SdopsError
from sdops.errors import exit_code as code_of
from sdops.jobs.local import Outcome
from sdops.report import failure
from sdops.report.terminal import document, messages, plain, results


def exit_code(outcome: Outcome) -> Exit:
    """0 when every picture was made, 1 when one failed, 2 for a bad request, 130 when interrupted."""
    if outcome.last.kind == "cancelled":
        return Exit.INTERRUPTED
    if outcome.last.kind == "failed":
        return code_of(outcome.last.data["code"])
    if outcome.last.kind == "detached" and not outcome.last.data["asked"]:
        return Exit.INTERRUPTED
    return Exit.FAILED if outcome.failed or outcome.unsaved else Exit.OK


@contextmanager
def drawing(quiet: bool) -> Iterator[None]:
    """Says on a terminal that contact sheets are drawn: of thousands of pictures that takes a while."""
    console = messages()
    with nullcontext() if quiet or not console.is_terminal else console.status("Drawing contact sheets"):
        yield


def render(
    outcome: Outcome, as_json: bool, sheets: Sequence[Path] = (), troubles: Sequence[SdopsError] = ()
) -> None:
    """Prints the pictures made, then what is missing and why.

    sheets: contact sheets of them. troubles: what is wrong with those, and takes nothing from the job.
    """
    if as_json:
        document(as_data(outcome, sheets, troubles))
        return
    if outcome.pictures or outcome.there:
        results().print(_table(outcome))
    for sheet in sheets:
        results().print(plain(f"Contact sheet: {sheet}"), soft_wrap=True)
    for error in troubles:
        note = Text("Note: ", style="yellow").append(plain(f"{error.message} {error.hint}".strip()))
        messages().print(note, soft_wrap=True)
    _say_rest(outcome)


def as_data(
    outcome: Outcome, sheets: Sequence[Path] = (), troubles: Sequence[SdopsError] = ()
) -> dict[str, Any]:
    """The document of ``--json``; ``ok`` is true when every picture is here.

    made: whether a picture was made now, or was here already.
    passes: the steps that really run, None where it did not come to that.
    """
    last = outcome.last.data
    request = outcome.asked.request
    error = {key: last[key] for key in ("code", "message", "hint")} if outcome.last.kind == "failed" else None
    inputs = [str(source) for source in outcome.asked.sources]
    return {
        "ok": exit_code(outcome) is Exit.OK,
        "end": outcome.last.kind if outcome.last.kind != "none" else "unfinished",
        "job": outcome.job,
        "on": outcome.host,
        "error": error,
        "settings": asdict(request.settings),
        "passes": outcome.passes,
        "host": outcome.loaded,
        "pictures": [
            {
                **picture,
                "file": str(outcome.out / picture["name"]),
                "input": inputs[picture["input"]],
                "prompt": request.prompts[picture["prompt"]],
                **_varied(request, picture),
                "made": made,
            }
            for picture, made in _all(outcome)
        ],
        "failed": [
            {
                **item,
                "input": inputs[item["input"]],
                "prompt": request.prompts[item["prompt"]],
                **_varied(request, item),
            }
            for item in outcome.failed
        ],
        **({"sheets": [str(sheet) for sheet in sheets]} if request.sweep else {}),
        "unsaved": [failure.as_data(error) for error in outcome.unsaved],
        "notices": [
            *outcome.notices,
            *({"code": error.code, "message": f"{error.message} {error.hint}".strip()} for error in troubles),
        ],
        "missing_seeds": last.get("missing", []),
        "seconds": last.get("seconds"),
    }


def _varied(request: JobRequest, picture: Mapping[str, Any]) -> dict[str, float]:
    """Strength and guidance of a sweep's picture; nothing where all have the same."""
    if not request.sweep:
        return {}
    settings = request.at(picture["index"] // (request.total // len(request.sweep)))
    return {"strength": settings.strength, "guidance": settings.guidance}


def _all(outcome: Outcome) -> list[tuple[Mapping[str, Any], bool]]:
    """The pictures that are here, in the order of their numbers, each with whether it was made now."""
    found: list[tuple[Mapping[str, Any], bool]] = [(picture, True) for picture in outcome.pictures]
    found += [(picture, False) for picture in outcome.there]
    return sorted(found, key=lambda one: one[0]["index"])


def _table(outcome: Outcome) -> Table:
    mixed = bool(outcome.pictures and outcome.there)
    request = outcome.asked.request
    varied = ["strength", "guidance"] if request.sweep else []
    headings = ["picture", "seed", *varied, "size", "seconds", "flagged", *(["made"] if mixed else [])]
    rows = [_row(outcome, picture, made)[: len(headings)] for picture, made in _all(outcome)]
    prompts = request.prompts
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("picture", overflow="fold")
    if len(prompts) > 1:
        # Where it is narrow prompts give way, and then names; never a number.
        taken = sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))
        table.add_column("prompt", width=max(10, min(30, results().width - taken)))
        for row, (picture, _) in zip(rows, _all(outcome), strict=True):
            prompt = plain(prompts[picture["prompt"]].replace("\n", " "))
            prompt.no_wrap, prompt.overflow = True, "ellipsis"
            row.insert(1, prompt)
    for name in headings[1:]:
        table.add_column(name, no_wrap=True, justify="left" if name in ("flagged", "made") else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _row(outcome: Outcome, picture: Mapping[str, Any], made: bool) -> list[Text]:
    return [
        plain(str(outcome.out / picture["name"])),
        Text(str(picture["seed"])),
        *(Text(f"{value:g}") for value in _varied(outcome.asked.request, picture).values()),
        Text(f"{picture['width']}x{picture['height']}"),
        Text("" if picture["seconds"] is None else f"{picture['seconds']:.1f}"),
        _flag(picture["flagged"]),
        Text("now") if made else Text("before", style="dim"),
    ]


def _flag(flagged: bool | None) -> Text:
    if flagged is None:
        return Text("not checked", style="yellow")
    return Text("yes, black", style="red") if flagged else Text("no")


def _say_rest(outcome: Outcome) -> None:
    console = messages()
    last = outcome.last
    for picture in outcome.pictures:
        if picture["retried"]:
            console.print(
                plain(f"{picture['name']}: float16 overflowed, made again in float32."), soft_wrap=True
            )
    for error in outcome.unsaved:
        console.print(plain(f"Not saved: {error.message} {error.hint}".strip()), soft_wrap=True)
    if last.kind == "detached" and last.data["asked"]:
        results().print(plain(str(outcome.job)))
        console.print(
            plain(f"It runs on {outcome.host}. To follow it: sdops attach {outcome.job}"), soft_wrap=True
        )
    if last.kind == "none" and outcome.job:
        done = len(outcome.pictures)
        console.print(
            plain(f"{done} of {outcome.asked.request.wanted} pictures so far: sdops attach {outcome.job}")
        )
    if last.kind == "failed":
        failure.render(SdopsError(last.data["code"], last.data["message"], last.data["hint"]), as_json=False)
    missing = last.data.get("missing", [])
    if last.kind == "cancelled" or (last.kind == "failed" and outcome.pictures):
        made, wanted = len(outcome.pictures), outcome.asked.request.wanted
        console.print(f"{made} of {wanted} pictures made; {len(missing)} missing.", soft_wrap=True)
        if missing:
            console.print(_how_to_go_on(outcome), soft_wrap=True)
    if len(outcome.there) == outcome.asked.request.total:
        console.print(_how_to_get_more(outcome), soft_wrap=True)


def _how_to_go_on(outcome: Outcome) -> str:
    """What to type for the rest. All that is needed, the seed too, stands in the folder's manifest."""
    forced = {"--force", "-f"}.intersection(sys.argv)
    command = "sweep" if outcome.asked.request.sweep else "run"
    return f'Run the same "sdops {command}" again{", without --force," if forced else ""} to make them.'


def _how_to_get_more(outcome: Outcome) -> str:
    """That there was nothing to do, and what to type for more."""
    request = outcome.asked.request
    total, seed = len(outcome.there), request.settings.seed
    here = "The picture is" if total == 1 else f"All {total} pictures are"
    if outcome.asked.drawn:
        more = f"Others: --force. The same again: --seed {seed} --force."
    else:
        more = f"Others: --seed {seed + total // (len(request.sweep) or 1)}. The same again: --force."
    return f"{here} here already (seed {seed}).\n{more}"
