"""A whole job on the demo model: its events, its files, and what stops it."""

import os
import signal
import time

import numpy
import pytest
from PIL import Image
from sdops_runtime import device, dialect, job, memory, outputs, png
from sdops_runtime.course import Place
from sdops_runtime.errors import SdopsError
from sdops_runtime.pipeline import Engine
from sdops_runtime.protocol import JobRequest, Settings
from sdops_runtime.safety import SafetyFilter

QUICK = {"model": "demo", "width": 128, "steps": 4, "strength": 0.5, "seed": 7}


def run(sources, out, prompts=("a hat",), batch=None, overwrite=False, watch=None, **settings):
    """Runs a job; returns its events."""
    request = JobRequest(
        tuple(source.name for source in sources), tuple(prompts), Settings(**dict(QUICK, **settings)), batch
    )
    events = []

    def emit(event):
        events.append(event)
        if watch is not None:
            watch(event)

    last = job.run(request, sources, Place(out, "cpu", overwrite), emit)
    assert events[-1] is last
    assert [event for event in events if event.terminal] == [last]
    return events


def size_of(path):
    with Image.open(path) as image:
        image.load()
        return image.size


def of_kind(events, kind):
    return [dict(event.data) for event in events if event.kind == kind]


@pytest.fixture(autouse=True)
def _libraries(libraries):
    pass


def test_events_of_a_job_come_in_order(photo, tmp_path):
    events = run([photo], tmp_path / "out", images=2)
    kinds = [event.kind for event in events if event.kind != "notice"]
    steps = ["step"] * 3 + ["image"]
    assert kinds == ["loading", "loaded", "planned", *steps, *steps, "done"]
    assert of_kind(events, "planned") == [{"total": 2, "passes": 3, "fewest": 3}]
    last = dict(events[-1].data)
    assert last.pop("seconds") > 0
    assert last == {"images": 2, "failed": 0, "flagged": 0, "missing": []}


def test_every_picture_is_a_file_with_its_settings(photo, tmp_path):
    events = run([photo], tmp_path / "out", prompts=["a hat", "a cat"], images=2)
    pictures = of_kind(events, "image")
    assert [(one["index"], one["name"], one["prompt"]) for one in pictures] == [
        (0, "photo-7.png", 0),
        (1, "photo-8.png", 0),
        (2, "photo-9.png", 1),
        (3, "photo-10.png", 1),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        one["name"] for one in pictures
    )
    record = png.read_record(tmp_path / "out" / "photo-9.png")
    assert (record.prompt, record.seed, record.index, record.model) == ("a cat", 9, 2, "demo")
    assert (record.width, record.height, record.steps, record.strength) == (128, 88, 4, 0.5)


def test_a_pictures_bytes_do_not_depend_on_what_became_of_the_others(photo, tmp_path):
    other, bad = tmp_path / "other.jpg", tmp_path / "bad.jpg"
    other.write_bytes(photo.read_bytes())
    bad.write_text("not a picture")
    run([other, photo], tmp_path / "whole", batch=3, images=4)
    run([bad, photo], tmp_path / "half", batch=3, images=4)
    made = sorted(path.name for path in (tmp_path / "half").iterdir())
    assert made == ["photo-11.png", "photo-12.png", "photo-13.png", "photo-14.png"]
    for name in made:
        whole, half = ((tmp_path / where / name).read_bytes() for where in ("whole", "half"))
        assert whole == half


def test_inputs_of_different_shapes_do_not_share_a_batch(photo, tmp_path):
    tall = tmp_path / "tall.png"
    with Image.open(photo) as image:
        image.rotate(90, expand=True).save(tall)
    events = run([photo, tall], tmp_path / "out", batch=4, images=3)
    assert [(one["name"], one["width"], one["height"]) for one in of_kind(events, "image")] == [
        ("photo-7.png", 128, 88),
        ("photo-8.png", 128, 88),
        ("photo-9.png", 128, 88),
        ("tall-10.png", 128, 192),
        ("tall-11.png", 128, 192),
        ("tall-12.png", 128, 192),
    ]


@pytest.mark.parametrize("shapes", [1, 2, 8])
def test_no_more_is_computed_than_the_pictures_need(shapes, tmp_path, monkeypatch, demo_folder):
    """Eight pictures of one shape are eight rows at each step, and of eight shapes, too."""
    monkeypatch.setattr(device, "free_bytes", lambda chosen: 2**34)  # a GPU's, room for all of them at once
    monkeypatch.setattr(Engine, "small", False)
    rows, predict = [], Engine._predict

    def count(self, sample, *words):
        rows.append(len(sample))
        return predict(self, sample, *words)

    monkeypatch.setattr(Engine, "_predict", count)
    sources = [tmp_path / f"{number}.png" for number in range(8)]
    for number, source in enumerate(sources):
        Image.new("RGB", (128, 64 + 8 * (number % shapes))).save(source)
    events = run(sources, tmp_path / "out")
    assert events[-1].data["images"] == 8
    assert sum(rows) / of_kind(events, "planned")[0]["passes"] == (16 if shapes == 2 else 8)


