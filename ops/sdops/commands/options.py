"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from sdops import complete

Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="NAME",
        help="Host, group or pattern of the inventory; repeat for several. All if left out.",
        autocompletion=complete.hosts,
    ),
]
Inventory = Annotated[
    list[Path] | None,
    typer.Option("--inventory", "-i", metavar="FILE", help="Ansible inventory; repeat for several."),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document on stdout.")]
Job = Annotated[
    str | None,
    typer.Argument(
        metavar="[JOB]",
        help="The job's name, or the end of it. The last one given to a host from here if left out.",
        show_default=False,
        autocompletion=complete.jobs,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Folder for the pictures, instead of the job's own."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", metavar="", help="Replace pictures that are there already.")
]
