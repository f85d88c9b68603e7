"""What went into a report of a fault, and what did not."""

from sdops.bug_report import Bundle
from sdops.report import failure
from sdops.report.terminal import document, messages, plain, results


def render(bundle: Bundle, as_json: bool) -> None:
    """Prints the archive's name; says what is in it and what was taken out."""
    if as_json:
        document(
            {
                "ok": True,
                "file": str(bundle.place),
                "files": dict(bundle.files),
                "taken": dict(bundle.taken),
                "missed": [failure.as_data(one) for one in bundle.missed],
            }
        )
        return
    for one in bundle.missed:
        messages().print(plain(f"Left out: {one.message}"), soft_wrap=True)
    for name, size in bundle.files.items():
        messages().print(plain(f"    {name}, {max(1, round(size / 1000))} kB"), soft_wrap=True)
    taken = ", ".join(f"{kind} ({count})" for kind, count in sorted(bundle.taken.items()))
    messages().print(plain(f"Taken out: {taken or 'nothing'}."), soft_wrap=True)
    messages().print("Look through it before you send it: sdops sends nothing.")
    results().print(plain(str(bundle.place)), soft_wrap=True)
