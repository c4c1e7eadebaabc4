"""Writes a report: page, figures and tables."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from tlbench.analysis.figures import NAMES, ReportData, draw, paper, save
from tlbench.analysis.group_tables import group_tables
from tlbench.analysis.page.build import build_page, comparison_cells
from tlbench.analysis.page.facts import method_facts
from tlbench.analysis.tables import Table, flat_csv, latex, render
from tlbench.protocol.errors import StorageError
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

PAGE = "index.html"
TABLES = ("suite", "tasks", "comparisons", "base_models", "predictions", "settings")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"can't write the report to {folder}: {error.strerror}; choose another --out") from None


def prepare_folder(folder: Path) -> None:
    """Make the folders of a report.

    Raises:
        TlbenchError: If they can't be made.
    """
    with _writing(folder):
        for part in ("figures", "tables"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        probe = folder / ".tlbench-probe"
        probe.touch()
        probe.unlink()


def write_report(
    folder: Path, suite: SuiteSpec, data: ReportData, records: Sequence[Record], version: str
) -> list[Path]:
    """Write ``index.html``, ``figures/*.png|pdf`` and ``tables/*.csv|tex``; an earlier report there is replaced.

    Args:
        folder: Where to.
        suite: The suite.
        data: The methods.
        records: Their runs.
        version: Version of tlbench.

    Returns:
        What was written.

    Raises:
        TlbenchError: If the folder can't be written.
    """
    prepare_folder(folder)
    drawings = draw(data)
    content: dict[str, bytes] = {}
    for name, text in tables(data).items():
        content[f"tables/{name}"] = text.encode()
    for drawing in drawings:
        figure = paper(drawing)
        for kind in ("png", "pdf"):
            content[f"figures/{drawing.name}.{kind}"] = save(figure, kind)
    facts = method_facts(records, data.methods)
    content[PAGE] = build_page(suite, data, drawings, facts, version).encode()
    ours = [f"figures/{name}.{kind}" for name in NAMES for kind in ("png", "pdf")]
    ours += [f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "tex")]
    with _writing(folder):
        for stale in set(ours) - set(content):
            (folder / stale).unlink(missing_ok=True)
        for name, data_ in content.items():
            (folder / name).write_bytes(data_)
    return [folder / name for name in content]


def tables(data: ReportData) -> dict[str, str]:
    """The tables by file name: suite and tasks; the others where there is something to tell."""
    found: dict[str, str] = {}
    names: tuple[Table, ...] = ("suite", "tasks")
    for table in names:
        found[f"{table}.csv"] = render(data.summary, "csv", table)
        found[f"{table}.tex"] = render(data.summary, "latex", table)
    if data.comparisons:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        columns = [f"probability_of_improvement{end}" for end in ("", "_low", "_high")]
        writer.writerow(["x", "y", "tasks", *columns])
        for row in data.comparisons:
            value = row.probability_of_improvement
            writer.writerow([row.x, row.y, row.tasks, value.estimate, value.low, value.high])
        found["comparisons.csv"] = out.getvalue()
        found["comparisons.tex"] = latex(*comparison_cells(data))
    for group in group_tables(data):
        found[f"{group.name}.csv"] = flat_csv(group.kind, group.results)
        found[f"{group.name}.tex"] = latex(group.header, group.rows)
    return found
