"""conda for tests: the commands that the roles use, over rattler, which really solves and links.

Installed by the look-alike installer as PREFIX/bin/conda; runs on the installer's own Python 3.9.
In the points where the real program surprises it does the same: `create -y` on an existing
environment replaces it; the `defaults` channels are refused, when nobody can be asked, until their terms
are accepted; configuration files of the prefix and of the account are joined; an
@EXPLICIT list is installed without a solver, each package checked against its hash.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import traceback
import urllib.request
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "conda-meta" / "conda-version").read_text().strip()

#: What `defaults` means.
DEFAULT_CHANNELS = ["https://repo.anaconda.com/pkgs/main"]
TERMS = (
    "Terms of Service have not been accepted for the following channels. "
    "Please accept or remove them before proceeding:\n"
)


class CondaError(Exception):
    """An error of conda's: its class, as --json shows it, and its text."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def settings() -> dict[str, object]:
    """What the configuration files say: the account's come before the prefix's, lists are joined."""
    found: dict[str, object] = {"channel_alias": "https://conda.anaconda.org"}
    for file in (ROOT / ".condarc", Path.home() / ".condarc"):
        if file.exists():
            for key, value in _parse(file.read_text()).items():
                known = found.get(key)
                joined = isinstance(known, list) and isinstance(value, list)
                found[key] = [*value, *known] if joined else value
    if os.environ.get("CONDA_CHANNEL_ALIAS"):
        found["channel_alias"] = os.environ["CONDA_CHANNEL_ALIAS"]
    if os.environ.get("CONDA_DEFAULT_CHANNELS"):
        found["default_channels"] = os.environ["CONDA_DEFAULT_CHANNELS"].split(",")
    return found


def _parse(text: str) -> dict[str, object]:
    """The small part of YAML that configuration files of conda consist of."""
    found: dict[str, object] = {}
    key = ""
    for line in text.splitlines():
        bare = line.split(" #")[0].rstrip()
        if not bare.strip() or bare.startswith("#") or bare == "---":
            continue
        word = bare.strip()
        if word.startswith("- "):
            items = found.setdefault(key, []) or []
            assert isinstance(items, list)
            found[key] = [*items, word[2:].strip("\"'")]
        else:
            name, _, value = (part.strip() for part in word.partition(":"))
            inner = bare[0] == " "
            key = f"{key.split('.')[0]}.{name}" if inner else name
            if value:
                found[key] = [] if value == "[]" else value.strip("\"'")
            elif not inner:
                found[key] = None
    return {name: value for name, value in found.items() if value is not None}


def channels(given: argparse.Namespace) -> list[str]:
    """The URLs of the channels to use, in order; raises for those whose terms nobody has accepted."""
    known = settings()
    configured = known.get("channels") or ["defaults"]
    assert isinstance(configured, list)
    names = [*(given.channel or []), *([] if given.override_channels else configured)]
    defaults = known.get("default_channels", DEFAULT_CHANNELS)
    assert isinstance(defaults, list)
    found: list[str] = []
    for name in names:
        if name == "defaults":
            accepted = str(known.get("plugins.auto_accept_tos", "")).lower() in ("true", "yes")
            if not accepted and not os.environ.get("CI"):
                raise CondaError("CondaToSNonInteractiveError", TERMS + "\n".join(f"- {u}" for u in defaults))
            found += defaults
        else:
            found.append(name if "://" in name else f"{str(known['channel_alias']).rstrip('/')}/{name}")
    return list(dict.fromkeys(found))


def place(key: str, fallback: Path) -> Path:
    """The first folder of a setting that lists folders."""
    listed = settings().get(key)
    return Path(os.path.expandvars(listed[0])).expanduser() if isinstance(listed, list) else fallback


def prefix_of(given: argparse.Namespace) -> Path:
    """The environment that is meant."""
    if given.prefix:
        return Path(given.prefix).absolute()
    return named(given.name) if given.name else Path(os.environ.get("CONDA_PREFIX", ROOT))


def named(name: str) -> Path:
    """An environment by name or path; its path whether it exists or not."""
    if "/" in name:
        return Path(name).absolute()
    return ROOT if name == "base" else place("envs_dirs", ROOT / "envs") / name


def installed(prefix: Path) -> list[object]:
    """The records of an environment's packages, by name; raises where there is no environment."""
    import rattler

    if not (prefix / "conda-meta").is_dir():
        raise CondaError("EnvironmentLocationNotFound", f"Not a conda environment: {prefix}")
    found = [rattler.PrefixRecord.from_path(path) for path in (prefix / "conda-meta").glob("*.json")]
    return sorted(found, key=lambda record: record.name.normalized)


