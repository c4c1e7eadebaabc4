"""Figures over the budget or over levels: learning, returns, sample efficiency, survival and performance profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlbench.analysis.bands import Band
from tlbench.analysis.curves import FloatArray, TaskCurves, normalise
from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.figures.drawing import Drawing, Panel, Place
from tlbench.analysis.figures.style import MUTED, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND_ALPHA = 0.16
MARKERS_PER_LINE = 6
GRID_COLUMNS = 3
MARGINS = (0.48, 0.36, 0.12, 0.08)
"""Of a panel alone, inches: left, bottom, right, top; laying it out would give the same and take longer."""

RETURN_MARGINS = (0.62, 0.36, 0.16, 0.08)
"""Of a panel with returns, whose numbers are longer."""
UNITS = {"env_steps": "steps on the target", "samples": "samples of the target", "episodes": "lifetimes on the target"}

Arms = Sequence[tuple[str, Band]]


def _line(axes: Axes, look: Look, band: Band, position: int, step: bool = False) -> None:
    """A curve with its band; markers are staggered so that equal curves stay distinguishable."""
    if not np.isnan(band.low).all():
        axes.fill_between(
            band.fractions,
            band.low,
            band.high,
            color=look.colour,
            alpha=BAND_ALPHA,
            linewidth=0,
            step="post" if step else None,
            gid=look.group,
            zorder=1,
        )
    every = max(1, len(band.fractions) // MARKERS_PER_LINE)
    axes.plot(
        band.fractions,
        band.estimate,
        drawstyle="steps-post" if step else "default",
        marker=look.marker,
        markevery=(position * max(1, every // 4) % every, every),
        **look.line,
    )


def _budget_axis(axes: Axes, place: Place, end: float = 1.03) -> None:
    axes.set_xlim(-0.015, end)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    if place.bottom:
        axes.set_xlabel("target budget used (%)")


def _limits(arms: Arms) -> tuple[float, float]:
    values = np.concatenate([np.concatenate([b.estimate, b.low, b.high]) for _, b in arms])
    values = values[np.isfinite(values)]
    low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
    pad = 0.04 * (high - low)
    return low - pad, high + pad


def _first(data: ReportData, task: str) -> TaskCurves:
    return next(c for m in data.methods if (c := data.task_curves(m, task)) is not None)


def task_note(curves: TaskCurves) -> str:
    """Relation of a transfer task, and whether it is scored."""
    return curves.relation if curves.scored else f"{curves.relation}, unscored"


def learning_panel(data: ReportData, looks: dict[str, Look], task: str) -> Panel:
    """Learning curves on one transfer task."""
    curves, arms = _first(data, task), data.learning(task)
    level = float(normalise(curves.threshold, curves.random, curves.expert))

    def draw(axes: Axes, place: Place) -> None:
        axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1.5)
        for i, (arm, band) in enumerate(arms):
            _line(axes, looks[arm], band, i)
        axes.set_ylim(*_limits(arms))
        _budget_axis(axes, place)
        if place.left:
            axes.set_ylabel("normalised return")

    ends = "; ".join(f"{looks[arm].label} {b.estimate[0]:.2f} to {b.estimate[-1]:.2f}" for arm, b in arms)
    alt = f"Learning curves on {task}, threshold at {level:.2f}. From the first to the last point: {ends}."
    return Panel(task, alt, draw, 1.75, 2.9, task_note(curves), MARGINS)


def learning_grid(data: ReportData, looks: dict[str, Look]) -> Drawing:
    """Learning curves of all methods with their control, one panel per transfer task."""
    return Drawing(
        "learning_curves",
        "Learning curves with control",
        "Mean over seeds of the normalised return (0: random, 1: reference expert) of the evaluations over the target "
        "budget. Shaded: pointwise 95 % intervals. Dotted: the threshold.",
        [learning_panel(data, looks, task) for task in data.tasks],
        _legend(looks, data.learning, data.tasks),
        GRID_COLUMNS,
    )


def return_grid(data: ReportData, looks: dict[str, Look]) -> Drawing:
    """Returns in the tasks' own units against the units of budget, one panel per transfer task."""
    several = len({(c.measure, _units(c)) for task in data.tasks for c in [_first(data, task)]}) > 1

    def panel(task: str) -> Panel:
        curves, arms = _first(data, task), data.returns(task)

        def draw(axes: Axes, place: Place) -> None:
            for i, (arm, band) in enumerate(arms):
                _line(axes, looks[arm], band, i)
            _budget_axis(axes, Place(place.left, bottom=False))
            if curves.budget is not None:
                ticks = axes.get_xticks()
                axes.set_xticks(ticks, [_short(curves.budget * tick) for tick in ticks])
            if place.bottom or several:
                axes.set_xlabel(_units(curves))
            if place.left or several:
                axes.set_ylabel(curves.measure)

        ends = "; ".join(f"{looks[arm].label} {b.estimate[0]:.4g} to {b.estimate[-1]:.4g}" for arm, b in arms)
        alt = f"Mean {curves.measure} on {task}. From the first to the last point: {ends}."
        return Panel(task, alt, draw, 1.75, 2.9, task_note(curves), RETURN_MARGINS)

    return Drawing(
        "returns",
        "Returns against target samples",
        "Mean over seeds of the return of the evaluations, in the task's own units and averaged over the instances of "
        "a family, against what was spent on a target. Shaded: pointwise 95 % intervals.",
        [panel(task) for task in data.tasks],
        _legend(looks, data.returns, data.tasks),
        GRID_COLUMNS,
    )


