"""One job over a fleet: the bytes of one host, whoever comes, goes, hangs or is killed. Python 3.9."""

import asyncio
import contextlib
import dataclasses
import gc
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import crews
import pytest
from crews import wait_for
from doubles import authority
from PIL import Image
from sdops_runtime import command, course, device, dialect, job
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import certificate, dask_engine, engine, knock, membership, piece, sharing
from sdops_runtime.jobfolder import ENDED
from sdops_runtime.protocol import JobRequest, Settings

SETTINGS = Settings(model="demo", width=64, height=64, steps=4, strength=0.5, seed=7)


def request(images=1, inputs=("photo.jpg",), prompts=("a hat",), **settings):
    values = {**vars(SETTINGS), "images": images, **settings}
    return JobRequest(inputs, prompts, Settings(**values))


def told(one):
    """The digest of each picture that is told of, which is once, and there."""
    found = {}
    for event in one.events():
        if event.kind == "image":
            name = event.data["name"]
            assert name not in found
            found[name] = event.data["sha256"]
            assert hashlib.sha256((one.out / name).read_bytes()).hexdigest() == found[name]
    return found


def event_of(one, kind):
    (found,) = [event.data for event in one.events() if event.kind == kind]
    return found


def alone(request, sources, out, batch):
    """The digests of a job's pictures as one host makes them."""
    events = []
    fixed = JobRequest(**{**vars(request), "batch": batch})
    job.run(fixed, sources, Place(out, "cpu"), events.append)
    return {event.data["name"]: event.data["sha256"] for event in events if event.kind == "image"}


def ended(crew, one, timeout=120.0):
    wait_for(lambda: crew.head.queue.job(one.id).state in ENDED, "the job had ended", timeout)
    one = crew.head.queue.job(one.id)
    assert one.state == "done", f"{one.events()[-1]}\n{crew.head.log[-3000:]}"
    return one


def makers(one):
    """Which workers made pictures."""
    return {event.data["worker"] for event in one.events() if event.kind == "image"}


@pytest.fixture(scope="module")
def crew(tmp_path_factory, libraries, demo_folder):
    with crews.Crew(tmp_path_factory.mktemp("crew"), 2) as one:
        one.join("gpu1/0", "gpu2/0")
        yield one


def test_the_pictures_are_those_of_one_host_whatever_the_inputs(crew, photo, tmp_path):
    other = tmp_path / "other.png"
    Image.effect_mandelbrot((64, 80), (-2, -1.5, 1, 1.5), 20).convert("RGB").save(other)
    (tmp_path / "broken.jpg").write_text("no image")
    wanted = request(
        3, ("photo.jpg", "broken.jpg", "other.png"), ("a hat", "a statue"), width=96, height=None
    )
    sources = [photo, tmp_path / "broken.jpg", other]
    one = crew.head.queue.submit(wanted, sources)
    one = ended(crew, one)
    loaded = event_of(one, "loaded")
    assert (loaded["members"], loaded["first"]) == (2, 0)
    assert told(one) == alone(wanted, sources, tmp_path / "alone", loaded["batch"])
    assert makers(one) == {"gpu1/0", "gpu2/0"}
    last = event_of(one, "done")
    assert (last["images"], last["failed"], last["missing"]) == (12, 6, [])
    reasons = [event.data for event in one.events() if event.kind == "item_failed"]
    assert {(reason["code"], reason["input"]) for reason in reasons} == {("image-unreadable", 1)}
    record = Image.open(one.out / "other-19.png").text["sdops"]
    assert json.loads(record)["batch"] == loaded["batch"]


def test_a_job_of_one_host_uses_that_hosts_workers_alone(crew, photo):
    member = crew.hosts[1]
    serving = member.start("serve", "--device", "cpu")
    try:
        one = member.queue.submit(request(12), [photo])
        wait_for(lambda: member.queue.job(one.id).state == "done", "the job was done")
    finally:
        serving.end()
    assert makers(one) == {"gpu2/0"}
    assert len(told(one)) == 12


