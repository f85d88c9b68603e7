"""The packed runtime: the same bytes from every Python, and whole: it runs from nothing but itself."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "runtime" / "build_pyz.py"
MANIFEST = json.loads((ROOT / "runtime" / "sdops_runtime" / "stack.json").read_text())

#: The oldest that the runtime runs on, this one, and one that is newer than any stack's.
PYTHONS = ("3.9", "3.11", "3.13")


def python(wanted):
    """The path of a Python of that version, or None; one that is found is tried."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [sys.executable, shutil.which("python" + wanted)]
    candidates += sorted(str(path) for path in pyenv.glob(wanted + ".*/bin/python"))
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        ran = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, timeout=30)
        if ran.returncode == 0 and ran.stdout.strip() == wanted:
            return candidate
    return None


def build(program, out, source=BUILD):
    ran = subprocess.run(
        [program, "-I", source, out], capture_output=True, text=True, timeout=60, cwd=out.parent
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def answer(archive, *words, program=sys.executable):
    """What a command of the archive prints, run where no source of ours can be found."""
    ran = subprocess.run(
        [program, "-I", archive, *words], capture_output=True, text=True, timeout=60, cwd=archive.parent
    )
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    out = tmp_path_factory.mktemp("pyz") / "sdops-runtime.pyz"
    build(sys.executable, out)
    return out


@pytest.mark.parametrize("wanted", PYTHONS)
def test_every_python_builds_the_same_bytes(archive, tmp_path, wanted):
    program = python(wanted)
    if program is None:
        pytest.skip(f"there is no Python {wanted} here")
    built = build(program, tmp_path / "other.pyz")
    assert built["digest"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (tmp_path / "other.pyz").read_bytes() == archive.read_bytes()


def test_a_copy_elsewhere_gives_the_same_bytes_whatever_its_times_modes_and_leftovers(archive, tmp_path):
    copy = tmp_path / "runtime"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "runtime", copy, ignore=ignored, copy_function=shutil.copyfile)
    package = copy / "sdops_runtime"
    for path in package.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    for leftover in ("__pycache__/job.cpython-39.pyc", "__pycache__/job.py", ".job.py.swp", "job.py.orig"):
        (package / leftover).parent.mkdir(exist_ok=True)
        (package / leftover).write_text("not ours")
    build(sys.executable, tmp_path / "other.pyz", copy / "build_pyz.py")
    assert (tmp_path / "other.pyz").read_bytes() == archive.read_bytes()


def test_what_is_right_already_is_not_written_again(archive):
    before = archive.stat()
    build(sys.executable, archive)
    after = archive.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_all_of_the_package_is_inside(archive):
    tracked = ROOT / "runtime" / "sdops_runtime"
    wanted = {
        "sdops_runtime/" + path.relative_to(tracked).as_posix()
        for path in tracked.rglob("*")
        if path.is_file() and path.suffix in (".py", ".json", ".txt")
    }
    with zipfile.ZipFile(archive) as opened:
        assert set(opened.namelist()) == wanted | {"__main__.py"}
        assert opened.testzip() is None
    assert "sdops_runtime/hub/client.py" in wanted
    assert {"sdops_runtime/locks/" + stack["pip"]["lock"] for stack in MANIFEST["stacks"].values()} <= wanted


@pytest.mark.parametrize("wanted", PYTHONS)
def test_it_says_what_it_is_on_every_python(archive, wanted):
    program = python(wanted)
    if program is None:
        pytest.skip(f"there is no Python {wanted} here")
    code, lines, errors = answer(archive, "version", program=program)
    assert (code, errors) == (0, "")
    (said,) = lines
    assert said.pop("python").startswith(wanted + ".")
    assert said == {
        "version": build(sys.executable, archive)["version"],
        "protocol": 1,
        "digest": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "archive": str(archive),
    }


def test_it_reads_its_data_from_inside(archive):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from sdops_runtime import stack, hub\n"
        "print(stack.__file__, len(stack.names()), *[bool(stack.load(n).lock_text()) for n in stack.names()])"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", script, str(archive)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=archive.parent,
        check=True,
    )
    place, count, *locks = ran.stdout.split()
    assert place.startswith(str(archive))
    assert (int(count), set(locks)) == (len(MANIFEST["stacks"]), {"True"})


def test_an_older_python_is_told_so(archive):
    program = python("3.8") or python("3.6")
    if program is None:
        pytest.skip("there is no older Python here")
    code, lines, errors = answer(archive, "version", program=program)
    assert (code, lines) == (1, [])
    assert errors.startswith("sdops-runtime needs Python 3.9 or later; this is 3.")