async def solve(given: argparse.Namespace, known: list[object], specs: list[str]) -> list[object]:
    """What the environment is to consist of."""
    import rattler

    if any(spec.split("=")[0].strip() == "python" for spec in specs):
        specs = [*specs, "pip"]  # as conda adds it to what Python depends on
    virtual = [one.into_generic() for one in rattler.VirtualPackage.detect()]
    cache = place("pkgs_dirs", ROOT / "pkgs")
    try:
        return await rattler.solve(
            [rattler.Channel(url) for url in channels(given)],
            [rattler.MatchSpec(spec) for spec in specs],  # read as conda reads them, not by the letter
            gateway=rattler.Gateway(cache_dir=cache / "cache"),
            locked_packages=known,
            virtual_packages=virtual,
            channel_priority=rattler.ChannelPriority.Disabled,
        )
    except CondaError:
        raise
    except Exception as error:
        text = str(error)
        unsolved = "Cannot solve" in text or "cannot be found" in text or "No candidates" in text
        raise CondaError("UnsatisfiableError" if unsolved else "CondaHTTPError", text) from None


def explicit(lines: list[str]) -> list[object]:
    """Records of the packages of an @EXPLICIT list (URL#md5), which are downloaded and checked here."""
    import rattler
    from rattler import package_streaming

    cache = place("pkgs_dirs", ROOT / "pkgs") / "explicit"
    cache.mkdir(parents=True, exist_ok=True)
    found = []
    for line in lines:
        url, _, wanted = line.partition("#")
        name = url.rsplit("/", 1)[1]
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                data = answer.read()
        except OSError as error:
            raise CondaError(
                "CondaHTTPError", f"HTTP 000 CONNECTION FAILED for url <{url}>: {error}"
            ) from None
        md5 = hashlib.md5(data).hexdigest()
        if wanted and md5 != wanted:
            what = "a mismatch between the expected content and downloaded content"
            raise CondaError("ChecksumMismatchError", f"Conda detected {what} for url '{url}'.")
        (cache / name).write_bytes(data)
        folder = cache / name.rsplit(".tar", 1)[0]
        package_streaming.extract(cache / name, folder)
        record = rattler.PackageRecord.from_index_json(
            folder / "info" / "index.json", len(data), hashlib.sha256(data).hexdigest(), md5
        )
        found.append(rattler.RepoDataRecord(record, name, url, url.rsplit("/", 2)[0]))
    return found


async def change(given: argparse.Namespace, prefix: Path, known: list[object]) -> None:
    """Brings an environment to what is asked for, and says what that took."""
    import rattler

    specs, listed = list(given.packages), None
    for file in given.file or []:
        lines = [line.strip() for line in Path(file).read_text().splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if "@EXPLICIT" in lines:
            listed = [line for line in lines if line != "@EXPLICIT"]
        else:
            specs += lines
    asked = prefix / "conda-meta" / "asked"
    before = asked.read_text().splitlines() if known and asked.exists() else []
    names = {rattler.MatchSpec(spec).name.normalized for spec in specs}
    specs = [spec for spec in before if rattler.MatchSpec(spec).name.normalized not in names] + specs
    records = explicit(listed) if listed is not None else await solve(given, known, specs)
    old, new = {_key(record) for record in known}, {_key(record) for record in records}
    if old == new and known and listed is None:
        done = {"success": True, "message": "All requested packages already installed."}
        print(json.dumps(done) if given.json else f"\n# {done['message']}\n")
        return
    if not given.dry_run:
        cache = place("pkgs_dirs", ROOT / "pkgs")
        await rattler.install(records, prefix, cache, known or None, show_progress=False)
        asked.write_text("".join(f"{spec}\n" for spec in specs))
        (prefix / "conda-meta" / "history").touch()
    link, unlink = (
        [dict(zip(("name", "version", "build_string"), key)) for key in sorted(keys)]
        for keys in (new - old, old - new)
    )
    if given.json:
        actions = {"PREFIX": str(prefix), "LINK": link, "UNLINK": unlink}
        print(json.dumps({"success": True, "prefix": str(prefix), "actions": actions}))
    elif not given.quiet:
        for sign, packages in (("-", unlink), ("+", link)):
            for package in packages:
                print(" ", sign, *package.values())


def _key(record: object) -> tuple[str, str, str]:
    return record.name.normalized, str(record.version), str(record.build)  # type: ignore[attr-defined]


def show_list(given: argparse.Namespace, prefix: Path) -> None:
    """Prints an environment's packages: for people, as JSON, or as an @EXPLICIT list."""
    import rattler

    records = installed(prefix)
    if given.explicit:
        print("# This file may be used to create an environment using:")
        print("# $ conda create --name <env> --file <this file>\n# platform: linux-64\n@EXPLICIT")
        named = {record.name.normalized: record for record in records}
        for one in rattler.PrefixRecord.sort_topologically(list(records)):  # of another class, without URLs
            record = named[one.name.normalized]
            print(record.url + (f"#{record.md5.hex()}" if given.md5 else ""))
        return
    rows = []
    for record in records:
        channel = str(record.channel).rstrip("/")
        name, version, build = _key(record)
        rows.append(
            {"name": name, "version": version, "build_string": build, "channel": channel.rsplit("/", 1)[-1]}
        )
    if given.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"# packages in environment at {prefix}:\n#")
        for row in rows:
            print("{name:<24} {version:<16} {build_string:<28} {channel}".format(**row))


