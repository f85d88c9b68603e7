"""Writes the generated parts of the README, its picture, and the pages beside this; ``--check`` compares.

A part stands between ``<!-- generated:NAME -->`` and ``<!-- /generated -->``.
The picture is what the real command left on a real (pseudo) terminal.
"""

import argparse
import io
import itertools
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from importlib.metadata import files
from pathlib import Path

from sdops.checks.registry import CHECKS
from sdops.cli import app
from sdops.errors import ALL_CODES, exit_code
from sdops_runtime import stack

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CHECKS_PAGE = Path(__file__).parent / "checks.md"
COMMANDS_PAGE = Path(__file__).parent / "commands.md"
PICTURE = Path(__file__).parent / "run.svg"
COLUMNS, LINES = 92, 14

PART = re.compile(r"(<!-- generated:([a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def command_help(*words: str) -> str:
    """The help text of a command as a block of code, in plain letters, 100 columns wide."""
    environment = dict(os.environ, COLUMNS="100", TERM="dumb", NO_COLOR="1")
    command = [sys.executable, "-c", "from sdops.cli import main; main()", *words, "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    lines = [line.rstrip() for line in ran.stdout.strip().splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def codes() -> str:
    """Every error code with its meaning and the exit code it leads to."""
    rows = [
        f"| `{code}` | {entry.meaning} | {exit_code(code):d} |" for code, entry in sorted(ALL_CODES.items())
    ]
    return "\n".join(["| code | meaning | exit |", "|---|---|---|", *rows]) + "\n"


def stacks() -> str:
    """The stacks of the manifest with what they need."""
    rows = []
    for name in stack.names():
        one = stack.load(name)
        chosen = " (default)" if one == stack.load() else ""
        pins = {pin: one.pin(pin) for pin in ("torch", "diffusers", "transformers")}
        rows.append(
            f"| `{name}`{chosen} | {one.python} | {pins['torch']} | {one.cuda} | {pins['diffusers']} | "
            f"{pins['transformers']} | {one.minimum_driver} | {', '.join(one.kernels)} |"
        )
    heading = "| stack | Python | torch | CUDA | diffusers | transformers | driver from | GPU kernels for |"
    return "\n".join([heading, "|---" * 8 + "|", *rows]) + "\n"


def variables() -> str:
    """Everything that can be set for hosts, role by role in the play's order."""
    import yaml

    rows: list[tuple[str, object, str | list[str]]] = []
    (play,) = yaml.safe_load((ROOT / "ansible" / "site.yml").read_text())
    for role in play["roles"]:
        spec = ROOT / "ansible" / "roles" / role["role"] / "meta" / "argument_specs.yml"
        if spec.exists():
            options = yaml.safe_load(spec.read_text())["argument_specs"]["main"].get("options", {})
            rows += [(name, option["default"], option["description"]) for name, option in options.items()]
    lines = [f"| `{name}` | {cell(shown(default))} | {cell(prose(text))} |" for name, default, text in rows]
    return "\n".join(["| variable | default | what it says |", "|---|---|---|", *lines]) + "\n"


def shown(value: object) -> str:
    """A default as one line of Markdown."""
    if isinstance(value, dict):
        return ", ".join(f"`{key}: {one}`" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(f"`{one}`" for one in value)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ("", None) else ""


def prose(text: str | list[str]) -> str:
    """A description on one line; Ansible's marks for code become Markdown's."""
    text = text if isinstance(text, str) else " ".join(text)
    return re.sub(r"\bC\(([^)]*)\)", r"`\1`", " ".join(text.split()))


def cell(text: str) -> str:
    """Text that does not end its cell of a table."""
    return text.replace("|", r"\|")


PARTS = {
    "help": lambda: command_help(),
    "help-run": lambda: command_help("run"),
    "help-doctor": lambda: command_help("doctor"),
    "codes": codes,
    "stacks": stacks,
    "variables": variables,
}


def render(text: str) -> str:
    """The README with every generated part made anew."""
    return PART.sub(lambda found: found[1] + PARTS[found[2]]() + found[3], text)


def checks_page() -> str:
    """The page of doctor's checks: what each means, and what to do about it."""
    parts = [
        "# What `sdops doctor` checks\n",
        "Written by `make docs` from the checks themselves. A check that needs another one is skipped where\n"
        "that did not pass: the first error is the one to mend first.\n",
    ]
    for topic, checks in itertools.groupby(CHECKS, key=lambda one: one.topic):
        parts.append(f"## {topic}\n")
        for one in checks:
            needs = f" Needs {', '.join(f'`{need}`' for need in one.needs)}." if one.needs else ""
            parts.append(
                f"### {one.id}\n\n*{one.severity.value.capitalize()}.* All is well: {one.title}.{needs}\n"
            )
            parts.append(f"**Cause.** {' '.join(one.cause.split())}\n")
            parts.append(f"**Remedy.** {' '.join(one.remedy.split())}\n")
    return "\n".join(parts)


def commands() -> list[str]:
    """All commands, in the order of ``sdops --help``."""
    return [one.name or str(getattr(one.callback, "__name__", "")) for one in app.registered_commands]


def commands_page() -> str:
    """The help of every command."""
    parts = ["# The commands of `sdops`\n", "Written by `make docs`: what `sdops COMMAND --help` prints.\n"]
    for name in commands():
        parts += [f"## {name}\n", command_help(name)]
    return "\n".join(parts)


def record(command: list[str], shown: str) -> str:
    """Runs ``command`` on a pseudo terminal and returns its last screen as SVG, under ``$ shown``."""
    import pyte
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(COLUMNS=str(COLUMNS), LINES=str(LINES), TERM="xterm-256color")
        os.execvp(command[0], command)  # noqa: S606
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and select.select([terminal], [], [], 60)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how a terminal says that its last process has gone
            break
        stream.feed(data)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("the command of the picture failed:\n" + "\n".join(screen.display))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ ", style="green").append(shown, style="bold default"))
    used = max(number for number, line in enumerate(screen.display) if line.strip())
    for row in range(used + 1):
        line = Text()
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            colour = None if cell.fg == "default" else cell.fg.replace("brown", "yellow")
            line.append(cell.data, Style(color=colour, bold=cell.bold))
        line.rstrip()
        console.print(line)
    picture = console.export_svg(title="sdops run", unique_id="sdops-run")
    # The fonts would be fetched from elsewhere; any monospaced one will do.
    return re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)


def main() -> None:
    """Writes or checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a part is out of date; write nothing")
    parser.add_argument(
        "--no-picture", action="store_true", help="leave the picture of the terminal as it is"
    )
    asked = parser.parse_args()
    text = README.read_text()
    fresh = render(text)
    if asked.check:
        pages = {CHECKS_PAGE: checks_page(), COMMANDS_PAGE: commands_page()}
        stale = [path for path, page in pages.items() if not path.exists() or path.read_text() != page]
        if fresh != text or stale:
            raise SystemExit("README.md or a page in ops/docs is out of date: run make docs")
        return
    README.write_text(fresh)
    CHECKS_PAGE.write_text(checks_page())
    COMMANDS_PAGE.write_text(commands_page())
    if asked.no_picture:
        return
    photo = next(file for file in files("matplotlib") or [] if file.name == "grace_hopper.jpg").locate()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "photo.jpg"
        image.write_bytes(Path(photo).read_bytes())
        os.chdir(folder)
        words = ["photo.jpg", "wearing a christmas hat", "--model", "demo", "--images", "3", "--seed", "7"]
        sdops = str(Path(sys.executable).parent / "sdops")
        shown = 'sdops run photo.jpg "wearing a christmas hat" --model demo --images 3 --seed 7'
        PICTURE.write_text(record([sdops, "run", *words, "--host", "local"], shown))


if __name__ == "__main__":
    main()
