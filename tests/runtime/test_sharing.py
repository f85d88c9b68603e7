"""What a job's share of a fleet does with members that fail, and how it cuts. Python 3.9.

The engine is a double, which does in order and at once what a real one does when it likes; pieces are really
made.
"""

import contextlib
import dataclasses
import hashlib
import time

import pytest
from sdops_runtime import course, job
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import member, piece, sharing
from sdops_runtime.fleet.engine import ENDED, Done, LostError, There
from sdops_runtime.protocol import JobRequest, Settings

SETTINGS = Settings(model="demo", width=64, height=64, steps=4, strength=0.5, seed=7, images=10)
REQUEST = JobRequest(("photo.jpg",), ("a hat",), SETTINGS)
FULL = SdopsError("disk-full", "The disk is full.", "Free some.")


class Double:
    """Members by name, each with what it does instead of a real one's ``begin`` and ``make``.

    deadly: whether a member ends over a piece or a beginning, by its items (none) and its name. It is away
    for two looks then, and another process.
    """

    def __init__(self, *names, deadly=lambda items, name: False, **faults):
        self.names, self.faults, self.deadly = list(names), faults, deadly
        self.real = member.Member("", "cpu", lambda topic, told: None)
        self.tickets, self.out, self.pieces, self.among = 0, [], [], []
        self.turn = 0
        self.processes = dict.fromkeys(names, 0)
        self.away, self.tolls = {}, {}

    def end(self, name):
        """Has a member end, and be started anew."""
        self.names.remove(name)
        self.processes[name] += 1
        self.away[name] = 2

    def members(self):
        for name in list(self.away):
            self.away[name] -= 1
            if not self.away[name]:
                del self.away[name]
                self.names.append(name)
        return {f"{name}/0": There(str(self.processes[name])) for name in self.names}

    def toll(self, ticket):
        return self.tolls.get(ticket, 0)

    def hand(self, action, words, among):
        self.tickets += 1
        assert set(among) <= {f"{name}/0" for name in self.processes}
        self.among.append(len(among))
        self.out.append((self.tickets, action, words, sorted(among)))
        return self.tickets

    def withdraw(self, ticket):
        self.out = [one for one in self.out if one[0] != ticket]

    def next(self, seconds):
        for one in self.out:
            ticket, action, words, among = one
            there = [name[:-2] for name in among if name[:-2] in self.names]
            if not there:
                continue
            self.turn += 1
            name = there[self.turn % len(there)]
            items = piece.read(words[2]).items() if action == "make" else ()
            if action == "make":
                self.pieces.append((name, len(items)))
            if self.deadly(items, name):
                self.tolls[ticket] = self.toll(ticket) + 1
                self.end(name)
                continue
            self.out.remove(one)
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
    monkeypatch.setattr(sharing, "PAUSE", 0.0)
    monkeypatch.setattr(sharing, "GRACE", 0.1)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))

    def run(crews, request=REQUEST, sources=None, paused=lambda: False):
        events = []
        crews = iter(crews if isinstance(crews, list) else [crews])

        def gather(topic):
            found = next(crews)
            if found is None:
                raise LostError
            if isinstance(found, SdopsError):
                raise found
            return found

        course.run(
            request,
            sources or [photo],
            Place(tmp_path / "out", "cpu", overwrite=True),
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


def lose_head(crew, ticket, result):
    """The head goes with the second piece."""
    if len(crew.pieces) == 2:
        raise LostError
    return Done(ticket, result)


def test_what_was_lost_with_the_head_is_made_with_the_next_one(share, tmp_path, photo):
    events = share([Double("a", make_a=lose_head), None, Double("b")])
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


MANY = dataclasses.replace(REQUEST, settings=dataclasses.replace(SETTINGS, images=60))
LOST = SdopsError("internal-error", "A worker's result was lost.")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A member, whose queue's folder is in this one; it and what it gives for a piece of two pictures."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def begin(root=None):
        if root is not None:
            monkeypatch.setenv("XDG_DATA_HOME", str(root))
        one = member.Member("gpu2/0", "cpu", lambda topic, told: None)
        cut = piece.cut(REQUEST, list(REQUEST.items())[:2], piece.Slots(2))
        return one, lambda *data: one.make("job", 0, cut.text, list(data))

    return begin


def test_a_member_whose_disk_is_full_says_so_and_who_it_is(own, small_disk, photo):
    _, make = own(small_disk)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"0" * 2**16)
    result = make(photo.read_bytes())
    kind, last = result["events"][-1]
    assert (result["name"], kind, last["code"]) == ("gpu2/0", "failed", "disk-full")
    assert f"df -h {small_disk}" in last["hint"]


