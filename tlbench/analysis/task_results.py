"""Everything about one method on one transfer task: point estimates, replicates and intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tlbench.analysis import metrics
from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.curves import FloatArray, TaskCurves, normalise
from tlbench.analysis.negative import can_reject, holm, negative_p_value
from tlbench.analysis.results import (
    NOTE_NOT_TESTABLE,
    NOTE_ONE_SEED,
    NOTE_RATIO_DOMAIN,
    NOTE_TOO_FEW_SEEDS,
    TaskResult,
)
from tlbench.analysis.statistics import (
    Sample,
    probability_of_improvement,
    resampled_improvement,
    resampled_iqm,
    resampled_mean,
)

ALPHA = 0.05

_MEANS = (
    "auc",
    "control_auc",
    "transfer_gain",
    "jumpstart",
    "asymptotic_gain",
    "time_to_threshold",
    "control_time_to_threshold",
    "share_reached",
    "control_share_reached",
    "negative_share",
)
"""Quantities that are means over runs, in the order of the columns of `run_values`."""


def run_values(curves: TaskCurves) -> dict[str, FloatArray]:
    """Quantities of each run whose means over runs are reported, each ``[R]``; ``transfer_gain`` in points."""
    method = normalise(curves.method, curves.random, curves.expert)
    control = normalise(curves.control, curves.random, curves.expert)
    x = curves.fractions
    auc, control_auc = metrics.auc(method, x), metrics.auc(control, x)
    time, reached = metrics.time_to_threshold(curves.method, x, curves.threshold, curves.window)
    control_time, control_reached = metrics.time_to_threshold(curves.control, x, curves.threshold, curves.window)
    difference = auc - control_auc
    values = (
        auc,
        control_auc,
        100 * difference,
        metrics.jumpstart(method, control),
        metrics.asymptotic_gain(method, control, x),
        time,
        control_time,
        reached.astype(np.float64),
        control_reached.astype(np.float64),
        metrics.worse_than_control(difference),
    )
    return dict(zip(_MEANS, values, strict=True))


@dataclass(frozen=True, eq=False)
class AnalysedTask:
    """A task's result with what the suite needs of it: estimates and replicates of each quantity."""

    curves: TaskCurves
    result: TaskResult
    points: dict[str, float]
    replicates: dict[str, FloatArray]
    method: Sample
    control: Sample


def analyse_task(name: str, curves: TaskCurves, universe: Sequence[int], bootstrap: Bootstrap) -> AnalysedTask:
    """Computes everything about one method on one task, but the outcome of Holm's test.

    Args:
        name: Name of the method.
        curves: Its curves.
        universe: All run seeds of the method's suite.
        bootstrap: Source of resamples.
    """
    experts = curves.expert_seeds if curves.crossed else None
    weights = bootstrap.weights(curves.seeds, experts, universe, stratum=f"{name}/{curves.task}")
    columns = run_values(curves)
    matrix = np.stack([columns[key] for key in _MEANS], axis=1)
    points = dict(zip(_MEANS, matrix.mean(axis=0).tolist(), strict=True))
    replicates = dict(zip(_MEANS, resampled_mean(matrix, weights), strict=True))
    auc, control_auc = columns["auc"], columns["control_auc"]
    for key, values in (("score", auc), ("control_score", control_auc)):
        points[key] = 100 * metrics.interquartile_mean(values)
        replicates[key] = 100 * resampled_iqm(values, weights)
    points["probability_of_improvement"] = probability_of_improvement(auc, control_auc)
    replicates["probability_of_improvement"] = resampled_improvement(auc, control_auc, weights, weights)

    def quotient(function: Callable[[npt.ArrayLike, npt.ArrayLike], FloatArray], x: str, y: str) -> None:
        key = function.__name__
        points[key] = float(function(points[x], points[y]))
        replicates[key] = function(replicates[x], replicates[y])

    quotient(metrics.speed_up, "time_to_threshold", "control_time_to_threshold")
    in_domain = metrics.ratio_domain(points["auc"], points["control_auc"])
    if in_domain:
        for function in (metrics.transfer_ratio, metrics.contrast, metrics.forward_transfer):
            quotient(function, "auc", "control_auc")
    keys = list(points)
    found = bootstrap.intervals(
        [points[key] for key in keys], np.stack([replicates[key] for key in keys]), curves.levels
    )
    interval: dict[str, Interval] = dict(zip(keys, found, strict=True))
    testable = metrics.is_testable(interval["control_auc"].low)
    notes = []
    if curves.levels < 2:
        notes.append(NOTE_ONE_SEED)
    if not testable:
        notes.append(NOTE_NOT_TESTABLE)
    if not in_domain:
        notes.append(NOTE_RATIO_DOMAIN)
    highest = curves.max_return
    result = TaskResult(
        method=name,
        task=curves.task,
        relation=curves.relation,
        scored=curves.scored,
        seeds=curves.seed_count,
        experts=None if experts is None else len(set(experts.tolist())),
        score=interval["score"],
        control_score=interval["control_score"],
        auc=interval["auc"],
        control_auc=interval["control_auc"],
        transfer_gain=interval["transfer_gain"],
        jumpstart=interval["jumpstart"],
        asymptotic_gain=interval["asymptotic_gain"],
        transfer_ratio=interval.get("transfer_ratio"),
        contrast=interval.get("contrast"),
        forward_transfer=interval.get("forward_transfer"),
        time_to_threshold=interval["time_to_threshold"],
        control_time_to_threshold=interval["control_time_to_threshold"],
        share_reached=interval["share_reached"],
        control_share_reached=interval["control_share_reached"],
        speed_up=interval["speed_up"],
        convergence=None if highest is None else metrics.timestep_to_convergence(curves.method_bins, highest),
        control_convergence=None if highest is None else metrics.timestep_to_convergence(curves.control_bins, highest),
        convergence_declared=highest is not None,
        probability_of_improvement=interval["probability_of_improvement"],
        negative_share=interval["negative_share"],
        negative_p_value=negative_p_value(
            columns["transfer_gain"], curves.seeds, curves.expert_seeds if curves.crossed else None
        ),
        testable=testable,
        negative_transfer=None,
        crossover=metrics.crossover(curves.method, curves.control, curves.fractions, curves.window),
        abstained=int(curves.abstained.sum()),
        diverged=int(curves.diverged.sum()),
        notes=tuple(notes),
    )
    return AnalysedTask(curves, result, points, replicates, Sample(auc, weights), Sample(control_auc, weights))


def decide_negative_transfer(analysed: Sequence[AnalysedTask]) -> list[AnalysedTask]:
    """Holm's test over the testable tasks of the gain; others keep None."""
    family = [i for i, a in enumerate(analysed) if a.curves.in_gain and a.result.testable]
    rejected = holm([analysed[i].result.negative_p_value for i in family], ALPHA)
    enough = can_reject([analysed[i].curves.levels for i in family], ALPHA)
    out = list(analysed)
    for i, passed, possible in zip(family, rejected.tolist(), enough.tolist(), strict=True):
        result = analysed[i].result
        changed = (
            replace(result, negative_transfer=passed)
            if possible
            else replace(result, notes=(*result.notes, NOTE_TOO_FEW_SEEDS))
        )
        out[i] = replace(analysed[i], result=changed)
    return out
