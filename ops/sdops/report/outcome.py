"""How the end of a job is shown: a table of files, or one JSON document, and the exit code."""

import re
import shlex
import sys
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

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


def render(outcome: Outcome, as_json: bool) -> None:
    """Prints the pictures made, then what is missing and why."""
    if as_json:
        document(as_data(outcome))
        return
    if outcome.pictures:
        results().print(_table(outcome))
    _say_rest(outcome)


def as_data(outcome: Outcome) -> dict[str, Any]:
    """The document of ``--json``; ``ok`` is true when every picture was made.

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
            }
            for picture in outcome.pictures
        ],
        "failed": [
            {**item, "input": inputs[item["input"]], "prompt": request.prompts[item["prompt"]]}
            for item in outcome.failed
        ],
        "unsaved": [failure.as_data(error) for error in outcome.unsaved],
        "notices": outcome.notices,
        "missing_seeds": last.get("missing", []),
        "seconds": last.get("seconds"),
    }


def _table(outcome: Outcome) -> Table:
    request = outcome.asked.request
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("picture", overflow="fold")
    if len(request.prompts) > 1:
        table.add_column("prompt", max_width=30, no_wrap=True, overflow="ellipsis")
    table.add_column("seed", justify="right")
    table.add_column("size", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("flagged")
    for picture in outcome.pictures:
        row = [plain(str(outcome.out / picture["name"]))]
        if len(request.prompts) > 1:
            row.append(plain(request.prompts[picture["prompt"]]))
        row += [
            Text(str(picture["seed"])),
            Text(f"{picture['width']}x{picture['height']}"),
            Text(f"{picture['seconds']:.1f}"),
            _flag(picture["flagged"]),
        ]
        table.add_row(*row)
    return table


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
        made, total = len(outcome.pictures), outcome.asked.request.total
        console.print(f"{made} of {total} pictures made; {len(missing)} missing.", soft_wrap=True)
        if missing:
            console.print(plain(_how_to_go_on(outcome)), soft_wrap=True)


def _how_to_go_on(outcome: Outcome) -> str:
    """What to type to make the missing pictures: the same command, from the first missing seed if it can."""
    missing = outcome.last.data["missing"]
    request = outcome.asked.request
    words = _without(sys.argv[1:], "--seed")
    if request.total == request.settings.images and not outcome.failed:
        words = _without(_without(words, "--images"), "-n")
        added = ["--seed", str(missing[0])]
        added += ["--images", str(len(missing))] if len(missing) > 1 else []
    else:
        added = ["--seed", str(request.settings.seed)]
        added += ["--overwrite"] if outcome.pictures and "--overwrite" not in words else []
    # What follows two dashes counts as an image or the prompt, whatever it looks like.
    end = words.index("--") if "--" in words else len(words)
    words[end:end] = added
    return f"Missing seeds: {_listed(missing)}\nTo make them: sdops {shlex.join(words)}"


def _listed(seeds: list[int]) -> str:
    shown = ", ".join(str(seed) for seed in seeds[:5])
    return f"{shown} and {len(seeds) - 5} more" if len(seeds) > 5 else shown


def _without(words: list[str], option: str) -> list[str]:
    """The words less an option and its value, in either form."""
    found: list[str] = []
    skip = False
    for word in words:
        joined = word.startswith(f"{option}=") or (len(option) == 2 and re.fullmatch(f"{option}\\d+", word))
        if not skip and word != option and not joined:
            found.append(word)
        skip = word == option and not skip
    return found
