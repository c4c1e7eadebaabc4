"""``tlbench report [RUNS]``: tables of what is in a folder of results; with ``--out`` a page, figures and tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from tlbench.cli.boards import BoardOption, open_board

if TYPE_CHECKING:
    from tlbench.analysis.figures import ReportData
    from tlbench.leaderboard.board import Board
    from tlbench.protocol.records import Record
    from tlbench.protocol.specs import SuiteSpec


class Output(StrEnum):
    """Formats of a report."""

    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


@dataclass(frozen=True, eq=False)
class _Source:
    """What a report is made of.

    Attributes:
        suite: The suite.
        origin: Where it lies, for messages.
        records: Runs, controls included.
        experts: Records of experts' training.
    """

    suite: SuiteSpec
    origin: str
    records: list[Record]
    experts: list[Record]


def command(
    runs: Annotated[Path, typer.Argument(help="Folder of results.")] = Path("runs"),
    suite: Annotated[str | None, typer.Option(help="Only this suite (its id, such as classic-v1, or name).")] = None,
    methods: Annotated[str | None, typer.Option(help="Only these methods, comma-separated.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Group by a setting as well: key of the method's, learner.key of its learner's.")
    ] = None,
    format_: Annotated[Output, typer.Option("--format", help="Format of the tables.")] = Output.terminal,
    out: Annotated[Path | None, typer.Option(help="Folder for a page with figures, and tables as files.")] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Show what is on the leaderboard, too; with --suite, on its own.")
    ] = False,
    board: BoardOption = None,
) -> None:
    """Show the tables of all results in a folder, with 95 % intervals; --out writes a page with figures as well."""
    others = open_board(board) if published or board is not None else None
    stores = _stores(runs, suite, others)
    for store in stores:
        folder = out if out is None or len(stores) == 1 else out / store.suite.id
        _report(_with_published(store, others, methods), methods, by, format_, folder)


def _stores(runs: Path, suite: str | None, board: Board | None) -> list[_Source]:
    """What is in a folder, of one suite or of all; nothing but the suite where a leaderboard has the rest."""
    from tlbench.execution.store import find_stores
    from tlbench.protocol.discovery import find_suite
    from tlbench.protocol.errors import TlbenchError

    try:
        stores = find_stores(runs)
    except TlbenchError:
        if board is None or suite is None or (runs.exists() and any(runs.iterdir())):
            raise
        stores = []
    found = [store for store in stores if suite in (None, store.suite.id)]
    found = found or [store for store in stores if suite == store.suite.name]
    if found:
        return [
            _Source(store.suite, str(store.folder), list(store.records()), list(store.expert_records()))
            for store in found
        ]
    if board is None or suite is None:
        raise TlbenchError(f"{runs} holds no results of {suite}")
    return [_Source(find_suite(suite), str(runs), [], [])]


def _with_published(source: _Source, board: Board | None, methods: str | None) -> _Source:
    """A folder's records, and beside them a leaderboard's."""
    from tlbench.cli.published import methods_of, published
    from tlbench.protocol.errors import TlbenchError

    if board is None:
        return source
    own = {r.method.id for r in source.records if r.method is not None}
    wanted = _wanted(source, own | methods_of(board, source.suite), methods)
    found = published(board, source.suite, source.records, wanted)
    for note in found.notes:
        typer.echo(note, err=True)
    if not source.records and not found.runs:
        raise TlbenchError(f"the leaderboard has no submission on {source.suite.id} that could be shown")
    records, experts = [*source.records, *found.runs], [*source.experts, *found.experts]
    return replace(source, origin=f"{source.origin} with the leaderboard", records=records, experts=experts)


def _report(source: _Source, methods: str | None, by: str | None, output: Output, folder: Path | None) -> None:
    from tlbench.analysis.figures import collect
    from tlbench.cli.report import print_groups, print_summary

    known = {r.method.id for r in source.records if r.method is not None}
    wanted = _wanted(source, known, methods)
    data = collect(source.suite, source.records, wanted, by=by, experts=source.experts)
    if folder is not None:
        _write(folder, source, data)
    if output is Output.terminal:
        print_summary(source.suite, data.summary, data.notes)
        print_groups(source.suite, data)
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


def _wanted(source: _Source, known: Collection[str], methods: str | None) -> list[str] | None:
    """Ids of the methods asked for, in that order; None for all."""
    from tlbench.protocol.discovery import aliases
    from tlbench.protocol.errors import TlbenchError

    if not methods:
        return None
    wanted = list(dict.fromkeys(aliases().get(name.strip(), name.strip()) for name in methods.split(",")))
    for name in wanted:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise TlbenchError(f"{source.origin} holds no runs of {name!r}; it holds: {listed}")
    return wanted


def _write(folder: Path, source: _Source, data: ReportData) -> None:
    from tlbench import __version__
    from tlbench.analysis.page import write_report

    written = write_report(folder, source.suite, data, source.records, __version__)
    typer.echo(f"wrote {written[-1]} and {len(written) - 1} files with figures and tables", err=True)