def test_whatever_happens_to_a_member_is_a_result(own, photo, monkeypatch):
    one, make = own()

    def broken(*words):
        raise ValueError("no such thing")

    monkeypatch.setattr(piece, "read", broken)
    monkeypatch.setattr(job, "plan", broken)
    expected = "Something unexpected happened: ValueError: no such thing"
    kind, last = make(photo.read_bytes())["events"][-1]
    assert (kind, last["code"], last["message"]) == ("failed", "internal-error", expected)
    begun = one.begin("job", None, REQUEST.to_json(), [(64, 64)])
    assert begun == {"name": "gpu2/0", "error": ["internal-error", expected, ""]}


def test_nothing_stays_of_a_piece_nor_of_one_whose_member_was_killed(own, photo, tmp_path, demo_folder):
    root = tmp_path / "data/sdops"
    left = root / "piece-0/out"
    left.mkdir(parents=True)
    (left / "photo-7.png").write_text("of one that was killed")
    (root / "piece-1").mkdir()  # another's
    _, make = own()
    assert [path.name for path in root.iterdir()] == ["piece-1"]
    assert make(photo.read_bytes())["events"][-1][0] == "done"
    assert [path.name for path in root.glob("piece*")] == ["piece-1"]


def test_a_member_knows_which_runtime_it_was_started_with(own, monkeypatch):
    monkeypatch.setattr(member.command, "digest", lambda: "old")
    one, _ = own()
    monkeypatch.setattr(member.command, "digest", lambda: "new")
    assert one.begin("job", "new", REQUEST.to_json(), [(64, 64)])["error"][0] == "fleet-unusable"


def test_results_that_are_lost_without_a_word_are_made_again_batch_by_batch(share, tmp_path, photo):
    lost = []

    def lose(crew, ticket, result):
        if len(crew.pieces) > 1 and len(lost) < 2 and len(result["files"]) > 2:
            lost.append(sorted(result["files"]))
            return Done(ticket, error=LOST)
        return Done(ticket, result)

    crew = Double("a", make_a=lose)
    assert whole(share(crew, MANY), tmp_path, photo, MANY)
    assert lost  # of several batches


def test_a_piece_of_several_batches_that_one_fails_at_is_none_of_theirs(share, tmp_path, photo):
    def once(crew, ticket, result):
        if len(result["files"]) > 2 and not failed:
            failed.append(1)
            told = {"code": "internal-error", "message": "CUDA error: launch failure", "hint": ""}
            return Done(ticket, dict(result, events=[["failed", told]], files={}))
        return Done(ticket, result)

    failed = []
    assert whole(share(Double("a", make_a=once), MANY), tmp_path, photo, MANY)
    assert failed


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_pictures_that_end_their_workers_are_given_up_alone(share, names):
    def deadly(items, name):
        return any(item.index == 20 for item in items)

    crew = Double(*names, deadly=deadly)
    events = share(crew, MANY)
    assert {one["code"] for one in of(events, "item_failed")} == {"fleet-piece"}
    failed = {one["index"] for one in of(events, "item_failed")}
    batch = of(events, "loaded")[0]["batch"]
    assert 20 in failed and len(failed) == batch
    assert len(of(events, "image")) == 60 - batch
    # A piece of several batches may end two; what stays of the suspicion is one for each of them.
    assert ENDED <= sum(crew.processes.values()) <= ENDED + 1


@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_job_that_ends_every_worker_fails_and_is_not_tried_for_ever(share, names):
    crew = Double(*names, deadly=lambda items, name: bool(items))
    (last,) = of(share(crew, MANY), "failed")
    assert (last["code"], last["images"]) == ("fleet-piece", 0)
    assert sum(crew.processes.values()) <= ENDED * (ENDED + len(names))


