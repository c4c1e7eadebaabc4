"""Figures of estimates with intervals: score and transfer gain per method, probability of improvement."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tlbench.analysis.bootstrap import Interval
from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.figures.drawing import Drawing, Panel, Place
from tlbench.analysis.figures.style import FULL, INK, MUTED, Look
from tlbench.analysis.tables import format_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.25
"""Height of a row, inches."""

MOST_PAIRS = 10
"""Pairs of methods that are drawn as intervals; more become a matrix."""


@dataclass(frozen=True)
class Row:
    """An estimate to be drawn.

    Attributes:
        label: Text on the left.
        value: The estimate.
        look: How it is drawn.
        reference: A second estimate that is drawn below in grey: the control's.
    """

    label: str
    value: Interval
    look: Look
    reference: tuple[Interval, Look] | None = None


def _mark(axes: Axes, value: Interval, y: float, look: Look, small: bool = False) -> None:
    if value.low is not None and value.high is not None:
        ends = np.clip([value.low, value.high], -1e6, 1e6)
        width = 1.2 if small else 2.2
        axes.plot(ends, [y, y], color=look.colour, linewidth=width, solid_capstyle="round", gid=look.group, zorder=3)
    face: dict[str, Any] = {"markerfacecolor": "none", "marker": "o"} if small else {}
    axes.plot([value.estimate], [y], **{**look.point, "zorder": 4, **face}, markersize=3.6 if small else 5)


def _lines(label: str) -> list[str]:
    """A row's label in lines: a pair breaks before its second method."""
    if len(label) <= 24 or " > " not in label:
        return textwrap.wrap(label, 28)
    first, _, second = label.partition(" > ")
    return [first, f"> {second}"]


