"""Shows results on the terminal: the suite's table, then the tasks'."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from tlbench.analysis.results import Summary
from tlbench.analysis.tables import cells
from tlbench.cli.show import print_table
from tlbench.protocol.specs import SuiteSpec


def print_summary(suite: SuiteSpec, summary: Summary, notes: Sequence[str]) -> None:
    """Print the tables of a summary.

    Args:
        suite: The suite.
        summary: The results.
        notes: Lines to print below.
    """
    print_table(f"{suite.id}, per transfer task", *cells(summary, "tasks"))
    print_table(f"{suite.id}, suite", *cells(summary, "suite"))
    percent = round(100 * summary.confidence)
    typer.echo(f"intervals: {percent} % bootstrap over seeds; suite digest {suite.digest[:12]}")
    for note in notes:
        typer.echo(f"note: {note}")
