"""The command line: parse, call, render, exit. No logic here.

Nothing heavy is imported at the top, so that ``sdops --help`` answers at once.
"""

import logging
import sys
import traceback
from typing import Annotated, Any

import typer
from sdops_runtime.errors import SdopsError
from typer.core import TyperGroup

from sdops.commands.attach import attach, fetch
from sdops.commands.bench import bench
from sdops.commands.bug_report import bug_report
from sdops.commands.cancel import cancel
from sdops.commands.doctor import doctor
from sdops.commands.gallery import gallery
from sdops.commands.hosts import hosts
from sdops.commands.init import init
from sdops.commands.jobs import jobs
from sdops.commands.logs import logs
from sdops.commands.mount import mount, unmount
from sdops.commands.prune import prune
from sdops.commands.replay import replay
from sdops.commands.run import run
from sdops.commands.ssh import ssh
from sdops.commands.status import status
from sdops.commands.sweep import sweep
from sdops.errors import Exit, exit_code


class _Commands(TyperGroup):
    """typer ends Ctrl-C without a word, and without the document of ``--json``; this hands it on."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise typer.Abort from stop


app = typer.Typer(
    name="sdops",
    cls=_Commands,
    help="Turns fresh GPU VMs into Stable Diffusion image-to-image hosts and runs work on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        from sdops.versions import lines

        for line in lines():
            typer.echo(line)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Say all versions and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", help="Show where in the code an error came from.")
    ] = False,
) -> None:
    """Turns fresh GPU VMs into Stable Diffusion image-to-image hosts and runs work on them."""
    if debug:
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger("sdops_runtime").setLevel(logging.DEBUG)


app.command()(run)
app.command()(sweep)
app.command()(replay)
app.command()(gallery)
app.command()(status)
app.command()(attach)
app.command()(fetch)
app.command()(jobs)
app.command()(logs)
app.command()(cancel)
app.command()(prune)
app.command()(mount)
app.command()(unmount)
# What stands behind the host is the host's, options too.
app.command(context_settings={"allow_interspersed_args": False})(ssh)
app.command()(doctor)
app.command()(init)
app.command()(hosts)
app.command()(bench)
app.command("bug-report")(bug_report)


def _commands() -> list[str]:
    return [one.name or str(getattr(one.callback, "__name__", "")) for one in app.registered_commands]


def _own(words: list[str]) -> list[str]:
    """The words that are for this program: before ``ssh`` only, which has no --json of its own."""
    command = next((word for word in words if not word.startswith("-")), "")
    return words[: words.index(command)] if command == ssh.__name__ else words


def main() -> None:
    """The console script: runs the app and turns what went wrong into words and an exit code."""
    from sdops.report import failure, terminal

    terminal.forgive()
    try:
        code = _answer(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left (``| head``): nothing is wrong, and nothing can be said.
        terminal.give_up_results()
        code = Exit.FAILED
    except OSError as error:
        if error.filename is not None:  # no trouble of stdout's, which has no name
            raise
        terminal.give_up_results()
        failure.render(failure.unprintable(error), as_json=False)
        code = Exit.FAILED
    sys.exit(int(code))


def _answer(words: list[str]) -> int:
    """Runs the app; prints what went wrong. Returns the exit code."""
    from sdops.report import failure

    as_json = "--json" in _own(words)
    try:
        return app(words, prog_name="sdops", standalone_mode=False) or Exit.OK
    except SdopsError as error:
        if "--debug" in _own(words):
            traceback.print_exception(error)
        failure.render(error, as_json)
        return exit_code(error.code)
    except typer.TyperException as error:
        if words:  # without any, typer has shown the help; what is missing is plain to see
            failure.render(failure.usage(error, words, _commands()), as_json)
        return Exit.USAGE
    except (KeyboardInterrupt, typer.Abort):
        failure.interrupted(as_json)
        return Exit.INTERRUPTED
