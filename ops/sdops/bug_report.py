"""Gathers what somebody needs who is to find a fault: versions, facts, findings, jobs and logs."""

import json
import locale
import os
import secrets
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdops import inventory, inventory_source, inventory_wanted, private, versions
from sdops.errors import SdopsError
from sdops.inventory import THIS_MACHINE, Host, Inventory
from sdops.jobs import overview
from sdops.jobs.place import Place, each, places
from sdops.scrub import Scrub

#: So many of a host's newest jobs, and of its worker's last lines.
JOBS, LINES = 20, 300

#: What is told of a job: nothing of what is in its pictures.
_OF_JOB = (
    "job",
    "state",
    "cancel",
    "fetched",
    "made",
    "failed",
    "flagged",
    "wanted",
    "begun",
    "ended",
    "model",
)
#: Variables of the environment that may change what sdops does.
_ENVIRONMENT = ("ANSIBLE_", "SDOPS_", "HF_HUB_", "HF_ENDPOINT", "TERM", "COLUMNS", "NO_COLOR", "LANG", "LC_")

_README = """\
What is in this archive, and what is not.

{files}
{missed}
Taken out, and replaced by words such as <address-1>, the same everywhere: {taken}.
Never gathered: photographs, pictures, prompts, access tokens, keys, your other files.

Please look through it before you send it: what sdops does not know to be private, it cannot take out.
"""


@dataclass(frozen=True)
class Bundle:
    """What was gathered: file names with sizes; what was taken out, how often, by kind; what was missed."""

    place: Path
    files: Mapping[str, int]
    taken: Mapping[str, int]
    missed: tuple[SdopsError, ...] = ()


def write(
    names: Sequence[str],
    sources: Sequence[Path],
    place: Path | None,
    judge: Callable[[Sequence[str]], tuple[dict[str, Any], dict[str, Any]]],
) -> Bundle:
    """Gathers and writes the archive. judge: facts and findings of the hosts.

    What cannot be had is left out, and that is said: a report is needed most where things are broken.
    Raises SdopsError: file-unwritable, host-unknown, inventory-missing for one that was named.
    """
    target = place or Path(time.strftime("sdops-report-%Y%m%d-%H%M%S.zip"))
    if target.exists():
        raise SdopsError("file-unwritable", f"{target} is there already.", "Name another file with --out.")
    missed: list[SdopsError] = []
    read = _read(sources, missed)
    found = read or Inventory()
    hosts = [host for host in found.find(names) if host is not THIS_MACHINE] if read else []
    files = _files(sources)
    scrub = Scrub(private.secrets(found, files), private.names(found, files))
    texts = {"versions.txt": _versions(scrub)}
    data: dict[str, Any] = {}
    if read:
        with _without(missed):
            data["facts.json"], data["findings.json"] = judge(names)
    if hosts:
        data["inventory.json"] = [_settings(host) for host in hosts]
        with _without(missed):
            gathered = dict(_of_hosts(places([host.name for host in hosts], sources), missed))
            texts |= {name: one for name, one in gathered.items() if isinstance(one, str)}
            data |= {name: one for name, one in gathered.items() if not isinstance(one, str)}
    cleaned = {scrub.clean(name): scrub.clean(text) for name, text in texts.items()}
    # Before it is JSON, where a secret may be escaped; and what is cleaned has to stay JSON.
    cleaned |= {name: _json(scrub.clean_data(json.loads(_json(one)))) for name, one in data.items()}
    clean = tuple(SdopsError(one.code, scrub.clean(one.message), scrub.clean(one.hint)) for one in missed)
    cleaned["README.txt"] = _about(cleaned, clean, scrub)
    _write(target, cleaned)
    sizes = {name: len(text.encode()) for name, text in cleaned.items()}
    return Bundle(target, sizes, dict(scrub.taken), clean)


def _read(sources: Sequence[Path], missed: list[SdopsError]) -> Inventory | None:
    """The inventory; None for one that cannot be read, which is a reason for a report."""
    try:
        return inventory.read(sources)
    except SdopsError as error:
        if error.code == "inventory-missing" and sources:
            raise
        missed.append(error)
        return None


def _files(sources: Sequence[Path]) -> tuple[str, ...]:
    """Where the inventory stands, as far as it is there."""
    try:
        return inventory_source.find(sources)
    except SdopsError:
        return ()


@contextmanager
def _without(missed: list[SdopsError]) -> Iterator[None]:
    """Goes on without what cannot be had."""
    try:
        yield
    except SdopsError as error:
        missed.append(error)


def _about(texts: Mapping[str, str], missed: Sequence[SdopsError], scrub: Scrub) -> str:
    listed = "\n".join(f"    {name}" for name in texts)
    taken = ", ".join(f"{kind} {count} times" for kind, count in sorted(scrub.taken.items())) or "nothing"
    lines = [f"    {one.code}: {' '.join(one.message.split())}" for one in missed]
    said = "\n".join(["", "Could not be gathered:", "", *lines, ""]) if lines else ""
    return _README.format(files=listed, missed=said, taken=taken)


def _versions(scrub: Scrub) -> str:
    lines = [*versions.lines(), f"encoding {locale.getpreferredencoding()}, {sys.stdout.encoding}"]
    lines.append(f"terminal: stdout {sys.stdout.isatty()}, stderr {sys.stderr.isatty()}")
    for name, value in sorted(os.environ.items()):
        if name.startswith(_ENVIRONMENT):
            # A password may have blanks in it, or be as short as any word: the name tells.
            called = "password" if private.is_secret(name) else ""
            lines.append(f"{name}={scrub.clean_data(value, called)}")
    return "\n".join(lines) + "\n"


def _of_hosts(found: Sequence[Place], missed: list[SdopsError]) -> Iterator[tuple[str, Any]]:
    """Files by their names: texts, and data."""
    jobs = []
    for listed in overview.look(found, JOBS):
        told = [{key: job.get(key) for key in _OF_JOB} for job in listed.jobs]
        error = None if listed.error is None else f"{listed.error.code}: {listed.error.message}"
        jobs.append({"host": listed.host, "serving": listed.serving, "jobs": told, "error": error})
    yield "jobs.json", jobs

    def ask(place: Place) -> str:
        with place.conversation() as one:
            one.hello()
            return str(one.ask("log", "log", lines=LINES).data.get("text", ""))

    for place, log in zip(found, each(found, ask), strict=True):
        if isinstance(log, SdopsError):
            missed.append(log)
        else:
            yield f"worker-{place.name}.log", log


def _settings(host: Host) -> dict[str, Any]:
    """A host of the inventory, with those settings that sdops knows."""
    known = {name: value for name, value in host.variables.items() if name in inventory_wanted.SETTINGS}
    return {"host": host.name, "groups": host.groups, "port": host.port, "user": host.user, "set": known}


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n"


def _write(target: Path, texts: Mapping[str, str]) -> None:
    """Whole or not at all, for this account alone."""
    # A name that nobody can foresee, and nothing that is there already: it may be a link.
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(name.replace("/", "_"), text)
        aside.replace(target)
    except OSError as error:
        raise SdopsError("file-unwritable", f"{target} cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)
