"""``sdops bug-report``: what somebody needs who is to find a fault."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sdops import complete
from sdops.commands.options import Inventory, Json


def bug_report(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST|GROUP]…",
            help="Hosts that it is about. All of the inventory if left out.",
            show_default=False,
            autocompletion=complete.hosts,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The archive; named by the time if left out."),
    ] = None,
    inventory: Inventory = None,
    as_json: Json = False,
) -> None:
    """Gather versions, facts, findings and logs into one archive, without secrets, addresses and prompts.

    Nothing is sent anywhere. Look through it, then attach it where you report the fault.

    Example: sdops bug-report gpu1
    """
    from sdops import bug_report as bundle
    from sdops import subjects
    from sdops.checks import verdict
    from sdops.report import bug_report as report
    from sdops.report import doctor

    def judge(names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        found = subjects.gather(names, inventory or (), True, None, None, doctor.waiting, as_json)
        judged = verdict.judge_all(found, frozenset(), verdict.select(()))
        return doctor.facts_data(found), doctor.as_data(judged, strict=False)

    report.render(bundle.write(hosts or (), inventory or (), out, judge), as_json)
