"""Where this machine's own apt and pip get packages from, asked of them at run time.

Names of mirrors stand nowhere in the project: what works for the machine is handed on
to the test hosts, and nothing else is let through to them (see proxy).
"""

from __future__ import annotations

import ast
import functools
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .command import run
from .machine import ReleaseGoneError, UnavailableError

#: Extra certificate authorities of this machine, where Debian's ca-certificates looks for them.
LOCAL_CAS = Path("/usr/local/share/ca-certificates")

#: pip's settings that name a place; the values may hold several, separated by blanks.
PIP_PLACES = ("index-url", "extra-index-url", "find-links", "trusted-host")


@dataclass(frozen=True)
class Mirrors:
    """Debian's archive and its security archive (None where apt has none), without a final slash."""

    main: str
    security: str | None


@functools.cache
def mirrors() -> Mirrors | None:
    """The mirrors apt is set up with here; None without apt, or where it knows no Debian mirror."""
    form = "$(REPO_URI)|$(ORIGIN)|$(LABEL)"
    try:
        listed = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=False)
    except FileNotFoundError:
        return None
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        uri, origin, label = line.split("|")
        if origin == "Debian":
            found.setdefault(label, uri.rstrip("/"))
    return Mirrors(found["Debian"], found.get("Debian-Security")) if "Debian" in found else None


def offers(mirror: str, suite: str) -> bool | None:
    """Whether a mirror has a suite; None when the mirror does not answer."""
    try:
        with urllib.request.urlopen(f"{mirror}/dists/{suite}/InRelease", timeout=20):
            return True
    except urllib.error.HTTPError as error:
        return False if error.code in (403, 404, 410) else None
    except OSError:
        return None


def sources(release: str, archive: Mirrors) -> tuple[str, ...]:
    """Lines of a sources.list for a release: those of its suites that the mirrors still have.

    Suites beside the release's own (updates, security) vanish at other times than it does, once
    its support has ended. Raises ReleaseGoneError when it is not there itself, UnavailableError
    when its mirror does not answer.
    """
    # non-free firmware has a component of its own from Debian 12 on; apt only warns where it is absent.
    components = "main contrib non-free" + ("" if release == "bullseye" else " non-free-firmware")
    wanted = [(archive.main, release), (archive.main, f"{release}-updates")]
    if archive.security:
        wanted.append((archive.security, f"{release}-security"))
    there = [offers(mirror, suite) for mirror, suite in wanted]
    if there[0] is None:
        raise UnavailableError(f"Debian {release}: apt's mirror here does not answer")
    if not there[0]:
        raise ReleaseGoneError(f"Debian {release}: apt's mirror here does not have it (any more)")
    return tuple(f"deb {m} {s} {components}" for (m, s), has in zip(wanted, there, strict=True) if has)


def local_cas() -> tuple[Path, ...]:
    """Certificates of the machine's extra authorities; a guest needs them where a mirror is re-signed."""
    return tuple(sorted(LOCAL_CAS.glob("*.crt")))


@functools.cache
def pip_settings() -> dict[str, str]:
    """pip's settings that name a place on the network; paths of this machine are left out."""
    listed = run([sys.executable, "-m", "pip", "config", "list"], check=False)
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        key = name.rsplit(".", 1)[-1]
        if key in PIP_PLACES:
            reachable = [place for place in ast.literal_eval(value).split() if not _local(place)]
            if reachable:
                found[key] = " ".join(reachable)
    return found


def _local(place: str) -> bool:
    return place.startswith(("/", ".", "~", "file:"))


@functools.cache
def pip_names() -> frozenset[str]:
    """Names of the hosts pip fetches from: those in its settings, or else its built-in ones."""
    set_up = pip_settings()
    places = " ".join(set_up.get(key, "") for key in ("index-url", "extra-index-url", "find-links")).split()
    names = {urlsplit(place).hostname or "" for place in places}
    if "index-url" not in set_up:
        ask = "from pip._internal.models.index import PyPI as p; print(p.netloc, p.file_storage_domain)"
        names |= set(run([sys.executable, "-c", ask], check=False).stdout.split())
    return frozenset(names - {""})


@functools.cache
def names() -> frozenset[str]:
    """Names of all hosts from which packages come."""
    archive = mirrors()
    uris = [uri for uri in (archive.main, archive.security) if uri] if archive else []
    return frozenset(urlsplit(uri).hostname or "" for uri in uris) | pip_names()
