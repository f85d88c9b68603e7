"""How hosts are shown: a table, or one JSON document."""

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from sdops.errors import SdopsError
from sdops.facts.wanted import Wanted
from sdops.inventory import Host, Inventory
from sdops.inventory_wanted import wanted_of
from sdops.report.terminal import messages, plain, results


def render(inventory: Inventory, hosts: Sequence[Host], as_json: bool) -> None:
    """Prints the hosts; where a part of the inventory was passed over, says so on stderr."""
    if as_json:
        print(json.dumps(as_data(inventory, hosts), ensure_ascii=False))  # noqa: T201
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("host", "address", "user", "stack", "groups"):
        table.add_column(heading, overflow="fold")
    notes = [f"{file} is vaulted, and was passed over." for file in inventory.vaulted]
    for host in hosts:
        wanted, problem = _wanted(host, inventory)
        notes += [problem] if problem else []
        cells = (_address(host), wanted.login, wanted.stack, ", ".join(host.groups))
        table.add_row(Text(plain(host.name).plain, style="bold"), *map(plain, cells))
    results().print(table)
    if not inventory.sources:
        messages().print(
            "No inventory was found: name one with -i FILE, or make inventory.ini.", soft_wrap=True
        )
    for note in notes:
        messages().print(Text("Note: ", style="yellow").append(plain(note)), soft_wrap=True)


def as_data(inventory: Inventory, hosts: Sequence[Host]) -> dict[str, Any]:
    """The document of ``--json``. port: null for what ssh's own settings say; problem: null for none."""
    return {
        "ok": True,
        "inventory": list(inventory.sources),
        "vaulted": list(inventory.vaulted),
        "hosts": [
            {
                "name": host.name,
                "local": host.local,
                "address": None if host.local else host.address,
                "port": host.port,
                "user": wanted.login,
                "stack": wanted.stack,
                "groups": list(host.groups),
                "problem": problem or None,
            }
            for host in hosts
            for wanted, problem in (_wanted(host, inventory),)
        ],
    }


def _wanted(host: Host, inventory: Inventory) -> tuple[Wanted, str]:
    """What is wanted of a host, and what keeps it from being used; "" for nothing."""
    try:
        return wanted_of(host.usable(), inventory), ""
    except SdopsError as error:
        return Wanted(stack="?", login=host.user), error.message


def _address(host: Host) -> str:
    if host.local:
        return "this machine"
    if host.port is None:
        return host.address
    return f"[{host.address}]:{host.port}" if ":" in host.address else f"{host.address}:{host.port}"
