"""``tlbench report [RUNS]``: per-task and suite tables of what is in a folder of results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from tlbench.execution.store import Store


class Output(StrEnum):
    """Formats of a report."""

    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


def command(
    runs: Annotated[Path, typer.Argument(help="Folder of results.")] = Path("runs"),
    suite: Annotated[str | None, typer.Option(help="Only this suite (its id, such as classic-v1).")] = None,
    methods: Annotated[str | None, typer.Option(help="Only these methods, comma-separated.")] = None,
    format_: Annotated[Output, typer.Option("--format", help="Format of the tables.")] = Output.terminal,
) -> None:
    """Show the tables of all results in a folder, with 95 % intervals."""
    from tlbench.execution.store import find_stores
    from tlbench.protocol.errors import TlbenchError

    stores = [store for store in find_stores(runs) if suite is None or store.suite.id == suite]
    if not stores:
        raise TlbenchError(f"{runs} holds no results of {suite}")
    for store in stores:
        _report(store, methods, format_)


def _report(store: Store, methods: str | None, output: Output) -> None:
    from tlbench.analysis.tables import Format, render
    from tlbench.cli.api import summary_of
    from tlbench.cli.report import print_summary
    from tlbench.protocol.discovery import aliases
    from tlbench.protocol.errors import TlbenchError

    records = list(store.records())
    present = {(r.method.id, r.config_hash) for r in records if r.method is not None}
    wanted = {aliases().get(name.strip(), name.strip()) for name in methods.split(",")} if methods else None
    for name in wanted or ():
        if name not in {method for method, _ in present}:
            known = ", ".join(sorted({method for method, _ in present})) or "none"
            raise TlbenchError(f"{store.folder} holds no runs of {name!r}; it holds: {known}")
    only = None if wanted is None else {pair for pair in present if pair[0] in wanted}
    summary, notes = summary_of(store.suite, records, only)
    if output is Output.terminal:
        print_summary(store.suite, summary, notes)
        return
    text = cast(Format, output.value)
    typer.echo(render(summary, text, "tasks"), nl=False)
    if output in (Output.markdown, Output.latex):
        typer.echo()
        typer.echo(render(summary, text, "suite"), nl=False)
