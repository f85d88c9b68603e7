"""``sdops ssh``: a shell on a host."""

import os
import sys
from typing import Annotated

import typer

from sdops import complete
from sdops.commands.options import Inventory
from sdops.errors import SdopsError


def ssh(
    host: Annotated[
        str,
        typer.Argument(metavar="HOST", help="One host.", autocompletion=complete.hosts, show_default=False),
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND…", help="Run this and return, instead of a shell.", show_default=False
        ),
    ] = None,
    tmux: Annotated[
        bool,
        typer.Option("--tmux/--no-tmux", help="Whether the shell outlives the connection."),
    ] = True,
    inventory: Inventory = None,
) -> None:
    """Open a shell on a host, as the account that makes the pictures, with its environment active.

    It runs in tmux: Ctrl-B D leaves it there with all that runs in it, and the same command comes back to it.

    Example: sdops ssh gpu1
    """
    from sdops import shell
    from sdops.jobs.place import only

    # As ssh does it: -- ends the options, and those behind the host are the command's.
    command = command[1:] if command and command[0] == "--" else command
    if command and command[0].startswith("-"):
        raise SdopsError(
            "usage",
            f"{command[0]} stands behind {host}, where the command for it begins.",
            f"Options of sdops ssh stand before the host, as in: sdops ssh --no-tmux {host}",
        )
    place = only(host, inventory or ())
    if not command and not sys.stdin.isatty():
        raise SdopsError(
            "usage",
            "A shell needs a terminal, and there is none.",
            f"Name a command: sdops ssh {place.name} nvidia-smi",
        )
    place.test()
    line = shell.remote(place.wanted, command or (), tmux)
    terminal = ["-t"] if not command or (sys.stdin.isatty() and sys.stdout.isatty()) else []
    words = ["ssh", *terminal, *place.way().words, line]
    # Its signals and its terminal are to be the real ones.
    os.execvp("ssh", words)  # noqa: S606
