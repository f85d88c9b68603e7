"""The commands of ``sdops-runtime`` about the queue. They print and fail as ``command`` says."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from sdops_runtime import command, device, process, protocol
from sdops_runtime.jobfolder import Job
from sdops_runtime.queue import Queue, default_root

#: Seconds without a job after which ``serve`` gives the model's memory back.
IDLE = 600.0


def add(commands: Any) -> None:
    """Adds the commands to the parser's."""
    one = commands.add_parser(
        "serve", help="run the jobs of the queue, one after the other, until told to stop"
    )
    one.add_argument("--device", choices=device.WANTED, default="auto")
    one.add_argument(
        "--idle", type=float, default=IDLE, metavar="SECONDS", help="then the model's memory is freed"
    )
    one.add_argument("--leave", action="store_true", help="end then, instead of waiting for jobs")
    one.set_defaults(run=serve)

    one = commands.add_parser("submit", help="put a job into the queue; the line names it")
    one.add_argument("request", type=Path, metavar="REQUEST.json")
    one.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="one for each of the request's")
    one.set_defaults(run=submit)

    one = commands.add_parser("jobs", help="list the queue, a line for each job")
    one.set_defaults(run=jobs)

    one = commands.add_parser("attend", help="answer one client of this host's queue, on stdin and stdout")
    one.add_argument("word", metavar="WORD", help="what comes before the first answer")
    one.set_defaults(run=attend)

    for name, action, what in (
        ("events", events, "tell what has happened in a job so far"),
        ("cancel", cancel, "cancel a job, or ask for it while it runs"),
    ):
        one = commands.add_parser(name, help=what)
        one.add_argument("job", metavar="JOB")
        one.set_defaults(run=action)


def serve(options: argparse.Namespace) -> int:
    """Runs jobs until SIGTERM or SIGINT; then the picture in hand is finished first."""
    from sdops_runtime import worker

    def loaded(engine: Any, model: str) -> None:
        # How soon a job could begin: the first line tells of the process alone.
        times = {"seconds": round(process.age(), 2), "loading": round(engine.seconds, 2)}
        command.say({"kind": "warm", "model": model, **times})

    one = worker.Worker(Queue(default_root()), options.device, options.idle, options.leave, loaded)

    def stop(number: int, frame: Any) -> None:
        one.stop()

    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, stop)

    def ready() -> None:
        seconds = round(process.age(), 2)
        command.say({"kind": "serving", "queue": str(default_root()), "seconds": seconds})

    one.serve(ready)
    return command.OK


def attend(options: argparse.Namespace) -> int:
    """Answers one client."""
    from sdops_runtime.desk import Desk, Inlet

    Desk(Queue(default_root()), Inlet(0), sys.stdout.buffer, command.digest()).attend(options.word)
    return command.OK


def submit(options: argparse.Namespace) -> int:
    """Puts a job into the queue."""
    request = protocol.JobRequest.from_json(command.read_text(options.request))
    _say(Queue(default_root()).submit(request, options.inputs))
    return command.OK


def jobs(_: argparse.Namespace) -> int:
    """Lists the queue."""
    for one in Queue(default_root()).jobs():
        _say(one)
    return command.OK


def events(options: argparse.Namespace) -> int:
    """Tells what has happened in a job so far."""
    for event in Queue(default_root()).job(options.job).events():
        command.say({"kind": event.kind, **event.data})
    return command.OK


def cancel(options: argparse.Namespace) -> int:
    """Cancels a job."""
    _say(Queue(default_root()).cancel(options.job))
    return command.OK


def _say(job: Job) -> None:
    command.say(
        {"kind": "job", "job": job.id, "state": job.state, "cancel": job.cancel, "out": str(Path(job.out))}
    )