def test_a_picture_that_does_not_fit_fails_alone(photo, tmp_path, monkeypatch, demo_folder):
    tall = tmp_path / "tall.png"
    Image.new("RGB", (128, 640)).save(tall)
    network = memory.Network("demo", dialect.generation(), "float32")
    room = memory.needed(network, 128, 88, memory.last_rung(network, 128, 88))
    monkeypatch.setattr(device, "free_bytes", lambda chosen: memory.unusable(room))
    events = run([tall, photo], tmp_path / "out")
    (failed,) = of_kind(events, "item_failed")
    assert (failed["index"], failed["code"]) == (0, "out-of-memory")
    assert [one["name"] for one in of_kind(events, "image")] == ["photo-8.png"]
    assert events[-1].kind == "done"
    events = run([tall], tmp_path / "out")
    assert (events[-1].kind, events[-1].data["code"]) == ("failed", "out-of-memory")


def test_one_bad_input_fails_its_pictures_and_not_the_job(photo, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("not a picture")
    events = run([bad, photo], tmp_path / "out", images=2)
    failed = of_kind(events, "item_failed")
    assert [(one["index"], one["seed"], one["code"]) for one in failed] == [
        (0, 7, "image-unreadable"),
        (1, 8, "image-unreadable"),
    ]
    assert "bad.png" in failed[0]["message"]
    assert [one["name"] for one in of_kind(events, "image")] == ["photo-9.png", "photo-10.png"]
    assert (events[-1].kind, events[-1].data["failed"]) == ("done", 2)


def test_an_input_that_is_too_thin_is_named(photo, tmp_path):
    Image.new("RGB", (2000, 20)).save(tmp_path / "thin.png")
    events = run([tmp_path / "thin.png", photo], tmp_path / "out")
    (failed,) = of_kind(events, "item_failed")
    assert (failed["index"], failed["code"]) == (0, "image-shape")
    assert failed["message"].startswith("thin.png of 2000x20 would be ")


def test_a_job_without_a_good_input_ends_before_the_model_is_loaded(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("not a picture")
    events = run([bad], tmp_path / "out")
    assert [event.kind for event in events] == ["failed"]
    assert (events[0].data["code"], events[0].data["missing"]) == ("image-unreadable", [7])


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"strength": 1.2}, "settings-invalid"),
        ({"steps": 1}, "settings-invalid"),
        ({"width": 100}, "settings-invalid"),
    ],
    ids=["strength", "steps", "width"],
)
def test_a_bad_setting_ends_it_before_anything_is_opened(photo, tmp_path, settings, code):
    events = run([photo], tmp_path / "out", **settings)
    assert [(event.kind, event.data["code"]) for event in events] == [("failed", code)]
    assert not (tmp_path / "out").exists()


def test_an_interrupt_keeps_what_is_finished_and_names_what_is_missing(photo, tmp_path):
    def stop(event):
        if event.kind == "step" and event.data["indices"] == [2]:
            raise KeyboardInterrupt

    events = run([photo], tmp_path / "out", images=4, watch=stop)
    assert events[-1].kind == "cancelled"
    assert events[-1].data["missing"] == [9, 10]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo-7.png", "photo-8.png"]


