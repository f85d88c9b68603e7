"""How a measurement is shown: a table, or one JSON document."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdops.errors import SdopsError
from sdops.report.terminal import document, messages, plain, results


def tell(as_json: bool) -> Callable[[str], None]:
    """Shows how far it is, on stderr."""

    def show(text: str) -> None:
        if not as_json:
            messages().print(plain(text), soft_wrap=True)

    return show


def render(told: Mapping[str, Any], out: Path | None, as_json: bool) -> None:
    """Prints the figures, and writes them to a file if one is named. Raises SdopsError."""
    figures = {name: value for name, value in told.items() if name not in ("kind", "text")}
    if out is not None:
        try:
            out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise SdopsError(
                "output-unwritable", f"{out} cannot be written: {error.strerror}.", "Name another file."
            ) from error
    if as_json:
        document({"ok": True, **figures})
        return
    for line in str(told["text"]).splitlines():
        results().print(plain(line), soft_wrap=True, highlight=False)
