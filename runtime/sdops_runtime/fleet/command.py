"""The commands of ``sdops-runtime`` that are a fleet's processes. They print and fail as ``command`` says."""

import argparse
import os
from typing import Any, Callable

from sdops_runtime import command, device
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import membership
from sdops_runtime.fleet.membership import Membership
from sdops_runtime.queue import default_root


def add(commands: Any) -> None:
    """Adds the commands to the parser's."""
    one = commands.add_parser(
        "fleet-schedule", help="share the jobs of a fleet's head out, until told to stop"
    )
    one.set_defaults(run=schedule)

    one = commands.add_parser("fleet-work", help="make pictures for a fleet with one GPU, until told to stop")
    one.add_argument("slot", type=int, metavar="NUMBER", help="of the GPU, from 0")
    one.add_argument(
        "--idle", type=float, default=600.0, metavar="SECONDS", help="then the model's memory is freed"
    )
    one.set_defaults(run=work)


def schedule(_: argparse.Namespace) -> int:
    """Runs the scheduler."""
    from sdops_runtime.fleet import dask_engine

    mine = _mine()
    dask_engine.schedule(mine, default_root(), _ready("scheduling"))
    return command.OK


def work(options: argparse.Namespace) -> int:
    """Runs a member. One whose GPU cannot run the stack does not come into the fleet."""
    mine = _mine()
    if mine.gpu:
        # Before CUDA is touched: the GPU of this number alone is to be seen.
        os.environ["CUDA_VISIBLE_DEVICES"] = str(options.slot)
    from sdops_runtime import dialect
    from sdops_runtime.fleet import dask_engine

    dialect.libraries()
    wanted = "cuda" if mine.gpu else "cpu"
    device.pick(wanted)
    dask_engine.work(mine, options.slot, wanted, options.idle, _ready("working"))
    return command.OK


def _mine() -> Membership:
    mine = membership.read()
    if mine is None:
        raise SdopsError("fleet-settings", "This host belongs to no fleet.", membership.DEPLOY)
    return mine


def _ready(kind: str) -> Callable[[], None]:
    from sdops_runtime.process import age
    from sdops_runtime.worker import notify

    def ready() -> None:
        command.say({"kind": kind, "seconds": round(age(), 2)})
        notify("READY=1")

    return ready
