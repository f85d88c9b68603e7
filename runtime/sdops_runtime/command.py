"""``sdops-runtime``: the runtime's own command line, on the host where the pictures are made.

For programs: every line on stdout is one JSON object, and an error is one of
them, with ``code``, ``message`` and ``hint``. Exit codes are those of ``sdops``:
0 all is well, 1 something failed, 2 wrong input, 130 interrupted. Parses,
calls, prints; no logic here. What takes time to import is imported when needed.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional, Union

import sdops_runtime
from sdops_runtime import device, protocol, stack
from sdops_runtime.errors import CODES, SdopsError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

#: Seconds between two lines about a download.
PAUSE = 1.0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one command; returns the exit code."""
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except SdopsError as error:
        say({"code": error.code, "message": error.message, "hint": error.hint})
        return exit_code(error.code)
    except KeyboardInterrupt:
        say({"code": "interrupted", "message": "Stopped.", "hint": ""})
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more. Python would complain once again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def exit_code(code: str) -> int:
    """The exit code for an error code: 2 for wrong input, else 1."""
    return USAGE if CODES[code].usage else FAILED


def say(line: Mapping[str, Any]) -> None:
    """Prints one line at once: somebody may be waiting for it at the other end of a connection."""
    print(json.dumps(line, ensure_ascii=True), flush=True)  # noqa: T201


def version(_: argparse.Namespace) -> int:
    """What runs here."""
    archive = _archive()
    say(
        {
            "version": sdops_runtime.__version__,
            "protocol": protocol.PROTOCOL,
            "digest": digest(),
            "archive": None if archive is None else str(archive),
            "python": platform.python_version(),
        }
    )
    return OK


def run(options: argparse.Namespace) -> int:
    """Runs the job of a request file; its events are the lines."""
    from sdops_runtime import job
    from sdops_runtime.course import Place

    request = protocol.JobRequest.from_json(read_text(options.request))
    if len(request.inputs) != len(options.inputs):
        raise SdopsError(
            "request-invalid",
            f"The request names {len(request.inputs)} inputs and {len(options.inputs)} files were given.",
            "Give one file for each of the request's inputs, in their order.",
        )
    failed = 0

    def emit(event: protocol.Event) -> None:
        nonlocal failed
        failed += event.kind == "item_failed"
        say({"kind": event.kind, **event.data})

    place = Place(options.out, options.device, options.overwrite)
    last = job.run(request, options.inputs, place, emit)
    if last.kind == "cancelled":
        return INTERRUPTED
    if last.kind == "failed":
        return exit_code(last.data["code"])
    return FAILED if failed else OK


def fetch(options: argparse.Namespace) -> int:
    """Brings a model to this disk, going on where an earlier fetch stopped, and names its licence."""
    from sdops_runtime import dialect, hub, licence
    from sdops_runtime.hub import terms

    dialect.libraries()
    settings = protocol.Settings(model=options.model, revision=options.revision)
    told = -PAUSE

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= PAUSE or done == total:
            told = now
            say({"kind": "download", "done": done, "total": total})

    found = hub.resolve(
        options.model,
        settings.wanted_revision,
        weights=dialect.weight_suffixes(),
        offline=options.offline,
        progress=progress,
    )
    papers = licence.find(found.path, found.name)
    if (
        found.revision is not None
        and papers.text is None
        and not options.offline
        and terms.bring(papers, found.path)
    ):
        papers = licence.find(found.path, found.name)
    say(
        {
            "kind": "fetched",
            "model": found.name,
            "revision": found.revision,
            "path": str(found.path),
            "licence": papers.as_dict(),
            "note": found.note,
        }
    )
    return OK


def access(options: argparse.Namespace) -> int:
    """Asks the hub whether this account may read a model, and downloads nothing that is large."""
    from sdops_runtime.hub import permission

    settings = protocol.Settings(model=options.model, revision=options.revision)
    say({"kind": "access", **permission.ask(options.model, settings.wanted_revision)})
    return OK


