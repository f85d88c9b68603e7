"""``sdops doctor``: what is wrong, why, and what to type."""

from pathlib import Path
from typing import Annotated

import typer

from sdops import complete
from sdops.errors import SdopsError


def doctor(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST|GROUP]…",
            help="Hosts, groups or patterns of the inventory, or local. All of the inventory if left out.",
            show_default=False,
            autocompletion=complete.hosts,
        ),
    ] = None,
    inventory: Annotated[
        list[Path] | None,
        typer.Option("--inventory", "-i", metavar="FILE", help="Ansible inventory; repeat for several."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", metavar="", help="Leave out what takes seconds: starting torch.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CHECK", help="Show this check or topic alone; repeat for several."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="CHECK", help="Count errors of this check or topic as warnings."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", metavar="", help="Exit with 1 for warnings, too.")
    ] = False,
    nvidia_smi: Annotated[
        Path | None,
        typer.Option(
            "--nvidia-smi",
            metavar="FILE",
            help="Judge an output of nvidia-smi, in any of its formats, and no host; - is standard input.",
        ),
    ] = None,
    recommend: Annotated[
        bool,
        typer.Option(
            "--recommend", metavar="", help="Say which stack fits driver and GPU best, and what to set."
        ),
    ] = False,
    facts: Annotated[
        bool,
        typer.Option("--facts", metavar="", help="Print what was found out, as JSON; judge nothing."),
    ] = False,
    stored: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Judge facts that --facts printed, and ask no host."),
    ] = None,
    checks: Annotated[bool, typer.Option("--list", metavar="", help="List all checks.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print one JSON document on stdout.")
    ] = False,
) -> None:
    """Examine hosts and say what is wrong, why, and what to type. Changes nothing.

    Example: sdops doctor gpu1
    """
    from sdops import subjects
    from sdops.checks import verdict
    from sdops.report import doctor as report

    if checks:
        report.render_list(as_json)
        return
    if sum(bool(one) for one in (hosts, stored, nvidia_smi)) > 1:
        raise SdopsError("usage", "Hosts, --from and --nvidia-smi exclude each other.", "Use one of them.")
    shown = verdict.select(only or ())
    ignored = verdict.select(ignore or ()) if ignore else frozenset()
    found = subjects.gather(hosts or (), inventory or (), quick, stored, nvidia_smi, report.waiting, as_json)
    if facts:
        report.render_facts(found)
        return
    if recommend:
        report.render_recommendations(found, as_json)
        return
    judged = verdict.judge_all(found, ignored, shown)
    if nvidia_smi and as_json:
        report.render_pasted(judged[0], strict)
    else:
        report.render(judged, strict, as_json)
    raise typer.Exit(verdict.exit_code(judged, strict))
