"""Results as pandas DataFrames and as text: Markdown, LaTeX, CSV and JSON.

Frames and CSV hold every quantity as plain numbers, an interval as three columns (``x``, ``x_low``, ``x_high``).
Markdown and LaTeX hold the columns that fit a page, an interval as ``61.2 [58.0, 64.1]``. JSON holds everything, null
for what is not defined or not finite. Units are those of `tlbench.analysis.results`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tlbench.analysis.bootstrap import Interval
from tlbench.analysis.results import NOTE_TOO_FEW_SEEDS, GainSummary, SuiteResult, Summary, TaskResult
from tlbench.analysis.statistics import Aggregates

if TYPE_CHECKING:
    import pandas as pd

Table = Literal["suite", "tasks"]
Format = Literal["markdown", "latex", "csv", "json"]

Cells = list[list[str]]

NONE = "\u2013"
"""Shown for what is not defined: an en dash."""

_TASK_HEADER = (
    "method",
    "transfer task",
    "relation",
    "score",
    "control score",
    "transfer gain",
    "jumpstart",
    "asymptotic gain",
    "transfer ratio",
    "forward transfer",
    "time to threshold",
    "speed-up",
    "share reached",
    "P(worse than control)",
    "negative transfer",
    "ahead until",
    "seeds",
)
_SUITE_HEADER = (
    "method",
    "rank",
    "score",
    "control score",
    "transfer gain",
    "self gain",
    "negative transfer",
    "depth",
    "jumpstart",
    "asymptotic gain",
    "speed-up",
    "P(improvement over control)",
    "pooled IQM",
    "optimality gap",
    "seeds",
    "tasks",
)


def format_interval(value: Interval | None, digits: int = 1, signed: bool = False) -> str:
    """Text of an interval, such as ``61.2 [58.0, 64.1]``.

    Args:
        value: The interval; None gives a dash.
        digits: Digits after the point.
        signed: Whether a positive estimate gets a plus sign.
    """
    if value is None:
        return NONE
    text = _number(value.estimate, digits, signed)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{_number(value.low, digits)}, {_number(value.high, digits)}]"


def format_rank(value: Interval | None) -> str:
    """Text of a rank, such as ``2 [1, 3]``; a rank that is shared and not whole has its half, ``1.5 [1, 2]``."""
    if value is None:
        return NONE
    place, *ends = (f"{round(2 * x) / 2:g}" for x in (value.estimate, value.low, value.high) if x is not None)
    return f"{place} [{', '.join(ends)}]" if ends else place


def _number(value: float, digits: int, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    rounded = round(value, digits) + 0.0  # no minus zero
    return f"{rounded:+.{digits}f}" if signed and rounded > 0 else f"{rounded:.{digits}f}"


def _verdict(row: TaskResult) -> str:
    if row.negative_transfer is not None:
        return "yes" if row.negative_transfer else "no"
    return NOTE_TOO_FEW_SEEDS if NOTE_TOO_FEW_SEEDS in row.notes else NONE


def _task_cells(row: TaskResult) -> list[str]:
    return [
        row.method,
        row.task,
        row.relation if row.scored else f"{row.relation} (unscored)",
        format_interval(row.score),
        format_interval(row.control_score),
        format_interval(row.transfer_gain, signed=True),
        format_interval(row.jumpstart, 2, signed=True),
        format_interval(row.asymptotic_gain, 2, signed=True),
        format_interval(row.transfer_ratio, 2),
        format_interval(row.forward_transfer, 2, signed=True),
        format_interval(row.time_to_threshold, 2),
        format_interval(row.speed_up, 2),
        format_interval(row.share_reached, 2),
        format_interval(row.negative_share, 2),
        _verdict(row),
        NONE if row.crossover is None else f"{100 * row.crossover:.0f} %",
        str(row.seeds) if row.experts is None else f"{row.seeds} x {row.experts} experts",
    ]


def _suite_cells(row: SuiteResult) -> list[str]:
    gain = {} if row.gain is None else vars(row.gain)
    pooled = {} if row.pooled is None else vars(row.pooled)
    return [
        row.method,
        format_rank(row.rank),
        format_interval(row.score),
        format_interval(row.control_score),
        format_interval(gain.get("transfer_gain"), signed=True),
        format_interval(row.self_gain, signed=True),
        NONE if row.gain is None else row.gain.negative_transfer,
        format_interval(gain.get("depth")),
        format_interval(gain.get("jumpstart"), 2, signed=True),
        format_interval(gain.get("asymptotic_gain"), 2, signed=True),
        format_interval(gain.get("speed_up"), 2),
        format_interval(gain.get("probability_of_improvement"), 2),
        format_interval(pooled.get("iqm"), 2),
        format_interval(pooled.get("optimality_gap"), 2),
        str(row.seeds),
        f"{len(row.tasks)} of {len(row.tasks) + len(row.missing)}" if row.missing else str(len(row.tasks)),
    ]


def cells(summary: Summary, table: Table) -> tuple[list[str], Cells]:
    """Header and rows of a table as text, for any renderer.

    Args:
        summary: Results.
        table: ``"suite"`` (one row per method) or ``"tasks"`` (one row per method and transfer task).
    """
    if table == "suite":
        return list(_SUITE_HEADER), [_suite_cells(row) for row in summary.suites]
    return list(_TASK_HEADER), [_task_cells(row) for row in summary.tasks]


_NESTED: dict[str, type] = {"GainSummary": GainSummary, "Aggregates": Aggregates}


def _flatten(kind: type, value: object, prefix: str, out: dict[str, Any]) -> None:
    """Adds a result's fields as scalars: three per interval, those of nested results with a prefix, None where absent.

    The keys depend on `kind` alone. Profiles are left out: a curve is not a number.
    """
    for field in dataclasses.fields(kind):
        name, item = prefix + field.name, getattr(value, field.name, None)
        declared = str(field.type).removesuffix(" | None")
        if declared == "Interval":
            for suffix, part in (("", "estimate"), ("_low", "low"), ("_high", "high")):
                out[name + suffix] = getattr(item, part, None)
        elif declared in _NESTED:
            _flatten(_NESTED[declared], item, f"{name}_", out)
        elif isinstance(item, tuple):
            out[name] = "; ".join(item)
        elif declared != "Profile":
            out[name] = item


def _records(kind: type, rows: Sequence[object]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for row in rows:
        records.append({})
        _flatten(kind, row, "", records[-1])
    return records


def _columns(kind: type) -> list[str]:
    names: dict[str, Any] = {}
    _flatten(kind, None, "", names)
    return list(names)


def task_frame(summary: Summary) -> pd.DataFrame:
    """One row per method and transfer task, every quantity of `TaskResult`."""
    import pandas as pd

    return pd.DataFrame(_records(TaskResult, summary.tasks), columns=_columns(TaskResult))


def suite_frame(summary: Summary) -> pd.DataFrame:
    """One row per method, every quantity of `SuiteResult` but its profile."""
    import pandas as pd

    return pd.DataFrame(_records(SuiteResult, summary.suites), columns=_columns(SuiteResult))


def to_json(value: object) -> Any:
    """A result as JSON values: dataclasses become objects, arrays lists; NaN and infinities become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(rows: Sequence[object]) -> str:
    """Results as a JSON list of objects."""
    return json.dumps(to_json(rows), indent=2, allow_nan=False) + "\n"