@pytest.mark.parametrize("instead", [None, ValueError("Unable to create tensor")], ids=["nothing", "another"])
def test_an_interrupt_that_a_library_swallows_ends_the_job_all_the_same(
    photo, tmp_path, monkeypatch, instead
):
    """A real Ctrl-C, within what catches all there is; transformers raises another error in its place."""
    verdicts, pressed = SafetyFilter.verdicts, []

    def catch_all(*words):
        if not pressed:
            pressed.append(1)
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            except BaseException:
                if instead:
                    raise instead  # noqa: B904
        return verdicts(*words)

    monkeypatch.setattr(SafetyFilter, "verdicts", catch_all)
    events = run([photo], tmp_path / "out", images=9)
    assert events[-1].kind == "cancelled"
    assert len(events[-1].data["missing"]) >= 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    made = {one["name"] for one in of_kind(events, "image")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == made


def test_a_fault_of_our_own_still_ends_the_job_with_a_reason(photo, tmp_path):
    def stumble(event):
        if event.kind == "loaded":
            raise ZeroDivisionError("division by zero")

    events = run([photo], tmp_path / "out", watch=stumble)
    assert (events[-1].kind, events[-1].data["code"]) == ("failed", "internal-error")
    assert "ZeroDivisionError: division by zero" in events[-1].data["message"]


def test_a_picture_that_is_there_is_not_replaced_unless_told(photo, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo-7.png").write_text("precious")
    events = run([photo], out)
    assert [(event.kind, event.data["code"]) for event in events] == [("failed", "output-exists")]
    assert (out / "photo-7.png").read_text() == "precious"
    assert run([photo], out, overwrite=True)[-1].kind == "done"
    assert size_of(out / "photo-7.png") == (128, 88)


@pytest.mark.parametrize(
    ("below", "reason"), [("", "it is not a folder"), ("deeper", "Not a directory")], ids=["itself", "below"]
)
def test_an_output_folder_that_is_a_file_is_named(photo, tmp_path, below, reason):
    (tmp_path / "out").write_text("")
    events = run([photo], tmp_path / "out" / below)
    assert events[-1].data["code"] == "output-unwritable"
    assert (
        events[-1].data["message"] == f"Pictures cannot be written to {tmp_path / 'out' / below}: {reason}."
    )


def test_a_disk_too_small_is_said_before_the_model_is_loaded(photo, small_disk):
    events = run([photo], small_disk / "out", images=50)
    assert [(event.kind, event.data["code"]) for event in events] == [("failed", "disk-full")]


def test_a_disk_that_fills_up_keeps_what_is_finished_and_leaves_no_half_file(photo, small_disk):
    out = small_disk / "out"

    def fill(event):
        if event.kind == "image":
            free = os.statvfs(small_disk)
            with (small_disk / "filler").open("wb") as file:
                file.write(b"x" * (free.f_bavail * free.f_frsize - 4096))

    events = run([photo], out, images=2, watch=fill)
    assert [event.kind for event in events][-1] == "failed"
    assert (events[-1].data["code"], events[-1].data["missing"]) == ("disk-full", [8])
    assert [path.name for path in out.iterdir()] == ["photo-7.png"]
    assert size_of(out / "photo-7.png") == (128, 88)


def test_a_prompt_the_model_cannot_read_whole_is_told(photo, tmp_path):
    events = run([photo], tmp_path / "out", prompts=["a hat " * 60], negative_prompt="a dog " * 60)
    notices = [one["message"] for one in of_kind(events, "notice") if one["code"] == "prompt-cut"]
    assert [notice.split(":")[0] for notice in notices] == [
        "The prompt is longer than the model reads. It will not see",
        "The negative prompt is longer than the model reads. It will not see",
    ]
    assert notices[0].endswith("a hat a hat")


@pytest.mark.parametrize("as_folder", [False, True], ids=["demo", "folder"])
def test_a_revision_that_has_no_meaning_is_told(photo, tmp_path, demo_folder, as_folder):
    model = str(demo_folder) if as_folder else "demo"
    events = run([photo], tmp_path / "out", model=model, revision="fp16")
    (said,) = [one["message"] for one in of_kind(events, "notice") if one["code"] == "revision"]
    assert said == "Revision fp16 is left out: only models at the hub have revisions."


def test_pictures_of_one_seed_are_the_same_to_the_bit(photo, tmp_path):
    run([photo], tmp_path / "one")
    run([photo], tmp_path / "two")
    one, two = ((tmp_path / name / "photo-7.png").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_record_of_a_picture_holds_no_path_and_no_metadata_of_the_input(tmp_path):
    secret = tmp_path / "secret-folder"
    secret.mkdir()
    exif = Image.Exif()
    exif[0x010E] = "canary-description"
    exif.get_ifd(0x8825)[1] = "N"
    image = Image.fromarray(numpy.full((96, 128, 3), 90, "uint8"))
    image.save(secret / "in.jpg", exif=exif, comment=b"canary-comment")
    run([secret / "in.jpg"], tmp_path / "out")
    written = (tmp_path / "out" / "in-7.png").read_bytes()
    for canary in (b"canary", b"secret-folder", str(tmp_path).encode(), b"GPS", b"eXIf"):
        assert canary not in written


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.jpg", "photo-3.png"),
        ("../../etc/passwd", "passwd-3.png"),
        ("a b;rm -rf $HOME.png", "a_b_rm_-rf_HOME-3.png"),
        (".hidden.png", "hidden-3.png"),
        ("...", "picture-3.png"),
        ("Weihnachtsmütze.jpeg", "Weihnachtsmütze-3.png"),
        ("x" * 300 + ".png", "x" * 100 + "-3.png"),
    ],
)
def test_output_names_are_harmless(name, expected):
    assert outputs.output_name(name, 3) == expected


def test_a_request_survives_its_json():
    request = JobRequest(("a.png",), ("ein Hut", "🎅"), Settings(**QUICK), 4)
    assert JobRequest.from_json(request.to_json()) == request


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"protocol": 1}', '{"protocol": 99, "inputs": [], "prompts": []}'], ids=repr
)
def test_a_request_that_is_none_is_refused(text):
    with pytest.raises(SdopsError) as caught:
        JobRequest.from_json(text)
    assert caught.value.code == "request-invalid"