def activation(prefix: Path | None) -> str:
    """Shell commands that leave the active environment, if there is one, and enter another."""
    current = os.environ.get("CONDA_PREFIX")
    lines = []
    path = os.environ.get("PATH", "").split(":")
    if current:
        lines += [f". {shlex.quote(str(script))}" for script in _scripts(Path(current), "deactivate.d")]
        path = [entry for entry in path if entry != f"{current}/bin"]
        lines.append("unset CONDA_PREFIX CONDA_DEFAULT_ENV CONDA_SHLVL")
    if prefix:
        path = [f"{prefix}/bin", *path]
        values = {"CONDA_PREFIX": prefix, "CONDA_DEFAULT_ENV": prefix.name, "CONDA_SHLVL": 1}
        lines += [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
    lines.append(f"export PATH={shlex.quote(':'.join(path))}")
    if prefix:
        lines += [f". {shlex.quote(str(script))}" for script in _scripts(prefix, "activate.d")]
    return "\n".join(lines) + "\n"


def _scripts(prefix: Path, kind: str) -> list[Path]:
    return sorted((prefix / "etc" / "conda" / kind).glob("*.sh"), reverse=kind == "deactivate.d")


def existing(name: str) -> Path:
    """An environment that has to exist."""
    prefix = named(name)
    if not (prefix / "conda-meta").is_dir():
        raise CondaError("EnvironmentNameNotFound", f"Could not find conda environment: {name}")
    return prefix


def shell(words: list[str]) -> None:
    """What the shell function of etc/profile.d/conda.sh evaluates."""
    if words[0] == "hook":
        print((ROOT / "etc" / "profile.d" / "conda.sh").read_text())
    elif words[0] == "activate":
        print(activation(existing(words[1] if len(words) > 1 else "base")))
    elif words[0] == "deactivate":
        print(activation(None))


def arguments() -> argparse.ArgumentParser:
    """The part of conda's command line that the roles and the people in the tests use."""
    parser = argparse.ArgumentParser("conda")
    parser.add_argument("-V", "--version", action="version", version=f"conda {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    for flags in (("-y", "--yes"), ("-q", "--quiet"), ("--json",), ("--dry-run",), ("--override-channels",)):
        common.add_argument(*flags, action="store_true")
    common.add_argument("-n", "--name")
    common.add_argument("-p", "--prefix")
    common.add_argument("-c", "--channel", action="append")
    for name in ("create", "install"):
        sub = commands.add_parser(name, parents=[common])
        sub.add_argument("--file", action="append")
        sub.add_argument("packages", nargs="*")
    listing = commands.add_parser("list", parents=[common])
    listing.add_argument("--explicit", action="store_true")
    listing.add_argument("--md5", action="store_true")
    commands.add_parser("info", parents=[common])
    commands.add_parser("env", parents=[common]).add_argument("sub", choices=["list"])
    run = commands.add_parser("run", parents=[common])
    run.add_argument("--no-capture-output", action="store_true")
    run.add_argument("argv", nargs=argparse.REMAINDER)
    return parser


def obey(given: argparse.Namespace) -> int:
    """Carries a command out; returns the exit status."""
    prefix = prefix_of(given)
    if given.command == "create":
        channels(given)  # their terms come before anything is removed
        if prefix.exists():
            shutil.rmtree(prefix)
        asyncio.run(change(given, prefix, []))
    elif given.command == "install":
        asyncio.run(change(given, prefix, installed(prefix)))
    elif given.command == "list":
        show_list(given, prefix)
    elif given.command == "info":
        print(json.dumps({"conda_version": VERSION, "root_prefix": str(ROOT), "channels": channels(given)}))
    elif given.command == "env":
        folder = place("envs_dirs", ROOT / "envs")
        found = [ROOT, *sorted(path.parent for path in folder.glob("*/conda-meta"))]
        print(
            json.dumps({"envs": [str(path) for path in found]}) if given.json else "\n".join(map(str, found))
        )
    elif given.command == "run":
        script = activation(prefix) + "exec " + shlex.join(given.argv)
        return subprocess.run(["bash", "-c", script]).returncode
    return 0


def main(words: list[str]) -> int:
    """Does what the command line says; returns the exit status."""
    as_json = "--json" in words
    try:
        if words[:1] == ["shell.posix"]:
            shell(words[1:])
            return 0
        return obey(arguments().parse_args(words))
    except CondaError as error:
        told = {"exception_name": error.name, "error": str(error), "message": str(error), "success": False}
        if as_json:
            print(json.dumps(told))
        else:
            print(f"\n{error.name}: {error}\n", file=sys.stderr)
        return 1


def leave(status: int) -> NoReturn:
    """Ends at once: this rattler now and then crashes while the interpreter takes itself apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        leave(main(sys.argv[1:]))
    except SystemExit as ending:
        leave(ending.code if isinstance(ending.code, int) else 1 if ending.code else 0)
    except BaseException:
        traceback.print_exc()
        leave(1)
