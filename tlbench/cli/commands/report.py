"""``tlbench report [RUNS]``: tables of what is in a folder of results; with ``--out`` a page, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from tlbench.analysis.results import Summary
    from tlbench.execution.store import Store
    from tlbench.protocol.records import Record


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
    out: Annotated[Path | None, typer.Option(help="Folder for a page with figures, and tables as files.")] = None,
) -> None:
    """Show the tables of all results in a folder, with 95 % intervals; --out writes a page with figures as well."""
    from tlbench.execution.store import find_stores
    from tlbench.protocol.errors import TlbenchError

    stores = [store for store in find_stores(runs) if suite is None or store.suite.id == suite]
    if not stores:
        raise TlbenchError(f"{runs} holds no results of {suite}")
    for store in stores:
        folder = out if out is None or len(stores) == 1 else out / store.suite.id
        _report(store, methods, format_, folder)


def _report(store: Store, methods: str | None, output: Output, folder: Path | None) -> None:
    from tlbench.analysis.tables import Format, render
    from tlbench.cli.api import summary_of
    from tlbench.cli.report import print_summary

    records = list(store.records())
    wanted = _wanted(store, records, methods)
    if folder is None:
        present = {(r.method.id, r.config_hash) for r in records if r.method is not None}
        only = None if wanted is None else {pair for pair in present if pair[0] in wanted}
        summary, notes = summary_of(store.suite, records, only)
    else:
        summary, notes = _write(folder, store, records, wanted)
    if output is Output.terminal:
        print_summary(store.suite, summary, notes)
        return
    text = cast(Format, output.value)
    typer.echo(render(summary, text, "tasks"), nl=False)
    if output in (Output.markdown, Output.latex):
        typer.echo()
        typer.echo(render(summary, text, "suite"), nl=False)


def _wanted(store: Store, records: Sequence[Record], methods: str | None) -> list[str] | None:
    """Ids of the methods asked for, in that order; None for all."""
    from tlbench.protocol.discovery import aliases
    from tlbench.protocol.errors import TlbenchError

    if not methods:
        return None
    known = {r.method.id for r in records if r.method is not None}
    wanted = list(dict.fromkeys(aliases().get(name.strip(), name.strip()) for name in methods.split(",")))
    for name in wanted:
        if name not in known:
            raise TlbenchError(
                f"{store.folder} holds no runs of {name!r}; it holds: {', '.join(sorted(known)) or 'none'}"
            )
    return wanted


def _write(
    folder: Path, store: Store, records: Sequence[Record], wanted: Sequence[str] | None
) -> tuple[Summary, list[str]]:
    """Write a report, and give back what its tables show."""
    from tlbench import __version__
    from tlbench.analysis.figures import collect
    from tlbench.analysis.page import prepare_folder, write_report

    prepare_folder(folder)
    data = collect(store.suite, records, wanted)
    written = write_report(folder, store.suite, data, records, __version__)
    typer.echo(f"wrote {written[-1]} and {len(written) - 1} files with figures and tables", err=True)
    return data.summary, list(data.notes)
