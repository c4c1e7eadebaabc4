"""``tlbench report [RUNS]``: tables of what is in a folder of results; with ``--out`` a page, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from tlbench.analysis.figures import ReportData
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
    by: Annotated[
        str | None, typer.Option(help="Group by a setting as well: key of the method's, learner.key of its learner's.")
    ] = None,
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
        _report(store, methods, by, format_, folder)


def _report(store: Store, methods: str | None, by: str | None, output: Output, folder: Path | None) -> None:
    from tlbench.analysis.figures import collect
    from tlbench.cli.report import print_groups, print_summary

    records = list(store.records())
    experts = list(store.expert_records()) if folder is not None else []  # for figures alone
    data = collect(store.suite, records, _wanted(store, records, methods), by=by, experts=experts)
    if folder is not None:
        _write(folder, store, data, records)
    if output is Output.terminal:
        print_summary(store.suite, data.summary, data.notes)
        print_groups(store.suite, data)
    else:
        typer.echo("\n".join(_texts(data, output)), nl=False)


def _texts(data: ReportData, output: Output) -> list[str]:
    """The tables in a format: one of them as CSV or JSON, all that there are as Markdown or LaTeX."""
    from tlbench.analysis.group_tables import group_tables
    from tlbench.analysis.settings import SettingResult
    from tlbench.analysis.tables import Format, flat_csv, json_text, latex, markdown, render

    if output in (Output.csv, Output.json):
        if data.by is None:
            return [render(data.summary, cast(Format, output.value), "tasks")]
        return [flat_csv(SettingResult, data.settings) if output is Output.csv else json_text(data.settings)]
    text = markdown if output is Output.markdown else latex
    found = [render(data.summary, cast(Format, output.value), "tasks")]
    found.append(render(data.summary, cast(Format, output.value), "suite"))
    return found + [text(table.header, table.rows) for table in group_tables(data)]


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


def _write(folder: Path, store: Store, data: ReportData, records: Sequence[Record]) -> None:
    from tlbench import __version__
    from tlbench.analysis.page import write_report

    written = write_report(folder, store.suite, data, records, __version__)
    typer.echo(f"wrote {written[-1]} and {len(written) - 1} files with figures and tables", err=True)
