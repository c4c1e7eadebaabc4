"""Shows results on the terminal: the columns that fit, per transfer task and for the suite."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from tlbench.analysis.figures import ReportData
from tlbench.analysis.group_tables import group_tables
from tlbench.analysis.results import Summary
from tlbench.analysis.tables import cells
from tlbench.cli.show import print_table
from tlbench.protocol.specs import SuiteSpec

TASK_COLUMNS = (
    "transfer task",
    "relation",
    "score",
    "control score",
    "transfer gain",
    "jumpstart",
    "speed-up",
    "negative transfer",
)
SUITE_COLUMNS = (
    "score",
    "control score",
    "transfer gain",
    "self gain",
    "jumpstart",
    "speed-up",
    "negative transfer",
    "seeds",
    "tasks",
)


def print_summary(suite: SuiteSpec, summary: Summary, notes: Sequence[str]) -> None:
    """Print the tables of a summary.

    Args:
        suite: The suite.
        summary: The results.
        notes: Lines to print below.
    """
    several = len(summary.suites) > 1
    lead = ("method", "rank") if several else ("method",)
    print_table(f"{suite.id}, per transfer task", *_columns(*cells(summary, "tasks"), lead[:1] + TASK_COLUMNS))
    print_table(f"{suite.id}, suite", *_columns(*cells(summary, "suite"), lead + SUITE_COLUMNS))
    percent = round(100 * summary.confidence)
    typer.echo(f"intervals: {percent} % bootstrap over seeds; suite digest {suite.digest[:12]}")
    for note in notes:
        typer.echo(f"note: {note}")


def print_groups(suite: SuiteSpec, data: ReportData) -> None:
    """Print the results by base model, what models predicted, and results by a setting, where there are any.

    Args:
        suite: The suite.
        data: The results.
    """
    for table in group_tables(data):
        print_table(f"{suite.id}, {table.title}", table.header, table.rows)


def _columns(header: list[str], rows: list[list[str]], wanted: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    positions = [header.index(name) for name in wanted]
    return [header[i] for i in positions], [[row[i] for i in positions] for row in rows]
