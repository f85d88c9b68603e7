"""Reads an inventory with Ansible's own library. A program of its own: ``python inventory_read.py < ASKED``.

Run in another process, by the Python that has Ansible: importing Ansible takes half a second and changes the
process (it replaces ``sys.intern``, after which torch cannot be imported). Imports nothing of sdops. What it
prints is JSON: hosts with their groups and the variables asked for, templated. A value from a vault is
left out, and files that are vaulted as a whole are passed over: no password is asked for, and no secret
gets out.
"""

import contextlib
import json
import re
import sys
import warnings
from typing import Any, TextIO

#: What a template asks others with.
_ASKS = re.compile(r"\b(lookup|query|q|now)\s*\(")

#: Exit status for a Python that has no Ansible.
NO_ANSIBLE = 3
#: Begins the line with the error itself, below Ansible's own warnings.
MARK = "SDOPS "


def main() -> int:
    """Reads what is asked from stdin and prints the answer."""
    asked = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # Ansible's plugins may print
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ansible.errors import AnsibleError
            from ansible.plugins.loader import init_plugin_loader
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return NO_ANSIBLE
    try:
        init_plugin_loader()  # without it there are no collections
        answer = read(asked)
    except AnsibleError as error:
        sys.stderr.write(f"{MARK}{_one_line(error)}\n")
        return 1
    _print(answer, out)
    return 0


def read(asked: dict[str, Any]) -> dict[str, Any]:
    """The answer. asked: sources, names of the variables to tell, and defaults of some of them."""
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.release import __version__
    from ansible.vars.manager import VariableManager

    vaulted: list[str] = []

    class Loader(DataLoader):  # type: ignore[misc]
        """Passes over files that are vaulted as a whole: what sdops needs should not be in one."""

        def load_from_file(self, file_name: str, *args: Any, **options: Any) -> Any:
            with contextlib.suppress(OSError), open(file_name, "rb") as file:  # noqa: PTH123
                if file.read(14) == b"$ANSIBLE_VAULT":
                    if file_name not in vaulted:
                        vaulted.append(str(file_name))
                    return {}
            return super().load_from_file(file_name, *args, **options)

    loader = Loader()
    inventory = InventoryManager(loader=loader, sources=asked["sources"])
    manager = VariableManager(loader=loader, inventory=inventory)
    return {
        "ansible": __version__,
        "vaulted": vaulted,
        "groups": {
            str(name): [str(host.name) for host in group.get_hosts()]
            for name, group in inventory.groups.items()
        },
        "hosts": [_host(host, loader, manager, asked) for host in inventory.get_hosts("all")],
    }


def _host(host: Any, loader: Any, manager: Any, asked: dict[str, Any]) -> dict[str, Any]:
    from ansible.errors import AnsibleError
    from ansible.template import Templar

    values = manager.get_vars(host=host, include_hostvars=False)
    # What none of them sets is not told, but other values may be made of it.
    templar = Templar(loader=loader, variables={**asked["defaults"], **values})
    told: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for name in asked["names"]:
        value = values.get(name)
        if value is None:
            continue
        # EncryptedString since 2.19, AnsibleVaultEncryptedUnicode before.
        if "Encrypted" in type(value).__name__:
            broken[name] = "it is vaulted"
            continue
        try:
            told[name] = _plain(templar.template(value))
        except AnsibleError as error:
            broken[name] = _one_line(error)
    groups = [str(group.name) for group in host.get_groups()]
    return {
        "name": str(host.name),
        "groups": groups,
        "variables": told,
        "broken": broken,
        "changing": _changing(values),
    }


def _changing(values: dict[str, Any]) -> bool:
    """Whether a setting may be made of something that is no part of the inventory."""
    for value in values.values():
        # A value that cannot be told, since it is vaulted, makes none of those that can.
        with contextlib.suppress(Exception):
            text = str(value)
            if "{{" in text and _ASKS.search(text):
                return True
    return False


def _plain(value: Any) -> Any:
    """Without Ansible's marks on it."""
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _print(answer: Any, out: TextIO) -> None:
    out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    sys.exit(main())
