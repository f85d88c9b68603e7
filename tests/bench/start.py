"""How long ``sdops --help`` takes, against ``import typer, rich``, in one run.

Alternates the two so that other load on the machine falls on both alike.
"""

import statistics
import subprocess
import sys
import time

RUNS = 15
COMMANDS = {
    "import typer, rich": [sys.executable, "-c", "import typer, rich"],
    "sdops --help": [
        sys.executable,
        "-c",
        "import sys; sys.argv[1:] = ['--help']; from sdops.cli import main; main()",
    ],
}


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Prints the medians and their ratio."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(RUNS + 1):
        for name, command in COMMANDS.items():
            took = seconds(command)
            if number:  # the first round only fills the disk cache
                times[name].append(took)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, median in medians.items():
        print(f"{name:20} {median * 1000:6.0f} ms")
    print(f"{'ratio':20} {medians['sdops --help'] / medians['import typer, rich']:6.2f} (goal: at most 3)")


if __name__ == "__main__":
    main()
