"""``tlbench check``: the conformance test of a method."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tlbench.cli.conformance import Report


def command(
    method: Annotated[str, typer.Argument(help="Id or alias (see `tlbench methods`), or path/to/file.py[:Class].")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the method; learner.key=value of its learner.")
    ] = None,
    suite: Annotated[str, typer.Option(help="Suite whose transfer tasks are tried, in small.")] = "classic",
    tasks: Annotated[
        str | None, typer.Option(help="Transfer tasks, comma-separated; by default one of each kind supported.")
    ] = None,
    budget: Annotated[
        int, typer.Option(min=100, help="Units of experience per run; more where learning starts late.")
    ] = 4000,
    wall_limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which a run is ended; more for a slow method.")
    ] = 60.0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; all usable cores by default.")] = None,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
) -> None:
    """Hold a method against the protocol: small runs, and one line per check that says plainly what is wrong."""
    from tlbench.cli.api import check_device, usable_cores
    from tlbench.cli.conformance import check_method
    from tlbench.execution.checks import Check
    from tlbench.execution.selection import parse_settings, parse_transfers
    from tlbench.protocol.discovery import find_suite

    found = find_suite(suite)
    check_device(device)
    report = check_method(
        method,
        found,
        settings=parse_settings(set_ or []),
        tasks=parse_transfers(tasks, found) if tasks is not None else None,
        budget=budget,
        wall_limit=wall_limit,
        jobs=jobs or usable_cores(),
        device=device,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    for line in lines(report):
        typer.echo(line)
    if not report.ok:
        failed = len(report.failed())
        typer.echo(f"error: {report.method} fails {failed} of {len(Check)} checks", err=True)
        raise typer.Exit(1)


def lines(report: Report) -> list[str]:
    """One line per check that passed or couldn't be made, one per problem where it failed."""
    from tlbench.execution.checks import Check

    text = []
    for check in Check:
        problems = {problem: places for problem, places in report.problems.items() if problem.check is check}
        for problem, places in problems.items():
            where = f" [{', '.join(places)}]" if places else ""
            text.append(f"FAILED: {check}: {problem.message}{where}")
        if not problems:
            everywhere = set(report.transfers.values())
            remarks = [
                remark if not places or set(places) >= everywhere else f"{remark}: {', '.join(places)}"
                for remark, places in report.remarks.get(check, {}).items()
            ]
            note = f" ({'; '.join(remarks)})" if remarks else ""
            text.append(f"ok: {check}{note}" if check in report.reached else f"not checked: {check}")
    return text