def test_a_job_is_cancelled(crew, photo):
    one = crew.head.queue.submit(request(5000), [photo])
    wait_for(lambda: any(event.kind == "image" for event in one.events()), "there was a picture")
    crew.head.queue.cancel(one.id)
    wait_for(lambda: crew.head.queue.job(one.id).state == "cancelled", "it was cancelled")
    last = event_of(one, "cancelled")
    assert last["images"] == len(told(one)) > 0
    assert len(last["missing"]) == 5000 - last["images"]
    # The workers are free for the next one.
    ended(crew, crew.head.queue.submit(request(8), [photo]))


def test_a_worker_that_is_killed_loses_no_picture(crew, photo, tmp_path):
    wanted = request(200, seed=1000)
    one = crew.head.queue.submit(wanted, [photo])
    wait_for(lambda: any(event.kind == "image" for event in one.events()), "there was a picture")
    crew.workers["gpu2/0"].kill()
    one = ended(crew, one)
    assert told(one) == alone(wanted, [photo], tmp_path / "alone", event_of(one, "loaded")["batch"])
    wait_for(lambda: {"gpu1/0", "gpu2/0"} <= crew.there(), "it was back")


def test_a_worker_that_hangs_does_not_hold_the_end_of_a_job(crew, photo):
    one = crew.head.queue.submit(request(120, seed=2000), [photo])
    wait_for(lambda: makers(one) == {"gpu1/0", "gpu2/0"}, "both had made some")
    crew.workers["gpu2/0"].kill(signal.SIGSTOP)
    try:
        assert len(told(ended(crew, one))) == 120
    finally:
        crew.workers["gpu2/0"].kill(signal.SIGCONT)
    wait_for(lambda: {"gpu1/0", "gpu2/0"} <= crew.there(), "it was back")


def test_a_job_goes_on_when_the_scheduler_began_anew(crew, photo, tmp_path):
    wanted = request(150, seed=3000)
    one = crew.head.queue.submit(wanted, [photo])
    wait_for(lambda: any(event.kind == "image" for event in one.events()), "there was a picture")
    crew.scheduler.kill()
    one = ended(crew, one)
    loaded = event_of(one, "loaded")  # which is told once
    assert told(one) == alone(wanted, [photo], tmp_path / "alone", loaded["batch"])
    wait_for(lambda: {"gpu1/0", "gpu2/0"} <= crew.there(), "both were back")
    # That it was lost is a state, and no fault of the program.
    assert "the fleet's head was lost" in crew.head.log
    assert "Traceback" not in crew.head.log


def test_a_job_goes_on_when_the_heads_worker_was_killed(crew, photo, tmp_path):
    wanted = request(100, seed=4000)
    one = crew.head.queue.submit(wanted, [photo])
    wait_for(lambda: any(event.kind == "image" for event in one.events()), "there was a picture")
    crew.serving.kill()
    one = ended(crew, one)
    batches = {event.data["batch"] for event in one.events() if event.kind == "loaded"}
    assert told(one) == alone(wanted, [photo], tmp_path / "alone", *batches)


def connect(place):
    return socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), 10)


