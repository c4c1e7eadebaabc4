"""Learning across lifetimes and within one, side by side, where a task records both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlbench.analysis.curves import FloatArray
from tlbench.analysis.figures.curves import MARGINS, learning_panel
from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.figures.drawing import Drawing, Panel, Place
from tlbench.analysis.figures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = tuple[Look, FloatArray]


def within_lifetime(data: ReportData, looks: dict[str, Look]) -> Drawing | None:
    """Two panels per transfer task whose runs say what they were paid over the course of an episode."""
    panels: list[Panel] = []
    drawn: set[str] = set()
    for task in data.tasks:
        lines = [(m, data.lifetimes[m, task]) for m in data.methods if (m, task) in data.lifetimes]
        if lines:
            panels += [learning_panel(data, looks, task), _panel(task, lines, looks)]
            drawn |= {arm for arm, _ in data.learning(task)} | {method for method, _ in lines}
    if not panels:
        return None
    return Drawing(
        "within_lifetime",
        "Across lifetimes and within one",
        "Left: normalised return over the target budget, as above. Right: reward per step over the course of a "
        "lifetime, with the policy at the end of the budget; it rises where the policy learns while it acts. Thin "
        "lines: runs; thick lines: their mean.",
        panels,
        [look for method, look in looks.items() if method in drawn],
        columns=2,
    )


def _panel(task: str, lines: Sequence[tuple[str, FloatArray]], looks: dict[str, Look]) -> Panel:
    ends = "; ".join(f"{m} {rows.mean(axis=0)[0]:.3g} to {rows.mean(axis=0)[-1]:.3g}" for m, rows in lines)
    alt = f"Reward per step within a lifetime on {task}. From the first part to the last: {ends}."
    return Panel(task, alt, _drawer([(looks[m], rows) for m, rows in lines]), 1.75, 2.9, "within a lifetime", MARGINS)


def _drawer(lines: Sequence[Line]) -> Callable[[Axes, Place], None]:
    def draw(axes: Axes, place: Place) -> None:
        for look, rows in lines:
            share = 100 * (np.arange(rows.shape[1]) + 0.5) / rows.shape[1]
            for row in rows:
                axes.plot(share, row, color=look.colour, gid=look.group, linewidth=0.5, alpha=0.4)
            axes.plot(share, rows.mean(axis=0), **look.line)
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        if place.bottom:
            axes.set_xlabel("share of a lifetime (%)")
        if place.left:
            axes.set_ylabel("reward per step")

    return draw
