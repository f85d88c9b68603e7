"""What a job's share of a fleet does with members that fail, and how it cuts. Python 3.9.

The engine is a double, which does in order and at once what a real one does when it likes; pieces are really
made.
"""

import dataclasses
import hashlib

import pytest
from sdops_runtime import course, job
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import member, piece, sharing
from sdops_runtime.fleet.engine import Done, LostError
from sdops_runtime.protocol import JobRequest, Settings

SETTINGS = Settings(model="demo", width=64, height=64, steps=4, strength=0.5, seed=7, images=10)
REQUEST = JobRequest(("photo.jpg",), ("a hat",), SETTINGS)
FULL = SdopsError("disk-full", "The disk is full.", "Free some.")


class Double:
    """Members by name, each with what it does instead of a real one's ``begin`` and ``make``."""

    def __init__(self, *names, **faults):
        self.names, self.faults = list(names), faults
        self.real = member.Member("", "cpu", lambda topic, told: None)
        self.tickets, self.out, self.pieces = 0, [], []
        self.turn = 0

    def members(self):
        return {f"tls://{name}": f"{name}/0" for name in self.names}

    def hand(self, action, words, among):
        self.tickets += 1
        assert set(among) <= {f"tls://{name}" for name in ("a", "b", "c")}
        self.out.append((self.tickets, action, words, sorted(among)))
        return self.tickets

    def withdraw(self, ticket):
        self.out = [one for one in self.out if one[0] != ticket]

    def next(self, seconds):
        for one in self.out:
            ticket, action, words, among = one
            there = [address[6:] for address in among if address[6:] in self.names]
            if not there:
                continue
            self.out.remove(one)
            self.turn += 1
            name = there[self.turn % len(there)]
            if action == "make":
                self.pieces.append((name, len(piece.read(words[2]).items())))
            fault = self.faults.get(f"{action}_{name}")
            return self.do(ticket, action, words, name, fault)
        return None

    def do(self, ticket, action, words, name, fault):
        self.real.name = f"{name}/0"
        if isinstance(fault, SdopsError) and action == "begin":
            return Done(ticket, {"name": f"{name}/0", "error": [fault.code, fault.message, fault.hint]})
        if isinstance(fault, SdopsError):
            told = {"code": fault.code, "message": fault.message, "hint": fault.hint}
            return Done(
                ticket, {"name": f"{name}/0", "events": [["failed", told]], "files": {}, "seconds": 1}
            )
        result = getattr(self.real, action)(*words)
        return fault(self, ticket, result) if fault else Done(ticket, result)

    def heard(self):
        return []

    def close(self):
        self.out = []


@pytest.fixture
def share(photo, tmp_path, libraries, demo_folder, monkeypatch):
    """Shares a job out over a double; its events."""
    monkeypatch.setattr(sharing, "PAUSE", 0.01)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))

    def run(crews, request=REQUEST, sources=None, paused=lambda: False):
        events = []
        crews = iter(crews if isinstance(crews, list) else [crews])

        def gather(topic):
            found = next(crews)
            if found is None:
                raise LostError
            return found

        course.run(
            request,
            sources or [photo],
            Place(tmp_path / "out", "cpu"),
            events.append,
            sharing.Sharing(gather, "job", paused=paused),
        )
        return events

    return run


def of(events, kind):
    return [event.data for event in events if event.kind == kind]


def notices(events):
    return [one["message"] for one in of(events, "notice") if one["code"] == "fleet"]


def whole(events, tmp_path, photo, request=REQUEST):
    """Whether all pictures are there, each once, with the bytes of one host."""
    (loaded,) = of(events, "loaded")
    alone = []
    fixed = dataclasses.replace(request, batch=loaded["batch"])
    job.run(fixed, [photo], Place(tmp_path / "alone", "cpu"), alone.append)
    made = {one["name"]: one["sha256"] for one in of(events, "image")}
    assert made == {one["name"]: one["sha256"] for one in of(alone, "image")}
    assert len(of(events, "image")) == len(made) == request.total
    for name, digest in made.items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    return True


def test_a_member_that_cannot_begin_takes_no_part_and_it_is_said(share, tmp_path, photo):
    crew = Double("a", "b", begin_b=FULL)
    events = share(crew)
    assert notices(events) == ["b/0 takes no part in this job: The disk is full. Free some."]
    assert {name for name, _ in crew.pieces} == {"a"}
    assert of(events, "loaded")[0]["members"] == 1
    assert whole(events, tmp_path, photo)


def test_where_nobody_can_begin_the_job_has_the_reason(share):
    (last,) = of(share(Double("a", "b", begin_a=FULL, begin_b=FULL)), "failed")
    assert (last["code"], last["hint"], last["images"]) == ("disk-full", "Free some.", 0)


def test_another_runtime_than_the_heads_takes_no_part(share, monkeypatch):
    digests = iter(["one"])
    monkeypatch.setattr(sharing.command, "digest", lambda: next(digests, "another"))
    (last,) = of(share(Double("a")), "failed")
    assert last["code"] == "fleet-unusable"
    assert "--tags runtime,fleet" in last["hint"]


