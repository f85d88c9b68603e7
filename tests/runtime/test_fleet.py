"""One job over a fleet: the bytes of one host, whoever comes, goes, hangs or is killed. Python 3.9."""

import contextlib
import hashlib
import json
import signal
import socket
import ssl
import sys
from pathlib import Path

import crews
import pytest
from crews import wait_for
from doubles import authority
from PIL import Image
from sdops_runtime import job
from sdops_runtime.course import Place
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
        one = crew.head.queue.submit(request(400), [photo])
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