def test_a_model_that_ends_its_worker_is_loaded_so_often_and_no_more(share, tmp_path, photo):
    crew = Double("a", deadly=lambda items, name: not items)
    (last,) = of(share(crew), "failed")
    assert (last["code"], crew.processes["a"]) == ("fleet-piece", ENDED)
    crew = Double("a", "b", deadly=lambda items, name: name == "b" and not items)
    events = share(crew, MANY)
    assert whole(events, tmp_path, photo, MANY)
    assert crew.processes["b"] <= ENDED


def test_a_job_that_has_begun_waits_for_a_member_that_can(share, tmp_path, photo):
    """As after a reboot of the head, if the one that cannot is back first."""

    class Late(Double):
        def members(self):
            self.looks = getattr(self, "looks", 0) + 1
            if self.looks == 3 and self.names == ["b"]:
                time.sleep(0.15)  # longer than a job that has not begun would wait
                self.names.append("a")
            return super().members()

    late = Late("b", "a", begin_b=FULL)
    late.names.remove("a")
    events = share([Double("a", make_a=lose_head), late])
    assert whole(events, tmp_path, photo)


def test_what_was_so_with_a_member_is_forgotten_when_it_is_started_anew(share, tmp_path, photo):
    """It could not begin; and when its disk had been mended, it was started anew."""

    def mended(crew, ticket, result):
        crew.faults.pop("begin_b", None)
        if not crew.processes["b"]:
            crew.end("b")
        return Done(ticket, result)

    crew = Double("a", "b", make_a=mended, begin_b=FULL)
    assert whole(share(crew, MANY), tmp_path, photo, MANY)
    assert {name for name, _ in crew.pieces} == {"a", "b"}


def too_large(*indices):
    """Has a member say of some pictures that they are too large for it."""

    def fault(crew, ticket, result):
        events = []
        for kind, told in result["events"]:
            if kind == "image" and told["index"] in indices:
                names = ("index", "seed", "input", "prompt")
                reason = {"code": "out-of-memory", "message": "Too large.", "hint": ""}
                events.append(["item_failed", {**{name: told[name] for name in names}, **reason}])
            else:
                events.append([kind, told])
        return Done(ticket, dict(result, events=events))

    return fault


def test_what_is_too_large_for_one_is_made_by_another(share, tmp_path, photo):
    crew = Double("a", "b", make_a=too_large(*range(60)))
    events = share(crew, MANY)
    assert whole(events, tmp_path, photo, MANY)
    assert {one["worker"] for one in of(events, "image")} == {"b/0"}


def test_what_is_too_large_for_all_fails_with_that_reason(share):
    crew = Double("a", "b", make_a=too_large(3, 4), make_b=too_large(4))
    events = share(crew)
    assert [(one["index"], one["code"]) for one in of(events, "item_failed")] == [(4, "out-of-memory")]
    assert len(of(events, "image")) == 9


def test_a_picture_gets_the_jobs_own_name_whatever_its_member_calls_it(share, tmp_path, photo):
    def rename(crew, ticket, result):
        for kind, told in result["events"]:
            if kind == "image":
                name = f"../{told['name']}"
                result["files"][name] = result["files"].pop(told["name"])
                told["name"] = name
        return Done(ticket, result)

    assert whole(share(Double("a", make_a=rename)), tmp_path, photo)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == []


def test_in_a_large_fleet_the_engine_is_told_of_some_members_alone(share):
    crew = Double(*(f"m{number}" for number in range(40)))
    events = share(crew, MANY)
    assert len(of(events, "image")) == 60
    pieces = crew.among[40:]
    assert pieces and max(pieces) <= sharing.CHOICE
    # Each time of others.
    assert len({name for name, _ in crew.pieces}) == len(crew.pieces)


WRONG = SdopsError(
    "fleet-unusable", "The certificate of gpu1 for the fleet expired on 2026-11-23.", "Renew it."
)


def test_a_wrong_certificate_fails_a_job_that_has_not_begun(share):
    (last,) = of(share([WRONG]), "failed")
    assert (last["code"], last["hint"]) == ("fleet-unusable", "Renew it.")


def test_a_job_that_has_begun_waits_for_the_certificate_and_says_so(share, tmp_path, photo):
    events = share([Double("a", make_a=lose_head), WRONG, Double("a")])
    assert whole(events, tmp_path, photo)
    assert notices(events) == [f"{WRONG.message} {WRONG.hint} The job waits for it."]