def test_a_piece_that_one_fails_at_is_made_by_another(share, tmp_path, photo):
    crew = Double("a", "b", make_b=FULL)
    events = share(crew)
    assert whole(events, tmp_path, photo)
    failed = [number for number, (name, _) in enumerate(crew.pieces) if name == "b"]
    # Not forever: it gets no more of the job, and that is said.
    assert len(failed) <= sharing.STRIKES
    assert len(notices(events)) == (len(failed) == sharing.STRIKES)


def test_a_piece_that_everybody_fails_at_is_the_jobs_failure_if_it_is_the_first(share):
    (last,) = of(share(Double("a", "b", make_a=FULL, make_b=FULL)), "failed")
    assert last["code"] == "disk-full"


def test_a_piece_that_everybody_fails_at_later_fails_its_own_pictures_alone(share):
    def only_the_first(crew, ticket, result):
        if len(crew.pieces) == 1:
            return Done(ticket, result)
        return Done(ticket, error=SdopsError("fleet-piece", "It ended three workers.", "Look."))

    events = share(Double("a", make_a=only_the_first))
    made, failed = of(events, "image"), of(events, "item_failed")
    assert len(made) and len(made) + len(failed) == 10
    assert {one["code"] for one in failed} == {"fleet-piece"}
    assert of(events, "done")[0]["failed"] == len(failed)


def test_pictures_that_came_damaged_are_made_again(share, tmp_path, photo):
    damaged = []

    def damage(crew, ticket, result):
        if not damaged:
            damaged.append(next(iter(result["files"])))
            result["files"][damaged[0]] = result["files"][damaged[0]][:-1] + b"!"
        return Done(ticket, result)

    events = share(Double("a", make_a=damage))
    assert damaged
    assert whole(events, tmp_path, photo)


def test_what_was_lost_with_the_head_is_made_with_the_next_one(share, tmp_path, photo):
    def lost(crew, ticket, result):
        if len(crew.pieces) == 2:
            raise LostError
        return Done(ticket, result)

    events = share([Double("a", make_a=lost), None, Double("b")])
    assert whole(events, tmp_path, photo)  # which demands that it was begun, and told of, once
    assert notices(events) == ["The head of the fleet is not there. The job waits for it."]


def test_all_of_a_piece_whose_member_has_gone_is_handed_out_again(share, tmp_path, photo):
    crew = Double("a", "b")

    def gone(crew, ticket, result):
        if crew.names == ["a", "b"]:
            crew.names = ["a"]
        return Done(ticket, result)

    crew.faults["make_a"] = gone
    assert whole(share(crew), tmp_path, photo)


def test_a_pause_waits_for_what_is_out_and_leaves_the_rest(share):
    asked = []

    def paused():
        asked.append(1)
        return len(asked) > 6

    with pytest.raises(course.PausedError):
        share(
            Double("a"),
            dataclasses.replace(REQUEST, settings=dataclasses.replace(SETTINGS, images=50)),
            paused=paused,
        )


def test_pieces_are_small_at_first_larger_when_it_is_known_how_long_they_take_and_small_at_the_end(share):
    request = dataclasses.replace(REQUEST, settings=dataclasses.replace(SETTINGS, images=200))
    crew = Double("a", "b")
    events = share(crew, request)
    batch = of(events, "loaded")[0]["batch"]
    sizes = [size for _, size in crew.pieces]
    assert sum(sizes) == 200
    assert sizes[0] == batch and sizes[-1] == batch
    assert max(sizes) > 2 * batch
    # As much as all of what is left is never with one.
    assert max(sizes) <= 100


def test_a_piece_has_nothing_of_the_jobs_other_inputs_and_prompts():
    request = JobRequest(("a.jpg", "b.jpg", "c.jpg"), ("one", "two"), SETTINGS)
    items = [item for item in request.items() if item.input == 1 and item.prompt == 1]
    cut = piece.cut(request, items, piece.Slots(4, 1))
    made = piece.read(cut.text)
    assert (made.inputs, made.prompts, cut.sources) == (("b.jpg",), ("two",), (1,))
    assert (made.batch, made.first, made.total) == (4, 1, 10)
    assert [(item.index, item.seed) for item in made.items()] == [(item.index, item.seed) for item in items]
    assert {(item.input, item.prompt) for item in made.items()} == {(0, 0)}


def test_a_sweeps_pieces_keep_its_cells(share, tmp_path, photo):
    request = dataclasses.replace(
        REQUEST,
        settings=dataclasses.replace(SETTINGS, images=2),
        sweep=((0.5, 5.0), (0.5, 7.5), (0.75, 5.0)),
    )
    events = share(Double("a", "b"), request)
    assert whole(events, tmp_path, photo, request)
    assert "photo-7-s0.75-g5.png" in {one["name"] for one in of(events, "image")}
