"""What the browser draws: learning curves with bands, as small lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlbench.analysis.bands import Band, learning_curves
from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.curves import FloatArray, TaskCurves

BAND_REPETITIONS = 4_000
"""Resamples behind the bands of curves, which are read by eye."""

DIGITS = 3


def drawn_curves(curves: Sequence[TaskCurves], bootstrap: Bootstrap) -> dict[str, Any]:
    """Mean normalised returns of a method and its control with pointwise intervals, by transfer task.

    Args:
        curves: The curves of one submission.
        bootstrap: Source of ``BAND_REPETITIONS`` resamples; share one, it keeps its draws.

    Returns:
        By task: fractions ``x``, ``method`` and ``control`` (each ``[estimate, low, high]``) and the normalised
        ``threshold``.
    """
    found = {}
    for task in curves:
        method, control = learning_curves(task, bootstrap)
        found[task.task] = {
            "x": _numbers(task.fractions, 4),
            "method": _band(method),
            "control": _band(control),
            "threshold": round((task.threshold - task.random) / (task.expert - task.random), DIGITS),
        }
    return found


def _band(band: Band) -> list[list[float | None]]:
    parts = [band.estimate, band.low, band.high]
    return [_numbers(part, DIGITS) for part in (parts if np.isfinite(band.low).any() else parts[:1])]


def _numbers(values: FloatArray, digits: int) -> list[float | None]:
    return [round(x, digits) + 0.0 if math.isfinite(x) else None for x in values.tolist()]
