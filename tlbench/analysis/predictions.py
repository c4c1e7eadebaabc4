"""What learned models promise of a policy before its first sample of a task, and what it gets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.configurations import method_labels
from tlbench.analysis.statistics import resampled_mean
from tlbench.analysis.tables import Cells, format_interval
from tlbench.protocol.records import Record

PREDICTED = "predicted_return_at_0"
"""The part of a record's diagnostics: the mean return of the policy at 0 % of the budget, in the learned model."""

HEADER = ("method", "transfer task", "runs", "predicted return", "return at 0 %", "difference")


@dataclass(frozen=True)
class PredictionResult:
    """One method on one transfer task, in units of return.

    Attributes:
        method: Label of the method.
        task: Transfer task.
        runs: Runs that say what their model predicted and were evaluated before their first sample.
        predicted: Mean return in the learned model; instances of a family are averaged first, as in all that follow.
        found: Mean return in the task.
        difference: The first minus the second; above 0 the model promises too much.
    """

    method: str
    task: str
    runs: int
    predicted: Interval
    found: Interval
    difference: Interval


def prediction_results(
    methods: Iterable[str], records: Sequence[Record], bootstrap: Bootstrap
) -> tuple[PredictionResult, ...]:
    """Predicted and real returns before the first sample, of runs that hold ``predicted_return_at_0``.

    Args:
        methods: Labels of the methods that are shown, in their order.
        records: Runs.
        bootstrap: Source of resamples.
    """
    labels = method_labels(records)
    groups: dict[tuple[str, str], dict[int, list[tuple[float, float]]]] = {}
    for record in records:
        pair = _pair(record)
        if record.method is not None and pair is not None:
            for task in record.transfers:
                by_seed = groups.setdefault((labels[record.method.id, record.config_hash], task), {})
                by_seed.setdefault(record.seed, []).append(pair)
    order = list(methods)
    shown = sorted((key for key in groups if key[0] in order), key=lambda key: order.index(key[0]))
    return tuple(_result(method, task, groups[method, task], bootstrap) for method, task in shown)


def _pair(record: Record) -> tuple[float, float] | None:
    predicted = record.diagnostics.get(PREDICTED)
    if not isinstance(predicted, int | float) or not math.isfinite(predicted) or not record.curve:
        return None
    first = record.curve[0]
    return (float(predicted), fmean(first.returns)) if first.fraction == 0 and first.returns else None


def _result(
    method: str, task: str, by_seed: dict[int, list[tuple[float, float]]], bootstrap: Bootstrap
) -> PredictionResult:
    seeds = sorted(by_seed)
    pairs = np.array([np.mean(by_seed[seed], axis=0) for seed in seeds])
    values = np.column_stack((pairs, pairs[:, 0] - pairs[:, 1]))
    replicates = resampled_mean(values, bootstrap.weights(seeds))
    predicted, found, difference = bootstrap.intervals(values.mean(axis=0), replicates, len(seeds))
    return PredictionResult(method, task, sum(map(len, by_seed.values())), predicted, found, difference)


def prediction_cells(results: Sequence[PredictionResult]) -> tuple[list[str], Cells]:
    """Header and rows of the table, as text."""
    rows = [
        [
            r.method,
            r.task,
            str(r.runs),
            format_interval(r.predicted),
            format_interval(r.found),
            format_interval(r.difference, signed=True),
        ]
        for r in results
    ]
    return list(HEADER), rows
