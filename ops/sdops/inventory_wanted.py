"""What a host is meant to be, from the inventory's settings and the defaults of the role ``sdops``."""

import importlib.util
import os
import shutil
import sys
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import sdops_runtime
from sdops_runtime.protocol import PROTOCOL

from sdops import vault
from sdops.errors import SdopsError
from sdops.facts.wanted import Wanted
from sdops.inventory import THIS_MACHINE, Host, Inventory

_DEFAULT = {one.name: one.default for one in fields(Wanted)}

#: Ansible's variable for each of Wanted's fields that a person sets.
FIELDS = {
    "sdops_user": "user",
    "sdops_stack": "stack",
    "sdops_env": "env",
    "sdops_expect_gpu": "expect_gpu",
    "sdops_model": "model",
    "sdops_model_revision": "revision",
    "sdops_hub_endpoint": "hub",
    "stack_env_torch_by_pip": "torch_by_pip",
}
#: Where conda is found has a default that is made of another setting.
PREFIX = "miniconda_prefix"
SETTINGS = (*FIELDS, PREFIX)

#: What variables are worth where nobody sets them; a test holds them against the roles' own defaults.
DEFAULTS: dict[str, Any] = {name: _DEFAULT[field] for name, field in FIELDS.items()}

#: What ``pip install sdops[local]`` installs (runtime/extras_hook.py).
STACK_HERE = "cu130"

_TRUE, _FALSE = ("true", "yes", "on", "1", "y", "t", "1.0"), ("false", "no", "off", "0", "n", "f", "0.0", "")


def wanted_of(host: Host, inventory: Inventory) -> Wanted:
    """What is wanted of a host. Raises SdopsError("inventory-unreadable") for a value that makes no sense."""
    if host is THIS_MACHINE:
        me = _myself()
        # Nothing of it was provisioned: the Python that sdops runs in makes the pictures, with a GPU or
        # without.
        return Wanted(
            user=me,
            login=me,
            stack=STACK_HERE,
            env="",
            prefix="",
            expect_gpu=False,
            digest=digest(),
            protocol=PROTOCOL,
            python=sys.executable,
        )
    values = {field: _value(host, name, host.variables.get(name)) for name, field in FIELDS.items()}
    return Wanted(
        **values,
        prefix=str(host.variables.get(PREFIX) or f"/home/{values['user']}/miniconda3"),
        address=host.address,
        ssh=host.ssh_options,
        login=_myself() if host.local else host.user,
        playbook=playbook(host, inventory),
        digest=digest(),
        protocol=PROTOCOL,
    )


def _value(host: Host, name: str, value: Any) -> Any:
    default = DEFAULTS[name]
    if value is None:
        return default
    if not isinstance(default, bool):
        return str(value)
    if str(value).lower() in _TRUE:
        return True
    if str(value).lower() in _FALSE:
        return False
    raise SdopsError(
        "inventory-unreadable",
        f"{name} of {host.name} is {value!r}, which is neither true nor false.",
        "Correct it.",
    )


def _myself() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this uid
        return str(os.getuid())


def playbook(host: Host, inventory: Inventory, exported: bool = False) -> tuple[str, ...]:
    """The words that begin every command which mends a host, as they are to be typed here.

    exported: whether a variable will tell Ansible the file with the vault's password.
    """
    options = () if exported else _vault(inventory)
    return (program(), *inventory.words, *options, _shown(site()), "-l", host.name)


def passwords(inventory: Inventory) -> tuple[Path, ...]:
    """The files with passwords of vaults that Ansible does not find by itself; absolute."""
    if not inventory.vaulted:
        return ()
    beside = (vault.beside(Path(source).expanduser().absolute()) for source in inventory.sources)
    found = dict.fromkeys(one for one in beside if one.is_file())
    return tuple(one for one in found if not vault.same(one, vault.configured()))


def _vault(inventory: Inventory) -> tuple[str, ...]:
    """The options without which Ansible cannot read what is vaulted."""
    files = passwords(inventory)
    if not files and inventory.vaulted and not vault.opens_by_itself():
        return ("--ask-vault-pass",)
    return tuple(word for file in files for word in ("--vault-password-file", _shown(file)))


def program(name: str = "ansible-playbook") -> str:
    """A program of Ansible as it is to be typed: by its name, or by its place beside this Python."""
    if not shutil.which(name):
        beside = Path(sys.executable).with_name(name)
        if beside.exists():
            return _shown(beside)
    return name


def site() -> Path:
    """The playbook: of the checkout that this package runs from, or of the working folder."""
    ours = _checkout() / "ansible" / "site.yml"
    return ours if ours.exists() else Path("ansible/site.yml")


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]


def _shown(path: Path) -> str:
    """A path as short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)


@lru_cache(maxsize=1)
def digest() -> str:
    """SHA-256 of the runtime that this version deploys, packed from the package that is installed here.

    "" where the packer is not to be had.
    """
    for place in (_checkout() / "runtime" / "build_pyz.py", Path(__file__).with_name("_build_pyz.py")):
        spec = importlib.util.spec_from_file_location("sdops_build_pyz", place) if place.is_file() else None
        if spec and spec.loader:
            import hashlib

            packer: Any = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(packer)
            packer.PACKAGE = Path(sdops_runtime.__file__).parent
            return hashlib.sha256(packer.pack()).hexdigest()
    return ""