def check(options: argparse.Namespace) -> int:
    """The guide's quick check, with a real kernel instead of a promise."""
    from sdops_runtime import dialect

    dialect.libraries()
    import torch

    versions = dialect.versions()
    chosen = device.pick(options.device)
    with dialect.quiet():
        available = bool(torch.cuda.is_available())
    say(
        {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "available": available,
            "device": chosen.kind,
            "name": chosen.name,
            "reason": chosen.reason,
            "stack": stack.identify(versions),
            "versions": versions,
            "python": platform.python_version(),
            "library_path": os.environ.get("LD_LIBRARY_PATH", ""),
        }
    )
    return OK


def bench(options: argparse.Namespace) -> int:
    """Measures this runtime against the guide's script; the last line holds the figures, and a table."""
    from sdops_runtime.bench import measure, table

    kind = measure.pick(options.device)
    full = kind == "cuda" if options.size == "auto" else options.size == "full"
    folder = (
        options.folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdops/bench"
    )
    plan = measure.plan(kind, full, options.rounds, options.switches, folder)
    told = measure.measure(plan, lambda text: say({"kind": "bench", "message": text}))
    say({"kind": "measured", **told, "text": table.text(told)})
    return OK


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the words as every other error is said."""

    def error(self, message: str) -> NoReturn:
        say({"code": "usage", "message": f"{self.prog}: {message}.", "hint": f"Type {self.prog} --help."})
        sys.exit(USAGE)


def _parser() -> argparse.ArgumentParser:
    # They print as is done here.
    from sdops_runtime import queue_command
    from sdops_runtime.fleet import command as fleet_command

    parser = _Parser(prog="sdops-runtime", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("version", help="say what runs here")
    one.set_defaults(run=version)

    one = commands.add_parser("run", help="run the job of a request file; its events are the lines")
    one.add_argument("request", type=Path, metavar="REQUEST.json")
    one.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="one for each of the request's")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    one.add_argument("--device", choices=device.WANTED, default="auto")
    one.add_argument("--overwrite", action="store_true", help="replace pictures that are there already")
    one.set_defaults(run=run)

    one = commands.add_parser("fetch", help="bring a model to this disk ahead of the first job")
    _name_model(one)
    one.add_argument("--offline", action="store_true", help="only say whether it is on this disk")
    one.set_defaults(run=fetch)

    one = commands.add_parser("access", help="ask the hub whether this account may read a model")
    _name_model(one)
    one.set_defaults(run=access)

    one = commands.add_parser("check", help="check torch, CUDA and the GPU with a real kernel")
    one.add_argument("--device", choices=device.WANTED, default="auto", help="cuda: without a GPU it fails")
    one.set_defaults(run=check)

    one = commands.add_parser("bench", help="measure it against the guide's script, with random weights")
    one.add_argument("--device", choices=device.WANTED, default="auto")
    one.add_argument(
        "--size", choices=("auto", "full", "small"), default="auto", help="of the model; auto: full on a GPU"
    )
    one.add_argument("--rounds", type=int, default=0, metavar="N", help="5 with the small model, else 2")
    one.add_argument("--switches", action="store_true", help="try what may make it faster, one by one")
    one.add_argument("--folder", type=Path, metavar="DIR", help="for the model (2.6 GB) and the pictures")
    one.set_defaults(run=bench)
    queue_command.add(commands)
    fleet_command.add(commands)
    return parser


def _name_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name at the hub, or a folder")
    parser.add_argument("--revision", help="branch, tag or commit")


def digest() -> Optional[str]:
    """SHA-256 of the .pyz that this runs from; None where it runs from a folder."""
    archive = _archive()
    return None if archive is None else hashlib.sha256(archive.read_bytes()).hexdigest()


def _archive() -> Optional[Path]:
    """The .pyz that this runs from; None where it runs from a folder."""
    place: Union[str, None] = getattr(sdops_runtime.__loader__, "archive", None)
    return Path(place) if place else None


def read_text(path: Path) -> str:
    """A request file's text. Raises SdopsError("request-invalid")."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SdopsError("request-invalid", f"The job request {path} cannot be read: {why}.") from error
