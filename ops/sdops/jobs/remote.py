"""Runs a job on a host, or follows one that is there, whatever becomes of the follower."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from sdops_runtime.protocol import Event

from sdops.errors import SdopsError
from sdops.jobs import ticket
from sdops.jobs.begun import Begun
from sdops.jobs.follower import PASSING, Follower, Watch
from sdops.jobs.local import Outcome, nothing_to_do
from sdops.jobs.place import Place
from sdops.jobs.plan import plan
from sdops.jobs.prepare import prepare
from sdops.jobs.presses import Presses
from sdops.jobs.recorder import Recorder
from sdops.jobs.request import Asked

#: Seconds for a second Ctrl-C.
GRACE = 2.0


def run(
    asked: Asked,
    place: Place,
    out: Path,
    overwrite: bool,
    watch: Watch,
    detach: bool,
    force: bool = False,
) -> Outcome:
    """Makes those of the job's pictures on a host that are missing here. detach: only until it is accepted.

    force: all of them.
    The first Ctrl-C leaves the job to the host, a second one within ``GRACE`` cancels it. Raises SdopsError.
    """
    from sdops_runtime.outputs import check_outputs
    from sdops_runtime.queue import new_name

    planned = plan(asked, out, place.name, overwrite, force)
    asked, overwrite = planned.asked, planned.overwrite
    planned.tell(watch)
    if planned.complete:
        outcome = Outcome(asked, out, there=planned.there, host=place.name)
        outcome.take(nothing_to_do())
        return outcome
    check_outputs(asked.request, out, overwrite)
    outcome = Outcome(asked, out, there=planned.there, job=new_name(), host=place.name)
    with TemporaryDirectory(prefix="sdops-") as spool, Begun(place) as begun:
        parcel = prepare(asked, Path(spool), watch)
        recorder = Recorder(asked, out, place.name, outcome.job, planned.hashes)
        follower = Follower(begun, outcome, overwrite, watch, recorder)
        # Before it is sent: the power may go at any moment.
        remember(place, outcome, overwrite)
        with _letting_go(follower):
            follower.run(parcel, detach)
    if detach and not outcome.last.terminal:
        outcome.last = Event("detached", {"asked": True})
    return outcome


def attach(place: Place, outcome: Outcome, overwrite: bool, watch: Watch, wait: bool) -> Outcome:
    """Follows a job that a host has, to its end or, without ``wait``, to where it is; saves its pictures."""
    outcome.out.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(outcome.asked, outcome.out, place.name, outcome.job)
    with Begun(place) as begun:
        follower = Follower(begun, outcome, overwrite, watch, recorder, submitted=True)
        with _letting_go(follower) if wait else nullcontext():
            follower.attach(wait)
    return outcome


def remember(place: Place, outcome: Outcome, overwrite: bool) -> None:
    """Remembers where a job's pictures belong, for ``attach``."""
    assert outcome.job
    sources = tuple(str(source.absolute()) for source in outcome.asked.sources)
    out = str(outcome.out.absolute())
    ticket.keep(ticket.Ticket(outcome.job, place.name, out, overwrite, sources, place.inventory))


@contextmanager
def _letting_go(follower: Follower) -> Iterator[None]:
    """What becomes of a job when its follower is interrupted, or fails."""
    outcome = follower.outcome
    told = {"job": outcome.job, "host": outcome.host}
    with Presses() as presses:
        try:
            yield
        except KeyboardInterrupt:
            if not follower.submitted:
                ticket.forget(str(outcome.job))
                raise
            # A host that was just given it may have it, or not.
            follower.watch(Event("detached" if follower.accepted else "left", told))
            outcome.last = Event("detached", {"asked": False})
            if presses.again(GRACE):
                follower.watch(Event("cancelling", told))
                _cancel(follower, presses)
        except SdopsError as error:
            if follower.accepted or (follower.submitted and error.code in PASSING):
                follower.watch(Event("left", told))
            else:
                ticket.forget(str(outcome.job))
            raise


def _cancel(follower: Follower, presses: Presses) -> None:
    """Cancels the job, unless its host cannot be told and the person has had enough."""
    try:
        # Not at once: the key may still be held down.
        with presses.heard(after=GRACE):
            follower.cancel()
    except KeyboardInterrupt:
        follower.watch(Event("uncancelled", {"job": follower.job, "host": follower.outcome.host}))
    except SdopsError as error:
        if error.code != "job-unknown":
            raise
        # It has not come that far.
        ticket.forget(follower.job)
        raise KeyboardInterrupt from error
