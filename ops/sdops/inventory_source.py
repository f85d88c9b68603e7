"""Which inventory counts, and what it stands in: files, folders, a cloud."""

import configparser
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sdops.errors import SdopsError

#: Ours; several are parted as in ANSIBLE_INVENTORY, by commas.
VARIABLE = "SDOPS_INVENTORY"
#: What is looked for in the working folder when nothing says otherwise.
USUAL = ("inventory.ini", "inventory.yml", "inventory.yaml", "inventory")

#: A file for one of Ansible's inventory plugins, which may ask a cloud.
_PLUGIN = re.compile(rb"^[\"']?plugin[\"']?\s*:", re.MULTILINE)


def find(named: Sequence[Path | str] = ()) -> tuple[str, ...]:
    """The sources, as a person would name them; () for none.

    Those of the option, else of SDOPS_INVENTORY, else of Ansible's own setting, else a usual file here.

    Raises SdopsError("inventory-missing").
    """
    if named:
        return _checked([str(one) for one in named], "-i")
    sources, origin = configured()
    if origin:
        return _checked(list(sources), origin)
    return next(((name,) for name in USUAL if Path(name).exists()), ())


def configured() -> tuple[tuple[str, ...], str]:
    """The sources that are set, there or not, and where they are: a variable, ansible.cfg, "" for nowhere."""
    for variable in (VARIABLE, "ANSIBLE_INVENTORY"):
        if os.environ.get(variable):
            return tuple(_split(os.environ[variable])), variable
    value, folder = setting("inventory")
    sources = tuple(_beside(folder, part.strip()) for part in value.split(",") if part.strip())
    return sources, "ansible.cfg" if sources else ""


def setting(name: str) -> tuple[str, Path]:
    """A setting of the first ansible.cfg, by Ansible's own order, and the folder of that; "" for none."""
    for place in (
        os.environ.get("ANSIBLE_CONFIG"),
        "ansible.cfg",
        "~/.ansible.cfg",
        "/etc/ansible/ansible.cfg",
    ):
        path = Path(place or "").expanduser()
        if not place or not path.is_file():
            continue
        if place == "ansible.cfg" and path.absolute().parent.stat().st_mode & 0o002:
            continue  # Ansible does not trust one either that anybody may have put there
        parser = configparser.ConfigParser(interpolation=None, strict=False, inline_comment_prefixes=(";",))
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            break
        return parser.get("defaults", name, fallback=""), path.absolute().parent
    return "", Path()


def is_list(source: str) -> bool:
    """Whether it is no file but the hosts themselves, as in ``gpu1,gpu2``."""
    return "," in source and not Path(source).exists()


def files(source: str) -> Iterator[Path]:
    """Every file that says something: the source itself, or those in it, and the variables beside it."""
    if is_list(source):
        return
    path = Path(source).expanduser()
    yield from _all_files(path)
    if not path.is_dir():
        for name in ("group_vars", "host_vars"):
            yield from _all_files(path.parent / name)


def is_dynamic(source: str) -> bool:
    """Whether what it says may change while its files do not: a program, or a plugin that asks a cloud."""
    return any(_asks(path) for path in files(source) if path.parent.name not in ("group_vars", "host_vars"))


def _asks(path: Path) -> bool:
    if os.access(path, os.X_OK):
        return True
    try:
        return path.suffix in (".yml", ".yaml") and bool(_PLUGIN.search(path.read_bytes()))
    except OSError:
        return False


def _all_files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for one in sorted(path.rglob("*")):
            if one.is_file():
                yield one
    elif path.exists():
        yield path


def _split(text: str) -> list[str]:
    """As Ansible does: by commas, unless the whole is a list of hosts."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if all(Path(part).expanduser().exists() for part in parts):
        return parts
    return [text] if "," in text else parts


def _checked(sources: list[str], origin: str) -> tuple[str, ...]:
    for source in sources:
        if not is_list(source) and not Path(source).expanduser().exists():
            raise SdopsError(
                "inventory-missing",
                f"There is no inventory {source} (named by {origin}).",
                "Copy inventory.example.ini, or name another file with -i.",
            )
    return tuple(sources)


def _beside(folder: Path, source: str) -> str:
    path = folder / Path(source).expanduser()
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
