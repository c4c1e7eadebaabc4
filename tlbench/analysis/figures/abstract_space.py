"""The abstract space of a maze: states as crosses, transitions as lines, for a base model and transfers of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from tlbench.analysis.curves import FloatArray
from tlbench.analysis.embeddings import Embedding
from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.figures.drawing import Drawing, Panel, Place
from tlbench.analysis.figures.style import COLUMN, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDES = ("#0072b2", "#d55e00")
"""Colours of the maze's left and right half."""

MARGIN = 1.1
"""Space around the embeddings, or around [-1, 1] where all of them lie inside."""

GROUPS = 6
"""At most this many pairs of a method and a transfer task are drawn, three panels each."""


def abstract_spaces(data: ReportData) -> Drawing | None:
    """A base model, the transfer of it that is aligned best, and the one that is aligned worst, per method.

    The base model is the one whose transfers differ most in their scores.
    """
    panels: list[Panel] = []
    for (method, task), group in _groups(data):
        chosen = _most_divided(group)
        best, worst = max(chosen, key=_score), min(chosen, key=_score)
        note = f"{method}, {task}"
        shown = {
            f"base model {best.base_model}": (best.base, best.base_predicted),
            _title(best): (best.transfer, best.transfer_predicted),
            _title(worst): (worst.transfer, worst.transfer_predicted),
        }
        drawn = [ends for both in shown.values() for ends in both if ends is not None]
        limit = MARGIN * max(1.0, *(float(np.abs(ends).max()) for ends in drawn))
        for title, (points, after) in shown.items():
            alt = f"{note}, {title}: the {len(points)} states of the maze in the abstract space."
            drawer = _drawer(best.positions, points, after, limit)
            panels.append(Panel(title, alt, drawer, height=2.2, width=COLUMN, note=f"{method},\n{task}"))
    if not panels:
        return None
    return Drawing(
        "abstract_spaces",
        "The abstract space",
        "Where states are embedded: each cross is a state, each line goes to where the model expects an action to lead "
        "(in records that don't hold that, to a neighbouring state); blue and orange are the left and right half of "
        "the maze. Per method the base model whose transfers differ most, the transfer of it that is aligned best, and "
        "the one that is aligned worst.",
        panels,
        columns=3,
    )


def _groups(data: ReportData) -> list[tuple[tuple[str, str], list[Embedding]]]:
    groups = groupby(data.embeddings, key=lambda e: (e.method, e.task))
    return [(key, list(found)) for key, found in groups if key[0] in data.methods][:GROUPS]


def _score(run: Embedding) -> float:
    return run.score


def _most_divided(runs: Sequence[Embedding]) -> list[Embedding]:
    by_base = [list(group) for _, group in groupby(runs, key=lambda e: e.base_model)]
    return max(by_base, key=lambda group: float(np.ptp([run.score for run in group])))


def _title(run: Embedding) -> str:
    others = {"mirrored": run.mirrored, "sides swapped": run.swapped, "not aligned": True}
    state = "aligned" if run.aligned else next(name for name, holds in others.items() if holds)
    return f"seed {run.seed}: {run.score:.2f}, {state}"


def _lines(positions: FloatArray, points: FloatArray, after: FloatArray | None) -> FloatArray:
    """Ends of lines, ``[lines, 2, 2]``: from each state to each prediction, or between neighbouring states."""
    if after is not None:
        starts = np.broadcast_to(points[:, None], after.shape)
        ends: FloatArray = np.stack((starts, after), axis=2).reshape(-1, 2, 2)
        return ends
    apart = np.abs(positions[:, None] - positions[None]).sum(axis=2)
    between: FloatArray = points[np.argwhere(np.triu(apart == 1))]
    return between


def _drawer(
    positions: FloatArray, points: FloatArray, after: FloatArray | None, limit: float
) -> Callable[[Axes, Place], None]:
    def draw(axes: Axes, place: Place) -> None:
        for line in _lines(positions, points, after):
            axes.plot(*line.T, color=MUTED, linewidth=0.6, zorder=1)
        columns = positions[:, 1]
        right = columns > (columns.min() + columns.max()) / 2
        for side, colour in zip((~right, right), SIDES, strict=True):
            x, y = points[side].T
            axes.scatter(x, y, marker="x", s=14, linewidths=0.9, color=colour, zorder=2)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
        if place.bottom:
            axes.set_xlabel("first neuron")
        if place.left:
            axes.set_ylabel("second neuron")

    return draw
