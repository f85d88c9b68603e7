"""``sdops mount`` and ``sdops unmount``: a host's folders among one's own."""

from pathlib import Path
from typing import Annotated

import typer

from sdops import complete
from sdops.commands.options import Inventory, Json


def mount(
    host: Annotated[
        str,
        typer.Argument(metavar="HOST", help="One host.", autocompletion=complete.hosts, show_default=False),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Where, here; a folder named as the host if left out.", show_default=False
        ),
    ] = None,
    path: Annotated[
        str,
        typer.Option(
            "--path", metavar="DIR", help="Which folder of the host; the account's home if left out."
        ),
    ] = "",
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Show a host's files in a folder of this machine, by sshfs.

    Example: sdops mount gpu1
    """
    from sdops import mounts
    from sdops.jobs.place import only
    from sdops.report import mounts as report

    mounts.check()
    place = only(host, inventory or ())
    place.test()
    made = mounts.mount(place.way(), place.name, path, folder or Path(place.name))
    report.mounted(made, path, as_json)


def unmount(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[HOST|DIR]",
            help="What to unmount; the only one if left out.",
            show_default=False,
            autocompletion=complete.mounted,
        ),
    ] = None,
    lazy: Annotated[
        bool, typer.Option("--lazy", metavar="", help="Even while it is in use: it goes when nobody uses it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """End what sdops mount began.

    Example: sdops unmount gpu1
    """
    from sdops import mounts
    from sdops.report import mounts as report

    one = mounts.find(what)
    mounts.unmount(one, lazy)
    report.unmounted(one, as_json)
