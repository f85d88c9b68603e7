"""Hosts for people: ``up`` in one terminal, the rest in others. Run where ``hosts`` can be imported:

PYTHONPATH=tests python3 -m hosts up web db --release trixie     (Ctrl-C ends them)
PYTHONPATH=tests python3 -m hosts ssh web
PYTHONPATH=tests python3 -m hosts run ansible-playbook -i INVENTORY ansible/site.yml
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from . import base
from .enclosure import RUN
from .lab import DISK, Lab
from .machine import UnavailableError

NOTE = "by-hand.json"


def up(names: list[str], release: str, disk: str) -> None:
    """Makes hosts and keeps them until it is interrupted or told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Lab() as lab, contextlib.suppress(KeyboardInterrupt):
        hosts = [lab.host(name, release, disk=disk, wait=False) for name in names]
        for host in hosts:
            host.wait_up()
            print(f"{host.name}\t{host.address}\t{host.release}")
        print(f"inventory\t{lab.inventory(*hosts)}\nkey\t{lab.controller.key}", flush=True)
        note = {"enter": lab.controller.enter_argv(), "ssh_config": str(lab.controller.ssh_config)}
        (lab.folder / NOTE).write_text(json.dumps({**note, "pid": os.getpid()}))
        signal.pause()


def note() -> dict[str, object]:
    """What ``up`` wrote down last."""
    notes = sorted(RUN.glob(f"*/{NOTE}"), key=lambda path: path.stat().st_mtime)
    if not notes:
        raise SystemExit("no hosts are up")
    found: dict[str, object] = json.loads(Path(notes[-1]).read_text())
    return found


def become(argv: list[str]) -> None:
    """Runs argv in the controller's network, in place of this process."""
    enter = note()["enter"]
    assert isinstance(enter, list)
    os.execvp(enter[0], [*enter, "env", f"--chdir={Path.cwd()}", *argv])


def main() -> None:
    """Parses the command line and does what it says."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m hosts", description=__doc__, formatter_class=form)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("up", help="make hosts; they last until this command ends")
    make.add_argument("names", nargs="+", metavar="NAME")
    make.add_argument("--release", choices=sorted(base.RELEASES), default="bookworm")
    make.add_argument("--disk", default=DISK, help="size of each host's disk (%(default)s)")
    shell = commands.add_parser("ssh", help="log in as root, or run a command")
    shell.add_argument("name", metavar="NAME")
    for sub in (shell, commands.add_parser("run", help="run a command in the controller's network")):
        sub.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    commands.add_parser("down", help="end what `up` made last")
    given = parser.parse_args()
    try:
        if given.command == "up":
            up(given.names, given.release, given.disk)
        elif given.command == "ssh":
            become(["ssh", "-F", str(note()["ssh_config"]), given.name, *given.argv])
        elif given.command == "run":
            become(given.argv)
        else:
            os.kill(int(str(note()["pid"])), signal.SIGTERM)
    except UnavailableError as reason:
        raise SystemExit(str(reason)) from None


if __name__ == "__main__":
    main()
