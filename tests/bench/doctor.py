"""How long doctor takes for many hosts against one: all are asked side by side.

    make bench-doctor

Fifty sessions are simulated: a round trip is a sleep of 50 ms, the host's own time another; what the host
answers is what this machine answers to the same script. Real are doctor, its threads, parsers and checks.
Where test hosts can be made, one and three of them are asked for real, by the command as it is typed, over
links with the same round trip.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hosts.host import Host
from hosts.lab import Lab
from hosts.machine import UnavailableError
from sdops.checks import verdict
from sdops.doctor import Target, chosen, examine_all
from sdops.facts import script
from sdops.facts.registry import PROBES
from sdops.facts.wanted import Wanted
from sdops.transport import Completed

#: Seconds for a packet there and one back.
ROUND_TRIP = 0.05
#: Round trips until a new connection has run a command: TCP, versions, key exchange, login, channel, command.
CONNECTING = 10
#: Hosts at once.
MANY = 50


class Recorded:
    """A session whose other end answers what was recorded, after the time that a far host would take."""

    def __init__(self, answer: bytes, word: str, seconds: float) -> None:
        self._answer, self._word, self._seconds = answer, word, seconds
        time.sleep(CONNECTING * ROUND_TRIP)

    def stream(
        self, argv: Sequence[str], take: Callable[[bytes], None], *, stdin: bytes = b"", timeout: float
    ) -> int:
        """Sleeps as long as the host took, then answers under the word that this script asks for."""
        word = stdin.split(b"\n", 1)[0].partition(b"=")[2]
        time.sleep(ROUND_TRIP + self._seconds)
        take(self._answer.replace(self._word.encode(), word))
        return 0

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        """Is not used here."""
        raise NotImplementedError

    def close(self) -> None:
        """Has nothing to end."""


def record() -> tuple[bytes, str, float]:
    """What this machine answers, under which word, and the seconds that it took."""
    word = script.nonce()
    text = script.compose(chosen(PROBES, quick=True), Wanted(), word)
    started = time.perf_counter()
    ran = subprocess.run([*script.COMMAND], input=text.encode(), stdout=subprocess.PIPE, check=False)
    return ran.stdout, word, time.perf_counter() - started


def seconds(number: int, answer: bytes, word: str, host: float) -> float:
    """Wall time of examining and judging so many hosts."""
    targets = [Target(f"gpu{one}", Wanted(), lambda: Recorded(answer, word, host)) for one in range(number)]
    started = time.perf_counter()
    found = examine_all(targets, quick=True)
    verdict.judge_all(found, (), ())
    took = time.perf_counter() - started
    assert all(one.reach.whole for one in found)
    return took


def typed(lab: Lab, folder: Path, hosts: Sequence[Host], *words: str) -> float:
    """Wall time of ``sdops doctor`` for test hosts, from its start to its end."""
    inventory = folder / f"inventory{len(hosts)}.ini"
    if not inventory.exists():
        inventory.write_text(lab.inventory(*hosts).read_text())
    argv = [sys.executable, "-c", "from sdops.cli import main; main()", "doctor", "-i", inventory, *words]
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    started = time.perf_counter()
    ran = lab.controller.run(argv, check=False, timeout=120, env=environment, cwd=folder)
    took = time.perf_counter() - started
    if ran.rc not in (0, 1):
        raise SystemExit(ran.stdout + ran.stderr)
    return took


def real(rounds: int) -> dict[str, list[float]]:
    """Wall times for one host and three, quick and in full (fresh hosts: there is no torch to be started)."""
    times: dict[str, list[float]] = {}
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="sdops-bench-") as name:
        hosts = lab.hosts("bookworm", "bookworm", "bookworm", packages=False)
        for host in hosts:
            host.link.shape(delay=ROUND_TRIP / 2)
        for _ in range(rounds + 1):
            for number in (1, 3):
                took = typed(lab, Path(name), hosts[:number], "--quick")
                times.setdefault(f"{number} test hosts, --quick", []).append(took)
    # The first round reads the inventory anew.
    return {name: taken[1:] for name, taken in times.items()}


def main() -> None:
    """Prints medians and the ratio that matters; then, where test hosts can be made, real ones."""
    parser = argparse.ArgumentParser(description="Time doctor for one, three and fifty simulated hosts.")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    rounds = parser.parse_args().rounds
    answer, word, host = record()
    times: dict[int, list[float]] = {1: [], 3: [], MANY: []}
    for _ in range(rounds):
        for number, taken in times.items():
            taken.append(seconds(number, answer, word, host))
    medians = {number: statistics.median(taken) for number, taken in times.items()}
    for number, median in medians.items():
        print(f"{number:3} hosts {median:6.2f} s")
    goal = 2 * medians[1] + 1
    print(f"{MANY} hosts against one: {medians[MANY] / medians[1]:.2f} times (goal: under {goal:.2f} s)")
    print(
        f"Simulated: {ROUND_TRIP * 1000:.0f} ms a round trip, {CONNECTING} of them to connect; "
        f"a host answers in {host:.2f} s, as this one did."
    )
    try:
        for name, taken in real(rounds).items():
            print(f"{name} {statistics.median(taken):6.2f} s")
    except UnavailableError as reason:
        print(f"No test hosts here: {reason}")
    else:
        print(f"Real hosts, real SSH, {ROUND_TRIP * 1000:.0f} ms a round trip; goal for one: under 1.5 s.")


if __name__ == "__main__":
    sys.exit(main())
