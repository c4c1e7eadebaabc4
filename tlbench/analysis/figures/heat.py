"""Matrices of numbers on colours: transfer gain of each method on each transfer task."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tlbench.analysis.figures.curves import task_note
from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.figures.drawing import Drawing, Panel, Place
from tlbench.analysis.figures.style import COLUMN, FULL, GRID, HEAT, HEAT_STRONG, INK, MUTED, STRONG
from tlbench.analysis.results import TaskResult
from tlbench.analysis.tables import format_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINUS = "\N{MINUS SIGN}"
WITH_INTERVALS = 3
"""Methods up to which cells have room for an interval."""


def level(value: float) -> int:
    """Index in the heat map's colours of a value in [-1, 1]; values beyond are at the ends."""
    middle = len(HEAT) // 2
    return middle + round(max(-1.0, min(1.0, value)) * middle)


def draw_cells(
    axes: Axes,
    values: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    bold: Sequence[Sequence[bool]],
    gaps: Sequence[float] = (),
) -> None:
    """Draws a matrix.

    Args:
        axes: Where.
        values: In [-1, 1], worse to better; None is an empty cell.
        texts: What stands in the cells.
        rows: Labels of the rows.
        columns: Labels of the columns.
        bold: Whether a cell's text is bold.
        gaps: Space above each row, in rows.
    """
    from matplotlib.patches import Rectangle

    tops: list[float] = []
    y = 0.0
    for i in range(len(rows)):
        y += gaps[i] if gaps else 0.0
        tops.append(y)
        y += 1
    for i, top in enumerate(tops):
        for j, value in enumerate(values[i]):
            empty = value is None
            colour = "none" if value is None else HEAT[level(value)]
            strong = value is not None and level(value) in HEAT_STRONG
            cell = Rectangle(
                (j + 0.02, top + 0.04), 0.96, 0.92, facecolor=colour, edgecolor=GRID if empty else "none", linewidth=0.6
            )
            axes.add_patch(cell)
            axes.text(
                j + 0.5,
                top + 0.5,
                texts[i][j],
                ha="center",
                va="center",
                fontsize=6.5 if len(columns) > WITH_INTERVALS else 7,
                fontweight="bold" if bold[i][j] else "normal",
                color=MUTED if empty else STRONG if strong else INK,
            )
    axes.set_xlim(0, len(columns))
    axes.set_ylim(y, 0)
    axes.set_yticks([top + 0.5 for top in tops], list(rows))
    many = len(columns) > WITH_INTERVALS
    names = [name if many else "\n".join(textwrap.wrap(name, 16)) for name in columns]
    axes.set_xticks([j + 0.5 for j in range(len(columns))], names)
    axes.xaxis.tick_top()
    if many:
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def gain_map(data: ReportData) -> Drawing:
    """Transfer gain of each method on each transfer task, ``self`` and unscored tasks apart."""
    methods = [m for m in data.methods if not data.is_reference(m)] or list(data.methods)
    found = {(m, t): data.task_result(m, t) for m in methods for t in data.tasks}
    kinds = {r.task: (r.relation == "self" and r.scored, not r.scored) for r in data.summary.tasks}
    tasks = sorted(data.tasks, key=lambda task: (kinds[task][1], kinds[task][0]))
    groups = [kinds[task] for task in tasks]
    gaps = [0.25 if i and groups[i] != groups[i - 1] else 0.0 for i in range(len(tasks))]
    gains = [abs(r.transfer_gain.estimate) for r in found.values() if r is not None]
    scale = max(10.0, 5 * -(-max(gains, default=0.0) // 5))
    roomy = len(methods) <= WITH_INTERVALS

    def text(row: TaskResult | None) -> str:
        if row is None:
            return "not run"
        value = format_interval(row.transfer_gain, signed=True)
        shown = (value if roomy else value.partition(" [")[0]).replace("-", MINUS)
        return shown + (" \N{BLACK DOWN-POINTING TRIANGLE}" if row.negative_transfer else "")

    def sure(row: TaskResult | None) -> bool:
        if row is None or row.transfer_gain.low is None or row.transfer_gain.high is None:
            return False
        return row.transfer_gain.low > 0 or row.transfer_gain.high < 0

    def note(task: str) -> str:
        return next(task_note(c) for m in data.methods if (c := data.task_curves(m, task)) is not None)

    def draw(axes: Axes, place: Place) -> None:
        rows = [[found[m, t] for m in methods] for t in tasks]
        draw_cells(
            axes,
            [[None if row is None else row.transfer_gain.estimate / scale for row in line] for line in rows],
            [[text(row) for row in line] for line in rows],
            labels,
            methods,
            [[sure(row) for row in line] for line in rows],
            gaps,
        )

    labels = ["\n".join([*textwrap.wrap(task, 34), f"({note(task)})"]) for task in tasks]
    row = 0.06 + 0.125 * max(label.count("\n") + 1 for label in labels)
    height = (0.3 if roomy else 0.85) + row * (len(tasks) + sum(gaps))
    width = max(COLUMN, min(FULL, 2.0 + (1.35 if roomy else 0.6) * len(methods)))
    words = "; ".join(f"{m} on {t} {text(row)}" for (m, t), row in found.items() if row is not None)
    return Drawing(
        "gain_heat_map",
        "Transfer gain by task and method",
        f"Transfer gain in points (blue: better than the control, orange: worse; full colour at {scale:.0f}). Bold: "
        "the 95 % interval excludes 0. \N{BLACK DOWN-POINTING TRIANGLE}: negative transfer by the corrected test. "
        "Tasks below a gap (self, unscored) are outside the suite's transfer gain.",
        [Panel("", f"Transfer gain in points. {words}.", draw, height, width)],
    )
