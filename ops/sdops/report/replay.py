"""How replayed pictures are shown: a verdict for each, or one JSON document, and the exit code."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from sdops.errors import Exit, SdopsError
from sdops.errors import exit_code as code_of
from sdops.jobs.replay import Replayed, changes
from sdops.report import failure
from sdops.report.terminal import document, messages, plain, results

Answer = tuple[Path, Replayed | SdopsError]


def exit_code(answers: Sequence[Answer]) -> Exit:
    """0 when all are identical, else 1; the error's own code when none could be made again."""
    errors = [one for _, one in answers if isinstance(one, SdopsError)]
    if len(errors) == len(answers):
        return code_of(errors[0].code)
    same = all(isinstance(one, Replayed) and one.likeness.identical for _, one in answers)
    return Exit.OK if same else Exit.FAILED


def render(answers: Sequence[Answer], as_json: bool) -> None:
    """Prints what became of each picture."""
    if as_json:
        document(as_data(answers))
        return
    for picture, one in answers:
        if isinstance(one, SdopsError):
            if len(answers) > 1:
                messages().print(plain(f"{picture}:"), soft_wrap=True)
            failure.render(one, as_json=False)
            continue
        style = "green" if one.likeness.identical else "yellow"
        verdict = "identical" if one.likeness.identical else "different"
        results().print(plain(f"{picture}: ").append(verdict, style=style), soft_wrap=True)
        for line in _details(one):
            results().print(Text("  ").append(plain(line)), soft_wrap=True)


def as_data(answers: Sequence[Answer]) -> dict[str, Any]:
    """The document of ``--json``; ``ok`` is true when all are identical."""
    errors = [failure.as_data(one) for _, one in answers if isinstance(one, SdopsError)]
    return {
        "ok": exit_code(answers) is Exit.OK,
        "error": errors[0] if errors else None,
        "pictures": [
            {"picture": str(picture), "error": failure.as_data(one)}
            if isinstance(one, SdopsError)
            else {"picture": str(picture), "error": None, **_as_data(one)}
            for picture, one in answers
        ],
    }


def _as_data(one: Replayed) -> dict[str, Any]:
    return {
        "identical": one.likeness.identical,
        "same_file": one.same_file,
        **asdict(one.likeness),
        "input": str(one.source),
        "kept": None if one.kept is None else str(one.kept),
        "changes": {
            name: {"then": then, "now": now} for name, (then, now) in changes(one.then, one.now).items()
        },
    }


def _details(one: Replayed) -> list[str]:
    found, likeness = changes(one.then, one.now), one.likeness
    lines = []
    if likeness.differing is None:
        lines.append("It has another size than it was made with: it was changed since.")
    elif not likeness.identical:
        lines.append(
            f"{_percent(likeness.differing)} of the values differ, by {likeness.largest} of 255 at most; "
            f"mean {likeness.mean:.2g}, PSNR {likeness.psnr:.1f} dB."
        )
    if found:
        lines += [f"It was made {_listed(found, 0)};", f"the new one {_listed(found, 1)}."]
    elif not likeness.identical:
        lines.append("It was made with the same versions on the same device: it was changed since,")
        lines.append("or the model's files were.")
    elif one.same_file:
        lines.append("The file is the same, too.")
    if one.kept is not None:
        lines.append(f"The new one: {one.kept}")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share >= 0.001 else "Less than 0.1%"


def _listed(found: Mapping[str, tuple[str, str]], which: int) -> str:
    """As in: with stack guide, dtype float16 on CPU."""
    things = [f"{name} {pair[which]}" for name, pair in found.items() if name != "device"]
    parts = [f"with {', '.join(things)}"] if things else []
    parts += [f"on {found['device'][which]}"] if "device" in found else []
    return " ".join(parts)