def render(summary: Summary, output: Format, table: Table = "tasks") -> str:
    """A table as text, ending in a newline.

    Args:
        summary: Results.
        output: ``"markdown"``, ``"latex"`` (booktabs), ``"csv"`` or ``"json"`` (a list of objects).
        table: ``"suite"`` or ``"tasks"``.

    Raises:
        ValueError: If the format or the table is unknown.
    """
    if table not in ("suite", "tasks"):
        raise ValueError(f"unknown table {table!r}: suite or tasks")
    rows = summary.suites if table == "suite" else summary.tasks
    if output == "markdown":
        return markdown(*cells(summary, table))
    if output == "latex":
        return latex(*cells(summary, table))
    if output == "csv":
        return flat_csv(SuiteResult if table == "suite" else TaskResult, rows)
    if output == "json":
        return json_text(rows)
    raise ValueError(f"unknown format {output!r}: markdown, latex, csv or json")


def markdown(header: list[str], rows: Cells) -> str:
    """A Markdown table of cells, escaped."""

    def line(row: Sequence[str]) -> str:
        escaped = (" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in row)
        return "| " + " | ".join(escaped) + " |"

    return "\n".join([line(header), "|" + " --- |" * len(header), *map(line, rows)]) + "\n"


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    NONE: "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def latex(header: list[str], rows: Cells) -> str:
    """A LaTeX table (booktabs) of cells, escaped."""

    def line(row: Sequence[str]) -> str:
        escaped = ("".join(_LATEX.get(c, c) for c in " ".join(cell.split())) for cell in row)
        # A minus sign is not a hyphen, and a row must not start with a bracket (it would be an option of \\).
        signed = (re.sub(r"(^|[\s\[])-(?=\d|inf)", r"\1$-$", cell).replace("[", "{[}", 1) for cell in escaped)
        return " & ".join(signed) + r" \\"

    body = [line(row) for row in rows]
    columns = "l" * len(header)
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(header), r"\midrule"]
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def flat_csv(kind: type, rows: Sequence[object]) -> str:
    """Results as CSV, an interval as three columns.

    Args:
        kind: The results' class, a dataclass.
        rows: The results.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=_columns(kind), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records(kind, rows))
    return out.getvalue()
