"""A measurement as text. No I/O here."""

from collections.abc import Mapping
from typing import Any, Optional

_COLUMNS = (
    ("images/s", "images_per_second", "{:.3f}"),
    ("times guide", "faster", "{:.2f}"),
    ("sessions", "faster_than_sessions", "{:.0f}"),
    ("UNet ms", "unet_ms", "{:.1f}"),
    ("of matmul", "share_of_matmul", "{:.0%}"),
    ("of floor", "share_of_floor", "{:.0%}"),
    ("V-RAM GiB", "vram_gib", "{:.2f}"),
    ("cold s", "cold_s", "{:.1f}"),
    ("warm s", "warm_s", "{:.2f}"),
    ("max diff", "difference", "{:d}"),
)


def text(told: Mapping[str, Any]) -> str:
    """The table, with what it was measured on."""
    head = ["", "batch", *(title for title, _, _ in _COLUMNS)]
    rows = [head]
    for row in told["rows"]:
        if "error" in row:
            rows.append([row["name"], row["error"][:80]])
            continue
        cells = ["-" if row.get(key) is None else form.format(row[key]) for _, key, form in _COLUMNS]
        rows.append([row["name"], str(row["batch"]), *cells])
    whole = [row for row in rows if len(row) == len(head)]
    widths = [max(len(row[column]) for row in whole) for column in range(len(head))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        if len(row) == len(head)
        else f"{row[0].ljust(widths[0])}  {row[1]}"
        for row in rows
    ]
    return "\n".join([*lines, "", *_compiling(told.get("compiling")), _measured_on(told)])


def _compiling(told: Optional[Mapping[str, Any]]) -> list[str]:
    """What compiling comes to, if that was tried."""
    if told is None:
        return []
    if "error" in told:
        return [f"The model was not compiled: {told['error']}."]
    begin = (
        f"Compiling blocks takes {told['first_s']:.1f} s, and {told['again_s']:.1f} s from the disk. "
        f"A UNet call for {told['batch']} takes {told['plain_ms']:.1f} ms without and "
        f"{told['compiled_ms']:.1f} ms with it:"
    )
    if told["pays_from"] is None:
        return [f"{begin} jobs are not compiled here."]
    return [f"{begin} jobs of {told['pays_from']} such pictures or more are compiled here now."]


def _measured_on(told: Mapping[str, Any]) -> str:
    machine = told["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in (machine["versions"] or {}).items())
    peak = machine["matmul_tflops"]
    return "\n".join(
        [
            f"{told['model']}, {told['pixels']}x{told['pixels']}, {told['steps']} steps at strength 0.8; "
            f"medians of {told['rounds']} rounds; {told['date']}.",
            f"{machine['device']}, {machine['cpus']} CPUs, {machine['threads']} threads, "
            f"Python {machine['python']}, {versions}.",
            f"Matrix products: {peak:.2f} TFLOP/s. " * bool(peak)
            + f"Load {machine['load_before']} before, {machine['load_after']} after.",
            "cold: seconds from the start of Python to the first picture on the disk; warm: with the model "
            "loaded. max diff: from the guide's picture of the same seed, of 255. sessions: times as fast as "
            "with a Python session for each picture. of floor: of what the device's matrix products would "
            "allow. V-RAM: the most that torch's tensors had.",
        ]
    )
