"""``sdops init``: takes a host in."""

from pathlib import Path
from typing import Annotated

import typer

from sdops.commands.options import Json


def init(
    address: Annotated[
        str,
        typer.Argument(
            metavar="[ADDRESS]",
            help="Of the host, as in gpu.example.com or ubuntu@203.0.113.10:2222, or its name in the "
            "inventory; asked for if left out.",
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What to call it; gpu1 and so on.")
    ] = "",
    user: Annotated[
        str,
        typer.Option(
            "--user", metavar="NAME", help="Who may log in there and become root; root if left out."
        ),
    ] = "",
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="Of its SSH server.")
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="FILE", help="Private key, if it is none of the usual ones.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            "--inventory",
            "-i",
            metavar="FILE",
            help="Inventory to write or extend; if left out, what all commands read, else inventory.ini.",
        ),
    ] = None,
    trust: Annotated[
        str,
        typer.Option(
            "--trust",
            metavar="KEY",
            help="Fingerprint of the host's key, as in SHA256:…; any for whichever it shows.",
        ),
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="The hub's access token; else HF_TOKEN or the hub's own file has it.",
        ),
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", metavar="", help="Store none.")] = False,
    password: Annotated[
        Path | None,
        typer.Option(
            "--vault-password-file",
            metavar="FILE",
            help="To encrypt it with; found, or made beside the inventory, if left out.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take a host in: see its key, test the login, write it into the inventory, keep the token.

    Asks only what it can find out in no other way, and changes nothing on the host.

    Example: sdops init 203.0.113.10
    """
    from sdops.candidate import Told
    from sdops.enrol import enrol
    from sdops.errors import SdopsError
    from sdops.report import enrol as report
    from sdops.report.ask import Asking

    token = ""
    if token_file is not None and no_token:
        raise SdopsError("usage", "--token-file and --no-token exclude each other.", "Leave one out.")
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SdopsError(
                "file-unreadable", f"{token_file} cannot be read.", "Name another file."
            ) from None
        if not token:
            raise SdopsError("file-unreadable", f"{token_file} holds no token.", "Name another file.")
    told = Told(address, name, user, port, key, file, trust, token, no_token, password)
    report.render(enrol(told, Asking()), as_json)
