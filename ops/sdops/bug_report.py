"""Gathers what somebody needs who is to find a fault: versions, facts, findings, jobs and logs."""

import getpass
import json
import locale
import os
import socket
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdops import inventory, inventory_wanted, versions
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
#: Variables of a host whose values are secrets.
_SECRET = ("token", "password", "secret", "pass", "key")
#: Variables of the environment that may change what sdops does.
_ENVIRONMENT = ("ANSIBLE_", "SDOPS_", "HF_HUB_", "HF_ENDPOINT", "TERM", "COLUMNS", "NO_COLOR", "LANG", "LC_")

_README = """\
What is in this archive, and what is not.

{files}

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

    Raises SdopsError: file-unwritable, what ``inventory.read`` raises.
    """
    target = place or Path(time.strftime("sdops-report-%Y%m%d-%H%M%S.zip"))
    if target.exists():
        raise SdopsError("file-unwritable", f"{target} is there already.", "Name another file with --out.")
    found = inventory.read(sources)
    hosts = [host for host in found.find(names) if host is not THIS_MACHINE]
    scrub = Scrub(_secrets(found), _names(found))
    facts, findings = judge(names)
    texts = {"versions.txt": _versions(), "facts.json": _json(facts), "findings.json": _json(findings)}
    missed: list[SdopsError] = []
    if hosts:
        away = places([host.name for host in hosts], sources)
        texts.update(_of_hosts(away, missed))
        texts["inventory.json"] = _json([_settings(host) for host in hosts])
    cleaned = {scrub.clean(name): scrub.clean(text) for name, text in texts.items()}
    listed = "\n".join(f"    {name}" for name in cleaned)
    taken = ", ".join(f"{kind} {count} times" for kind, count in sorted(scrub.taken.items())) or "nothing"
    cleaned["README.txt"] = _README.format(files=listed, taken=taken)
    _write(target, cleaned)
    sizes = {name: len(text.encode()) for name, text in cleaned.items()}
    clean = tuple(SdopsError(one.code, scrub.clean(one.message), scrub.clean(one.hint)) for one in missed)
    return Bundle(target, sizes, dict(scrub.taken), clean)


def _versions() -> str:
    lines = [*versions.lines(), f"encoding {locale.getpreferredencoding()}, {sys.stdout.encoding}"]
    lines.append(f"terminal: stdout {sys.stdout.isatty()}, stderr {sys.stderr.isatty()}")
    lines += [
        f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(_ENVIRONMENT)
    ]
    return "\n".join(lines) + "\n"


def _of_hosts(found: Sequence[Place], missed: list[SdopsError]) -> Iterator[tuple[str, str]]:
    jobs = []
    for listed in overview.look(found, JOBS):
        told = [{key: job.get(key) for key in _OF_JOB} for job in listed.jobs]
        error = None if listed.error is None else f"{listed.error.code}: {listed.error.message}"
        jobs.append({"host": listed.host, "serving": listed.serving, "jobs": told, "error": error})
    yield "jobs.json", _json(jobs)

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


def _secrets(found: Inventory) -> Iterator[str]:
    """All that is known to be secret here."""
    for name, value in os.environ.items():
        if any(word in name.lower() for word in _SECRET):
            yield value
    for place in (os.environ.get("HF_TOKEN_PATH"), Path.home() / ".cache/huggingface/token"):
        if place:
            try:
                yield Path(place).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                continue
    for host in found.hosts:
        for name, value in host.variables.items():
            if isinstance(value, str) and any(word in name.lower() for word in _SECRET):
                yield value


def _names(found: Inventory) -> Iterator[tuple[str, str]]:
    """Names of hosts, people and folders, each with the word that takes its place."""
    yield str(Path.home()), "~"
    yield str(Path.cwd()), "<folder>"
    yield socket.gethostname(), "<this-machine>"
    with suppress(OSError, KeyError):  # no name for this uid
        yield getpass.getuser(), "<user>"
    for number, host in enumerate(found.hosts, 1):
        yield host.address, f"<address-of-host-{number}>"
        yield host.name, f"<host-{number}>"
        yield host.user, "<user>"


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n"


def _write(target: Path, texts: Mapping[str, str]) -> None:
    """Whole or not at all, for this account alone."""
    aside = target.with_name(f".{target.name}.part")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(name.replace("/", "_"), text)
        aside.replace(target)
    except OSError as error:
        raise SdopsError("file-unwritable", f"{target} cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)
