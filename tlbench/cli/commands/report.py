"""``tlbench report [RUNS]``: tables of what is in a folder of results; with ``--out`` a page, figures and tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from tlbench.cli.boards import DEFAULT_BOARD, open_board
from tlbench.protocol.errors import TlbenchError

if TYPE_CHECKING:
    from tlbench.analysis.figures import ReportData
    from tlbench.execution.store import Store
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
        controls: Controls that are not to be shown themselves.
        notes: What else a reader should know, one line each.
    """

    suite: SuiteSpec
    origin: str
    records: list[Record]
    experts: list[Record]
    controls: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def command(
    runs: Annotated[Path, typer.Argument(help="Folder of results.")] = Path("runs"),
    suite: Annotated[
        str | None, typer.Option(help="Only this suite: its id, such as classic-v1, name or file.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Only these methods, comma-separated.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Group by a setting as well: key of the method's, learner.key of its learner's.")
    ] = None,
    format_: Annotated[Output, typer.Option("--format", help="Format of the tables.")] = Output.terminal,
    out: Annotated[Path | None, typer.Option(help="Folder for a page with figures, and tables as files.")] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Show what is on the leaderboard, too; with --suite, on its own.")
    ] = False,
    board: Annotated[
        Path | None, typer.Option(help=f"The same, with the leaderboard in this folder (--published: {DEFAULT_BOARD}).")
    ] = None,
) -> None:
    """Show the tables of all results in a folder, with 95 % intervals; --out writes a page with figures as well."""
    from tlbench.execution.store import Store

    others = _board(board) if published or board is not None else None
    stores = _stores(runs, suite, others)
    several = len(stores) > 1
    if several and format_ in (Output.csv, Output.json):
        listed = ", ".join(sorted(store.suite.id for store in stores))
        raise TlbenchError(f"{format_} is of one suite, and {runs} holds several: name it with --suite ({listed})")
    problems: list[TlbenchError] = []
    for store in stores:
        folder = out / store.suite.id if out is not None and several else out
        source = _Source(store.suite, str(runs), [], [])
        if isinstance(store, Store):
            experts = [] if out is None else list(store.expert_records())  # for figures alone
            source = _Source(store.suite, str(store.folder), list(store.records()), experts)
        try:
            source = _with_published(source, others, methods)
            data = _collected(source, methods, by)
        except TlbenchError as error:  # one suite that can't be shown yet keeps no other from being shown
            problems.append(error)
            continue
        if folder is not None:
            _write(folder, source, data)
        _show(source.suite, data, format_, named=several)
    if len(problems) == len(stores):
        raise problems[0]
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)


def _board(folder: Path | None) -> Board:
    if folder is not None and not folder.exists():
        raise TlbenchError(f"there is no leaderboard in {folder}; --published shows the one that comes with tlbench")
    return open_board(folder)


@dataclass(frozen=True)
class _NoStore:
    """A suite of which there are no results of one's own."""

    suite: SuiteSpec


def _stores(runs: Path, suite: str | None, board: Board | None) -> Sequence[Store | _NoStore]:
    """What is in a folder, of one suite or of all; nothing but the suite where a leaderboard has the rest."""
    from tlbench.execution.store import find_stores, store_folders
    from tlbench.protocol.discovery import find_suite

    if board is not None and not store_folders(runs):
        if suite is None:
            raise TlbenchError(f"{runs} holds no results: name its folder, or a suite with --suite")
        return [_NoStore(find_suite(suite))]
    stores = find_stores(runs)
    if suite is None:
        return stores
    if suite.endswith(".toml"):
        spec = find_suite(suite)
        found = [store for store in stores if store.suite.digest == spec.digest]
    else:
        named = [store for store in stores if store.suite.name == suite and store.suite.submittable]
        newest = sorted(named, key=lambda store: store.suite.version)[-1:]
        found = [store for store in stores if store.suite.id == suite] or newest
    if found:
        return found
    if board is None:
        listed = ", ".join(sorted(store.suite.id for store in stores))
        raise TlbenchError(f"{runs} holds no results of {suite}; it holds: {listed}")
    return [_NoStore(find_suite(suite))]


def _with_published(source: _Source, board: Board | None, methods: str | None) -> _Source:
    """A folder's records, and beside them a leaderboard's."""
    from tlbench.cli.published import methods_of, published

    if board is None:
        return source
    own = {r.method.id for r in source.records if r.method is not None}
    wanted = _wanted(source, own | methods_of(board, source.suite), methods)
    found = published(board, source.suite, source.records, source.experts, wanted)
    if not source.records and not found.runs:
        raise TlbenchError(f"the leaderboard has no submission on {source.suite.id} that could be shown")
    return _Source(
        source.suite,
        f"{source.origin} with the leaderboard",
        [*source.records, *found.runs],
        [*source.experts, *found.experts],
        found.controls,
        found.notes,
    )


def _collected(source: _Source, methods: str | None, by: str | None) -> ReportData:
    from tlbench.analysis.figures import collect

    known = {r.method.id for r in source.records if r.method is not None}
    wanted = _wanted(source, known, methods)
    data = collect(source.suite, source.records, wanted, by=by, experts=source.experts, controls=source.controls)
    return replace(data, notes=(*data.notes, *source.notes))


def _show(suite: SuiteSpec, data: ReportData, output: Output, *, named: bool) -> None:
    """Print the tables, under the suite's name where it isn't the only one; notes go to where errors do."""
    from tlbench.cli.report import print_groups, print_summary

    if output is Output.terminal:
        print_summary(suite, data.summary, data.notes)
        print_groups(suite, data)
        return
    if named:
        typer.echo(f"## {suite.id}\n" if output is Output.markdown else f"% {suite.id}")
    typer.echo("\n".join(_texts(data, output)), nl=False)
    for note in data.notes:
        typer.echo(f"note: {note}", err=True)


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