def _rows_panel(
    rows: Sequence[Row], label: str, alt: str, zero: float | None = None, digits: int = 1, signed: bool = False
) -> Panel:
    """One row per estimate, its numbers on the right."""

    def draw(axes: Axes, place: Place) -> None:
        if zero is not None:
            axes.axvline(zero, color=MUTED, linewidth=0.8, zorder=1.5)
        for y, row in enumerate(rows):
            shift = 0.0 if row.reference is None else 0.12
            _mark(axes, row.value, y - shift, row.look)
            if row.reference is not None:
                _mark(axes, row.reference[0], y + 0.22, row.reference[1], small=True)
        labels = ["\n".join(_lines(row.label)) for row in rows]
        axes.set_yticks(range(len(rows)), labels if place.left else [""] * len(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(label)
        axes.margins(x=0.06)
        for y, row in enumerate(rows):
            text = format_interval(row.value, digits, signed).replace("-", "\N{MINUS SIGN}").replace(" [", "\n[")
            axes.annotate(
                text,
                (1, y),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
                linespacing=1.15,
                color=INK,
            )

    height = 0.5 + sum(ROW * (1.15 if row.reference else 1) * max(1, len(_lines(row.label))) for row in rows)
    return Panel("", alt, draw, max(0.95, height))


def suite_intervals(data: ReportData, looks: dict[str, Look]) -> Drawing | None:
    """Score and transfer gain per method; None where no scored task was run."""
    scores: list[Row] = []
    gains: list[Row] = []
    for method in data.methods:
        suite = data.suite_result(method)
        if suite.score is None:
            continue
        name = f"{method} *" if suite.missing else method
        control = looks[data.controls[method]]
        reference = None if data.is_reference(method) or suite.control_score is None else (suite.control_score, control)
        scores.append(Row(name, suite.score, looks[method], reference))
        if suite.gain is not None and not data.is_reference(method):
            gains.append(Row(name, suite.gain.transfer_gain, looks[method]))
    if not scores:
        return None
    words = "; ".join(f"{row.label} {format_interval(row.value)}" for row in scores)
    panels = [_rows_panel(scores, "score", f"Score per method. {words}.")]
    if gains:
        words = "; ".join(f"{row.label} {format_interval(row.value, signed=True)}" for row in gains)
        panels.append(_rows_panel(gains, "transfer gain (points)", f"Transfer gain. {words}.", zero=0, signed=True))
    same = len(panels) == 2 and len(scores) == len(gains)
    missing = " *: scored tasks are missing." if any(row.label.endswith(" *") for row in scores) else ""
    return Drawing(
        "score_and_gain",
        "Score and transfer gain",
        "Score (0: random, 100: reference expert) and transfer gain over the control, with 95 % intervals; the "
        f"control's own score is hollow.{missing}",
        [_unlabelled(panel, same) for panel in panels],
        columns=2,
    )


def _unlabelled(panel: Panel, same: bool) -> Panel:
    """The panel with its row labels wherever it stands, unless the rows of its neighbour are the same."""
    if same:
        return panel

    def draw(axes: Axes, place: Place) -> None:
        panel.draw(axes, Place(True, place.bottom))

    return Panel(panel.title, panel.alt, draw, panel.height, panel.width, panel.note)


def improvement(data: ReportData, looks: dict[str, Look]) -> list[Drawing]:
    """Probability of improvement over the control and between methods; a matrix of its own for many methods."""
    over: list[Row] = []
    for method in data.methods:
        gain = data.suite_result(method).gain
        if gain is not None and not data.is_reference(method):
            over.append(Row(f"{method} > control", gain.probability_of_improvement, looks[method]))
    pairs = [Row(f"{c.x} > {c.y}", c.probability_of_improvement, looks[c.x]) for c in data.comparisons]
    many = len(pairs) > MOST_PAIRS
    panels = []
    for rows, what in ((over, "Over the control"), ([] if many else pairs, "Between methods")):
        if rows:
            words = "; ".join(f"{row.label} {format_interval(row.value, 2)}" for row in rows)
            panel = _rows_panel(rows, "probability of improvement", f"{what}. {words}.", 0.5, 2)
            panels.append(_probability_axis(panel))
    what = "Probability that a random run of the first has a higher AUC than a random run of the second (unpaired), "
    tasks = "mean over tasks: those of the transfer gain against the control, all common scored tasks between methods."
    title = "Probability of improvement"
    found = [Drawing("probability_of_improvement", title, f"{what}{tasks} 95 % intervals.", panels)] if panels else []
    if many:
        caption = (
            f"{what.replace('the first', 'the row').replace('the second', 'the column')}mean over the scored tasks "
        )
        caption += "that both ran. Bold: the 95 % interval excludes 0.5."
        found.append(Drawing("improvement_matrix", f"{title} between methods", caption, [_matrix(data)]))
    return found


def _probability_axis(panel: Panel) -> Panel:
    def draw(axes: Axes, place: Place) -> None:
        panel.draw(axes, place)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])

    return Panel(panel.title, panel.alt, draw, panel.height, panel.width, panel.note)


def _matrix(data: ReportData) -> Panel:
    """Probabilities of improvement of many methods: rows against columns."""
    from tlbench.analysis.figures.heat import draw_cells

    names = data.methods
    values: dict[tuple[str, str], tuple[float, bool]] = {}
    for c in data.comparisons:
        value = c.probability_of_improvement
        sure = value.low is not None and value.high is not None and not value.low <= 0.5 <= value.high
        values[c.x, c.y] = value.estimate, sure
        values[c.y, c.x] = 1 - value.estimate, sure

    def draw(axes: Axes, place: Place) -> None:
        cells = [[values.get((x, y)) for y in names] for x in names]
        scaled = [[None if cell is None else 2 * cell[0] - 1 for cell in row] for row in cells]
        texts = [["" if cell is None else f"{cell[0]:.2f}" for cell in row] for row in cells]
        bold = [[cell is not None and cell[1] for cell in row] for row in cells]
        draw_cells(axes, scaled, texts, names, names, bold)

    best = "; ".join(f"{c.x} > {c.y} {c.probability_of_improvement.estimate:.2f}" for c in data.comparisons)
    return Panel("", f"Between methods. {best}.", draw, 0.9 + 0.3 * len(names), min(FULL, 2.2 + 0.5 * len(names)))
