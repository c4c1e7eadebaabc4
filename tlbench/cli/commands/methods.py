"""``tlbench methods``: the methods, with the suites that each supports."""

from __future__ import annotations

from typing import Annotated

import typer

from tlbench.cli.show import print_table


def command(
    learner: Annotated[str | None, typer.Option(help="Only those of this learner, such as vpg.")] = None,
) -> None:
    """List the methods, with the suites that each supports."""
    from tlbench.execution.selection import MethodChoice, find_learner
    from tlbench.execution.support import cannot_open, unsupported
    from tlbench.protocol.discovery import aliases, methods, suites

    if learner is not None:
        find_learner(learner)  # a clear error for one that there isn't
    names = {target: alias for alias, target in aliases().items()}
    closed = {suite.id: reason for suite in suites().values() if (reason := cannot_open(suite))}
    rows = []
    for entry in methods().values():
        if learner not in (None, entry.learner):
            continue
        supported = [
            suite.id
            for suite in suites().values()
            if suite.id not in closed and not unsupported(suite, MethodChoice(entry.id), [*suite.transfers])
        ]
        rows.append([entry.id, names.get(entry.id, ""), entry.learner or "", ", ".join(supported), entry.summary])
    print_table("", ["method", "alias", "learner", "suites", "what it does"], rows)
    for reason in closed.values():
        typer.echo(f"left out: {reason}")