def _units(curves: TaskCurves) -> str:
    """What the axis of the budget counts."""
    return "target budget used (%)" if curves.budget is None else UNITS.get(curves.unit, curves.unit)


def _short(number: float) -> str:
    """A count in as few characters as an axis has room for."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.4g}{letter}"
    return f"{number:.4g}"


def survival_grid(data: ReportData, looks: dict[str, Look]) -> Drawing:
    """Share of seeds that are below the threshold, one panel per transfer task, with censoring marks."""

    def panel(task: str) -> Panel:
        arms = data.survival(task)

        def draw(axes: Axes, place: Place) -> None:
            marks = 0
            for i, (arm, band) in enumerate(arms):
                look = looks[arm]
                _line(axes, look, band, i, step=True)
                if band.estimate[-1] > 0:
                    marks += 1
                    axes.plot(
                        [1.0 + 0.024 * marks],
                        [band.estimate[-1]],
                        linestyle="none",
                        marker="+",
                        markersize=6,
                        markeredgewidth=1.4,
                        color=look.colour,
                        gid=look.group,
                        clip_on=False,
                        zorder=6,
                    )
            axes.set_ylim(-0.03, 1.06)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
            _budget_axis(axes, place, 1.03 + 0.024 * marks)
            if place.left:
                axes.set_ylabel("seeds below threshold (%)")

        ends = "; ".join(f"{looks[arm].label} {100 * b.estimate[-1]:.0f} %" for arm, b in arms)
        alt = f"Share of seeds that have not reached the threshold on {task}. At the end of the budget: {ends}."
        return Panel(task, alt, draw, 1.75, 2.9, task_note(_first(data, task)), MARGINS)

    return Drawing(
        "time_to_threshold",
        "Time to threshold",
        "Share of seeds that have not reached the threshold yet, over the target budget; a curve that falls earlier is "
        "faster. +: censored, seeds that had not reached it when the budget ended. Shaded: pointwise 95 % intervals.",
        [panel(task) for task in data.tasks],
        _legend(looks, data.survival, data.tasks),
        GRID_COLUMNS,
    )


def _legend(looks: dict[str, Look], arms: Callable[[str], Arms], tasks: Sequence[str]) -> list[Look]:
    drawn = {arm for task in tasks for arm, _ in arms(task)}
    return [look for arm, look in looks.items() if arm in drawn]


def sample_efficiency(data: ReportData, looks: dict[str, Look]) -> Drawing | None:
    """Interquartile mean over all scored runs against the budget; None where no scored task was run."""
    arms = [(arm, band) for arm in data.arms if (band := data.efficiency(arm)) is not None]
    if not arms:
        return None

    def draw(axes: Axes, place: Place) -> None:
        for i, (arm, band) in enumerate(arms):
            _line(axes, looks[arm], band, i)
        axes.set_ylim(*_limits(arms))
        _budget_axis(axes, place)
        axes.set_ylabel("IQM of normalised return")

    ends = "; ".join(f"{looks[arm].label} {b.estimate[0]:.2f} to {b.estimate[-1]:.2f}" for arm, b in arms)
    return Drawing(
        "sample_efficiency",
        "Sample efficiency",
        "Interquartile mean of the normalised returns of all runs on the scored tasks, over the target budget. Shaded: "
        "pointwise 95 % intervals.",
        [Panel("", f"Sample-efficiency curves. From the first to the last point: {ends}.", draw, 2.3)],
        [looks[arm] for arm in looks if arm in dict(arms)],
    )


def profiles(data: ReportData, looks: dict[str, Look]) -> Drawing | None:
    """Share of scored runs above each level of AUC; None where no scored task was run."""
    arms: list[tuple[str, Band]] = []
    for arm in data.arms:
        profile = data.profile(arm)
        if profile is not None:
            none: FloatArray = np.full(profile.levels.shape, np.nan)
            low = none if profile.low is None else profile.low
            high = none if profile.high is None else profile.high
            arms.append((arm, Band(profile.levels, profile.estimate, low, high)))
    if not arms:
        return None
    changes = [np.flatnonzero((b.estimate < 1) | (b.high < 1))[:1] for _, b in arms]
    start = min((float(b.fractions[c[0]]) for (_, b), c in zip(arms, changes, strict=True) if c.size), default=0.0)
    tops = [np.flatnonzero((b.estimate > 0) | (b.high > 0))[-1:] for _, b in arms]
    end = max((float(b.fractions[t[0]]) for (_, b), t in zip(arms, tops, strict=True) if t.size), default=1.0)

    def draw(axes: Axes, place: Place) -> None:
        for i, (arm, band) in enumerate(arms):
            _line(axes, looks[arm], band, i)
        axes.set_xlim(min(-0.05, start - 0.05), max(1.0, end + 0.05))
        axes.set_ylim(-0.03, 1.06)
        axes.set_xlabel("AUC level (normalised)")
        axes.set_ylabel("share of runs above")

    shares = "; ".join(f"{looks[arm].label} {np.interp(0.5, band.fractions, band.estimate):.2f}" for arm, band in arms)
    return Drawing(
        "performance_profiles",
        "Performance profiles",
        "Share of runs, averaged over the scored tasks, with an AUC above each level; a higher curve is better. "
        "Shaded: pointwise 95 % intervals.",
        [Panel("", f"Performance profiles. Share of runs with an AUC above 0.5: {shares}.", draw, 2.3)],
        [looks[arm] for arm in looks if arm in dict(arms)],
    )
