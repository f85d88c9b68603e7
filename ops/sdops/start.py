"""The console script, so small that it is there when Ctrl-C comes while the command line is still loading."""

import sys


def main() -> None:
    """Loads the command line and runs it."""
    try:
        from sdops import cli
    except KeyboardInterrupt:
        # As report.failure says it, which is not loaded yet.
        if "--json" in sys.argv:
            print('{"ok": false, "error": {"code": "interrupted", "message": "Interrupted.", "hint": ""}}')  # noqa: T201
        else:
            print("Error: Interrupted.", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    cli.main()