@pytest.mark.parametrize("whose", ["nobody's", "another authority's"])
@pytest.mark.parametrize("who", ["the scheduler", "a worker"])
def test_a_stranger_is_refused(crew, who, whose, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(crew.authority / "ca.pem")
    if whose != "nobody's":
        files = authority.sign(authority.make(tmp_path / "strange"), "stranger")
        context.load_cert_chain(files["certificate"], files["key"])
    settings = crew.head.settings
    place = settings["scheduler"] if who == "the scheduler" else f"127.0.0.1:{settings['port']}"
    # In TLS 1.3 the client learns only when it reads that its certificate was not taken.
    with (
        connect(place) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(b"\0" * 64)
        secured.recv(1)
    if whose == "nobody's":
        # Without TLS: not a word comes back.
        with connect(place) as plain:
            plain.sendall(b"\0" * 64)
            with contextlib.suppress(ConnectionError):
                assert plain.recv(1) == b""


def test_nothing_listens_beyond_the_fleets_address(crew):
    sockets = set()
    for one in (crew.scheduler, *crew.workers.values()):
        for descriptor in Path(f"/proc/{one.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile: it was not the listening one
                name = str(descriptor.readlink())
                if name.startswith("socket:["):
                    sockets.add(name[len("socket:[") : -1])
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:
                listening.add(words[1].rpartition(":")[0])
    assert listening == {"0100007F"}  # 127.0.0.1, which is the fleet's address here


def test_one_that_comes_later_takes_part_and_one_host_has_several(tmp_path, photo, libraries, demo_folder):
    with crews.Crew(tmp_path / "crew", 1, slots=2) as crew:
        one = crew.head.queue.submit(request(4000), [photo])
        wait_for(
            lambda: any(
                "None of the fleet" in event.data["message"]
                for event in one.events()
                if event.kind == "notice"
            ),
            "it was said that nobody is there",
        )
        crew.join("gpu1/0")
        wait_for(lambda: any(event.kind == "image" for event in one.events()), "there was a picture")
        crew.join("gpu1/1")
        wait_for(lambda: makers(one) == {"gpu1/0", "gpu1/1"}, "the second one took part")
        crew.head.queue.cancel(one.id)
        wait_for(lambda: crew.head.queue.job(one.id).state == "cancelled", "it was cancelled")


OTHER = Path(__file__).parents[2] / (".venv" if sys.version_info < (3, 10) else ".venv-guide")


@pytest.mark.skipif(
    not (OTHER / "ready").exists(), reason="make test-guide has not made the other environment"
)
def test_a_worker_of_another_stack_and_python_takes_part(tmp_path, photo, libraries, demo_folder):
    """As in a fleet of GPUs that no one stack runs on. The pictures are the same but for rounding."""
    with crews.Crew(tmp_path / "crew", 2) as crew:
        crew.hosts[1].use(OTHER)
        crew.join("gpu1/0", "gpu2/0")
        one = ended(crew, crew.head.queue.submit(request(60), [photo]))
        assert makers(one) == {"gpu1/0", "gpu2/0"}
        records = [json.loads(Image.open(path).text["sdops"]) for path in one.out.glob("*.png")]
        assert {record["stack"] for record in records} == {"guide", "cu130"}
        assert len(told(one)) == len(records) == 60


# -- the engine's border, with members that are ready in a second


@pytest.fixture
def quick(tmp_path):
    """A fleet of one host or more, without a worker of its queue."""
    with contextlib.ExitStack() as stack:

        def gather(count):
            one = crews.Crew(tmp_path / "quick", count)
            one.scheduler = one.head.start("fleet-schedule")
            stack.callback(one.end)
            return one

        yield gather


def share(crew, images, tmp_path):
    """A job's events, made by a fleet of doubles."""
    events = []
    Image.new("RGB", (64, 64)).save(tmp_path / "in.png")
    wanted = request(images, ("in.png",))
    make = sharing.Sharing(dask_engine.crew(crew.head.membership), "job")
    course.run(wanted, [tmp_path / "in.png"], Place(tmp_path / "out", "cpu"), events.append, make)
    return events


def of(events, kind):
    return [event.data for event in events if event.kind == kind]


def words(number=0):
    """What a member is handed for a piece of one picture."""
    wanted = request(8)
    cut = piece.cut(wanted, [wanted.items()[number]], piece.Slots(1))
    return ("job", number, cut.text, [b""])


@pytest.mark.parametrize("count", [1, 2])
def test_pictures_that_end_their_workers_are_given_up_alone(quick, tmp_path, count):
    crew = quick(count)
    crew.join_doubles(*(f"gpu{number + 1}/0" for number in range(count)), deadly="5")
    events = share(crew, 24, tmp_path)
    failed = of(events, "item_failed")
    assert [one["index"] for one in failed] == [4, 5, 6, 7]  # its batch
    assert {one["code"] for one in failed} == {"fleet-piece"}
    assert len(of(events, "image")) == 20


def test_a_model_that_ends_its_worker_is_not_loaded_for_ever(quick, tmp_path):
    crew = quick(1)
    crew.join_doubles("gpu1/0", deadly="begin")
    (last,) = of(share(crew, 4, tmp_path), "failed")
    assert last["code"] == "fleet-piece"
    assert last["message"] == f"It ended {engine.ENDED} times while it loaded the model."


def test_what_members_tell_of_one_job_is_not_heard_by_another(quick):
    crew = quick(1)
    crew.join_doubles("gpu1/0")
    one = dask_engine.DaskCrew(crew.head.membership, "job")
    other = dask_engine.DaskCrew(crew.head.membership, "another")
    try:
        assert list(one.members()) == ["gpu1/0"]
        ticket = one.hand("make", words(3), ["gpu1/0"])
        done = one.next(20)
        assert (done.ticket, done.error, list(done.result["files"])) == (ticket, None, ["3.png"])
        told = []
        wait_for(lambda: told.extend(one.heard()) or told, "it was heard")
        assert told == [{"kind": "step", "piece": 3, "step": 1, "steps": 2}]
        assert other.heard() == []
        # A topic is kept by the head for ever: there is one for all jobs.
        topics = set(one._client.get_events())
        assert dask_engine.TOPIC in topics and not topics & {"job", "another"}
    finally:
        one.close()
        other.close()


def test_a_result_whose_maker_died_is_made_again_and_holds_nobody_up(quick, monkeypatch):
    crew = quick(2)
    names = ["gpu1/0", "gpu2/0"]
    crew.join_doubles(*names)
    fetch = dask_engine.DaskCrew._fetch

    async def slow(self, ticket, task):
        if not ticket:  # it dies between the end of its work and the fetching of that
            await task._state.wait()
            crew.workers["gpu2/0"].wanted = False
            crew.workers["gpu2/0"].kill()
            await asyncio.sleep(0.1)
        await fetch(self, ticket, task)

    monkeypatch.setattr(dask_engine.DaskCrew, "_fetch", slow)
    one = dask_engine.DaskCrew(crew.head.membership, "job")
    try:
        one.members()
        lost = one.hand("make", words(1), ["gpu2/0"])
        time.sleep(0.5)
        began = time.monotonic()
        other = one.hand("make", words(2), ["gpu1/0"])
        done = one.next(10)
        assert (done.ticket, done.result["name"]) == (other, "gpu1/0")
        assert time.monotonic() - began < 3
        wait_for(lambda: list(one.members()) == ["gpu1/0"], "it had gone")
        one.withdraw(lost)
        assert one.next(0) is None
    finally:
        one.close()


def test_a_head_that_hangs_is_lost_and_can_be_left(quick, monkeypatch):
    crew = quick(1)
    crew.join_doubles("gpu1/0")
    monkeypatch.setattr(dask_engine, "CONNECT", 1)
    one = dask_engine.DaskCrew(crew.head.membership, "job")
    assert list(one.members()) == ["gpu1/0"]
    crew.scheduler.kill(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(engine.LostError):
            one.members()
        one.close()
        with pytest.raises(engine.LostError):
            dask_engine.DaskCrew(crew.head.membership, "job")
        assert time.monotonic() - began < 8
    finally:
        crew.scheduler.kill(signal.SIGCONT)
    # And so does whatever is asked of one that was left.
    for ask in (one.members, lambda: one.hand("make", words(), ["gpu1/0"]), lambda: one.next(0)):
        with pytest.raises(engine.LostError):
            ask()
    one.close()


def cost():
    """How many threads there are, and open files."""
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def test_a_crew_whose_head_was_lost_leaves_nothing_behind(quick):
    crew = quick(1)
    costs = []
    for number in range(3):
        wait_for(lambda number=number: crew.head.log.count("scheduling") > number, "the head was there")
        one = dask_engine.DaskCrew(crew.head.membership, "job")
        one.members()
        one._addresses["gpu1/0"] = "tls://127.0.0.1:1"
        one.hand("make", words(), ["gpu1/0"])
        crew.scheduler.kill()
        wait_for(lambda one=one: one._client.status != "running", "it was lost")
        one.close()
        costs.append(cost())
    (threads, files), *_, last = costs
    assert last[0] == threads
    assert last[1] < files + 3  # of which each one would leave that many; the scheduler's log comes and goes


@pytest.fixture
def papers(tmp_path):
    """An authority; and what a host knows of a fleet whose head is not there, with its certificate."""
    folder = authority.make(tmp_path / "authority")

    def sign(days=30, **more):
        files = {**authority.sign(folder, "gpu2", days=days), **more}
        libraries = str(crews.LIBRARIES)
        (port,) = crews.free_ports(1)
        place = ("127.0.0.1", f"127.0.0.1:{port}", port, 1, False)
        return membership.Membership(False, "gpu2", *place, **files, libraries=libraries)

    return sign


@pytest.mark.parametrize("knocked", [True, False], ids=["nobody there", "nobody of the engine"])
def test_a_head_that_is_away_costs_nothing(papers, monkeypatch, knocked):
    """Attempt after attempt: a job may wait for days."""
    monkeypatch.setattr(dask_engine, "CONNECT", 0.1)
    if not knocked:
        monkeypatch.setattr(dask_engine.knock, "knock", lambda *words: None)
    mine = papers()

    def attempt():
        with pytest.raises(engine.LostError):
            dask_engine.DaskCrew(mine, "job")

    attempt()
    before = cost()
    for _ in range(20):
        attempt()
    assert cost() == before


@pytest.fixture
def head(tmp_path):
    """Stands for a head: TLS alone. Started with the files of a certificate; its address."""
    with contextlib.ExitStack() as stack:

        def start(files, says=b"\0"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(files["authority"])
            context.load_cert_chain(files["certificate"], files["key"])
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        plain, _ = listening.accept()
                        with (
                            contextlib.suppress(OSError),
                            plain,
                            context.wrap_socket(plain, server_side=True) as guest,
                        ):
                            guest.sendall(says)

            threading.Thread(target=serve, daemon=True).start()
            return f"127.0.0.1:{listening.getsockname()[1]}"

        yield start


def refusal(mine):
    """Why a host is not let in."""
    with pytest.raises(SdopsError) as refused:
        knock.knock(mine, 5)
    assert (refused.value.code, "--tags fleet" in refused.value.hint) == ("fleet-unusable", True)
    return refused.value.message


def test_a_certificate_that_is_no_good_is_told_as_that(papers, tmp_path):
    expired = papers(days=-1)
    day = certificate.day(certificate.validity(expired.certificate)[1])
    assert refusal(expired) == f"The certificate of gpu2 for the fleet expired on {day}."
    other = authority.sign(authority.make(tmp_path / "other"), "gpu2")
    mismatched = papers(key=other["key"])
    assert refusal(mismatched) == f"The key {other['key']} does not match the certificate of gpu2."
    (tmp_path / "empty.pem").write_text("")
    assert "is damaged" in refusal(papers(certificate=str(tmp_path / "empty.pem")))
    assert "cannot be read" in refusal(papers(authority=str(tmp_path / "none.pem")))
    # A job's crew asks first.
    with pytest.raises(SdopsError, match="expired"):
        dask_engine.DaskCrew(papers(days=-1), "job")


def test_what_the_head_shows_and_takes_is_told(papers, head, tmp_path):
    mine = papers()
    files = {name: getattr(mine, name) for name in ("authority", "certificate", "key")}
    other = authority.sign(authority.make(tmp_path / "other"), "head")
    knock.knock(dataclasses.replace(mine, scheduler=head(files)), 5)
    foreign = dataclasses.replace(mine, scheduler=head(other))
    assert refusal(foreign).startswith("The certificate that the head of the fleet shows is not good: ")
    strict = head({**files, "authority": other["authority"]})
    message = refusal(dataclasses.replace(mine, scheduler=strict))
    assert (
        message == "The head of the fleet does not let gpu2 in with its certificate: tlsv1 alert unknown ca."
    )
    # One that is just ending is away, and no more.
    with pytest.raises(engine.LostError):
        knock.knock(dataclasses.replace(mine, scheduler=head(files, says=b"")), 5)


def test_a_host_tells_how_long_its_certificate_is_valid(papers, tmp_path, monkeypatch):
    mine = papers()
    monkeypatch.setattr(membership, "read", lambda: mine)
    told = membership.outline(tmp_path)
    valid = told.pop("certificate")
    assert told == {"head": False, "members": []}
    assert valid["until"] - valid["since"] == 30 * 24 * 3600
    assert abs(valid["since"] - time.time()) < 60
    monkeypatch.setattr(membership, "read", lambda: dataclasses.replace(mine, certificate="/none"))
    assert membership.outline(tmp_path) == told


# -- the processes


def ended_with(host, *words, **more):
    """How one of a host's processes ended: its exit code and all that it said, line by line."""
    ran = subprocess.run(
        [host.python, "-m", "sdops_runtime", *words],
        env={**host.environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        text=True,
    )
    return ran.returncode, ran.stdout.splitlines()


@pytest.mark.parametrize("words", [("fleet-schedule",), ("fleet-work", "0")], ids=" ".join)
def test_a_port_that_is_taken_is_said_in_one_line(quick, words):
    crew = quick(1)
    crew.join_doubles("gpu1/0")
    code, lines = ended_with(crew.head, *words)
    (told,) = map(json.loads, lines)
    assert (code, told["code"]) == (1, "fleet-unusable")
    assert "another program listens at its port" in told["message"]


def test_a_head_that_is_away_is_said_in_one_line(papers, monkeypatch):
    monkeypatch.setattr(dask_engine, "AWAY", 0)
    mine = papers()
    with pytest.raises(SdopsError) as refused:
        dask_engine.work(mine, 0, "cpu", 600, lambda: None)
    assert refused.value.message == f"The head of the fleet does not answer at {mine.scheduler}."


def test_a_worker_that_waits_for_its_head_hears_that_it_shall_end(tmp_path, head):
    host = crews.Crew(tmp_path, 1).head
    # It lets the worker in, and says nothing that the engine understands.
    host._tell(scheduler=head({name: host.settings[name] for name in ("authority", "certificate", "key")}))
    waiting = subprocess.Popen([host.python, crews.fleet_member.__file__], env=host.environment)
    try:
        wait_for(
            lambda: (host.home / ".local/share/sdops").exists() or list(host.home.rglob("fleet-0")), "up"
        )
        time.sleep(1)
        began = time.monotonic()
        waiting.terminate()
        assert waiting.wait(10) == 0
        assert time.monotonic() - began < 3
    finally:
        waiting.kill()
        waiting.wait()


def test_a_worker_sees_the_gpu_of_its_number_alone(tmp_path, monkeypatch):
    host = crews.Crew(tmp_path, 1).head
    host._tell(gpu=True)
    seen = []
    monkeypatch.setattr(membership, "read", lambda: host.membership)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(dialect, "libraries", lambda: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    monkeypatch.setattr(device, "pick", seen.append)
    monkeypatch.setattr(dask_engine, "work", lambda mine, slot, wanted, *rest: seen.append((slot, wanted)))
    try:
        assert command.main(["fleet-work", "1"]) == 0
    finally:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    assert seen == ["1", "cuda", (1, "cuda")]


def test_a_gpu_that_cannot_be_used_is_said_in_one_line(tmp_path):
    host = crews.Crew(tmp_path, 1).head
    host._tell(gpu=True)
    code, lines = ended_with(host, "fleet-work", "1")
    (told,) = map(json.loads, lines)
    assert (code, told["code"]) == (1, "device-unusable")
