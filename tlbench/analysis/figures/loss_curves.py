"""The losses of every run and of the base models over their updates: one panel per task and loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlbench.analysis.curves import FloatArray
from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.figures.drawing import Drawing, Panel, Place
from tlbench.analysis.figures.style import INK, Look
from tlbench.analysis.loss_courses import BASE_MODEL, LossCourse

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGINS = (0.52, 0.36, 0.12, 0.08)
"""Of a panel alone, inches: left, bottom, right, top."""

Line = tuple[Look, FloatArray, FloatArray, str]

ALIGNED, OTHERS = "-", ":"
"""Line styles: of runs that end aligned with their base model, or don't say, and of runs that don't."""


def loss_curves(data: ReportData, looks: dict[str, Look]) -> Drawing | None:
    """Every loss of every run, in its method's colour, and of the base models; None where no run left its losses."""
    base = Look(BASE_MODEL, INK, "-", "", "base-model", 5.0)
    panels: list[Panel] = []
    for source in dict.fromkeys(course.task for course in data.base_model_losses):
        courses = [c for c in data.base_model_losses if c.task == source]
        panels += _panels(source, courses, {BASE_MODEL: base})
    for task in data.tasks:
        panels += _panels(task, [c for c in data.losses if c.task == task and c.method in data.methods], looks)
    if not panels:
        return None
    drawn = {course.method for course in data.losses}
    return Drawing(
        "loss_curves",
        "Losses",
        "Each loss over the updates, of base models on their source and of runs on the target, a line per run: means "
        "over equal stretches of updates, without the loss's factor. Losses that are always 0 are left out. Dotted: "
        "transfers that don't end aligned with their base model.",
        panels,
        [look for method, look in looks.items() if method in drawn] + [base] * bool(data.base_model_losses),
        columns=3,
    )


def _panels(task: str, courses: Sequence[LossCourse], looks: Mapping[str, Look]) -> list[Panel]:
    names = dict.fromkeys(name for course in courses for name in course.losses)
    panels = (_panel(task, name, courses, looks) for name in names)
    return [panel for panel in panels if panel is not None]


def _panel(task: str, name: str, courses: Sequence[LossCourse], looks: Mapping[str, Look]) -> Panel | None:
    lines: list[Line] = []
    ends: dict[str, list[float]] = {}
    for course in courses:
        if name in course.losses:
            values, style = course.losses[name], OTHERS if course.aligned is False else ALIGNED
            lines.append((looks[course.method], course.updates, np.where(values > 0, values, np.nan), style))
            ends.setdefault(course.method, []).append(float(values[-1]))
    if not any(np.isfinite(values).any() for _, _, values, _ in lines):
        return None
    words = "; ".join(f"{method} {np.median(values):.2g}" for method, values in ends.items())
    alt = f"The loss {name} on {task}, per run. Median at the end: {words}."
    return Panel(name, alt, _drawer(lines), 1.75, 2.9, task, MARGINS)


def _drawer(lines: Sequence[Line]) -> Callable[[Axes, Place], None]:
    def draw(axes: Axes, place: Place) -> None:
        axes.set_yscale("log")
        for look, updates, values, drawn in lines:
            style = look.line | {"linestyle": drawn, "linewidth": 0.6}
            axes.plot(updates, values, alpha=0.6, **style)
        axes.set_xlim(left=0)
        if place.bottom:
            axes.set_xlabel("updates")
        if place.left:
            axes.set_ylabel("loss")

    return draw
