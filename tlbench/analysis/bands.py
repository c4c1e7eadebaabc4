"""Curves with pointwise intervals, for figures: learning curves, sample efficiency, and time-to-threshold survival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tlbench.analysis import metrics
from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.curves import FloatArray, TaskCurves, normalise
from tlbench.analysis.statistics import resampled_iqm, resampled_mean

BLOCK = 16
"""Points whose replicates are held in memory at once."""


@dataclass(frozen=True, eq=False)
class Band:
    """A curve over the target budget with pointwise intervals.

    Attributes:
        fractions: Shares of the target budget, ``[P]``.
        estimate: ``[P]``.
        low: Lower ends, ``[P]``; NaN where there is no interval.
        high: Upper ends, ``[P]``.
    """

    fractions: FloatArray
    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def _band(fractions: FloatArray, intervals: Sequence[Interval]) -> Band:
    rows = [(i.estimate, i.low, i.high) for i in intervals]
    estimate, low, high = np.array(rows, dtype=np.float64).T
    return Band(fractions, estimate, low, high)


def _mean_band(curves: TaskCurves, values: FloatArray, bootstrap: Bootstrap) -> Band:
    weights = bootstrap.weights(curves.seeds, curves.expert_seeds if curves.crossed else None)
    intervals: list[Interval] = []
    for start in range(0, values.shape[1], BLOCK):
        part = values[:, start : start + BLOCK]
        intervals += bootstrap.intervals(part.mean(axis=0), resampled_mean(part, weights), curves.levels)
    return _band(curves.fractions, intervals)


def learning_curves(curves: TaskCurves, bootstrap: Bootstrap) -> tuple[Band, Band]:
    """Seed-mean normalised returns of the method and of its control, over the evaluation points."""
    method = normalise(curves.method, curves.random, curves.expert)
    control = normalise(curves.control, curves.random, curves.expert)
    return _mean_band(curves, method, bootstrap), _mean_band(curves, control, bootstrap)


def return_curves(curves: TaskCurves, bootstrap: Bootstrap) -> tuple[Band, Band]:
    """Seed-mean returns of the method and of its control, in the task's own units, over the evaluation points."""
    method, control = curves.returns
    return _mean_band(curves, method, bootstrap), _mean_band(curves, control, bootstrap)


def survival(curves: TaskCurves, bootstrap: Bootstrap) -> tuple[Band, Band]:
    """Share of seeds that have not reached the threshold by each evaluation point, for the method and its control.

    Every run is observed to the end of the budget, so this is the Kaplan-Meier curve without its corrections.
    """

    def waiting(returns: FloatArray) -> FloatArray:
        times, reached = metrics.time_to_threshold(returns, curves.fractions, curves.threshold, curves.window)
        return np.where((times[:, None] <= curves.fractions) & reached[:, None], 0.0, 1.0)

    return _mean_band(curves, waiting(curves.method), bootstrap), _mean_band(curves, waiting(curves.control), bootstrap)


def sample_efficiency(
    tasks: Sequence[TaskCurves], bootstrap: Bootstrap, fractions: npt.ArrayLike | None = None
) -> Band:
    """Sample-efficiency curve: interquartile mean of normalised returns over all runs and tasks (Agarwal et al. 2021).

    Args:
        tasks: Transfer tasks of one method.
        bootstrap: Source of resamples.
        fractions: Grid that curves are interpolated to, ``[P]``; default 21 points.

    Raises:
        ValueError: If there is no task.
    """
    if not tasks:
        raise ValueError("a sample-efficiency curve needs at least one task")
    grid = np.linspace(0, 1, 21) if fractions is None else np.asarray(fractions, dtype=np.float64)
    universe = sorted({seed for c in tasks for seed in c.seeds.tolist()})
    weights = np.concatenate(
        [bootstrap.weights(c.seeds, c.expert_seeds if c.crossed else None, universe, c.task) for c in tasks]
    )
    values = np.concatenate(
        [[np.interp(grid, c.fractions, row) for row in normalise(c.method, c.random, c.expert)] for c in tasks]
    )
    n = min(c.levels for c in tasks)
    return _band(
        grid,
        [
            bootstrap.interval(metrics.interquartile_mean(column), resampled_iqm(column, weights), n)
            for column in values.T
        ],
    )
