"""Transfers grouped by the base model that they start from, and how many of them are aligned with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.configurations import method_labels
from tlbench.analysis.curves import TaskCurves
from tlbench.analysis.embeddings import has_swapped_sides, is_mirror_image
from tlbench.analysis.statistics import resampled_mean
from tlbench.analysis.tables import NONE, Cells, format_interval
from tlbench.analysis.task_results import run_values
from tlbench.protocol.records import Record


@dataclass(frozen=True)
class BaseModelResult:
    """The transfers of one method, on one transfer task, from one base model or from one each.

    Attributes:
        method: Label of the method.
        task: Transfer task.
        base_model: Seed of the base model; None where every run has a base model of its own.
        runs: Number of transfers.
        aligned: How many end with the base model's embedding; None where no run says.
        share_aligned: Their share, with Wilson's interval.
        mirrored: How many of the others end with a mirror image of it; None where no run has an embedding to compare.
        swapped: How many of the others end with the maze's halves on each other's side; None where no run says where
            states lie.
        distance: Mean distance of a state's embedding from the base model's, in mean distances of two different states
            there, averaged over runs; None where no run says.
        score: 100 x mean AUC of the transfers, points, with a bootstrap interval over seeds.
    """

    method: str
    task: str
    base_model: int | None
    runs: int
    aligned: int | None
    share_aligned: Interval | None
    mirrored: int | None
    swapped: int | None
    distance: float | None
    score: Interval


OWN = "one each"
"""What stands for the base model where every run has its own."""

HEADER = (
    "method",
    "transfer task",
    "base model",
    "runs",
    "aligned",
    "share aligned",
    "mirrored",
    "swapped",
    "distance",
    "mean score",
)


def base_model_results(
    curves: Mapping[str, Sequence[TaskCurves]], records: Sequence[Record], bootstrap: Bootstrap
) -> tuple[BaseModelResult, ...]:
    """Group runs by method, task and base model; where seeds have a base model each, all are one group.

    Args:
        curves: Curves by method label; tasks without expert seeds are passed over, but where runs tell of alignment.
        records: Runs, with the diagnostics of their alignment.
        bootstrap: Source of resamples.
    """
    labels = method_labels(records)
    facts: dict[tuple[str, str, int | None], list[Mapping[str, Any]]] = {}
    for record in records:
        if record.method is not None:
            for task in record.transfers:
                label = labels[record.method.id, record.config_hash]
                found = record.diagnostics.get("alignment")
                for base_model in {record.expert_seed, None}:  # None: all runs, where seeds have a base model each
                    facts.setdefault((label, task, base_model), []).append(found if isinstance(found, Mapping) else {})
    return tuple(
        _result(method, task, base_model, facts.get((method, task.task, base_model), []), bootstrap)
        for method, tasks in curves.items()
        for task in tasks
        for base_model in _base_models(task, facts.get((method, task.task, None), []))
    )


def _base_models(curves: TaskCurves, facts: Sequence[Mapping[str, Any]]) -> Sequence[int | None]:
    if curves.expert_seeds is not None:
        return [int(seed) for seed in np.unique(curves.expert_seeds)]
    return [None] if any(facts) else []


def _result(
    method: str, curves: TaskCurves, base_model: int | None, facts: Sequence[Mapping[str, Any]], bootstrap: Bootstrap
) -> BaseModelResult:
    rows = slice(None) if base_model is None else curves.expert_seeds == base_model
    seeds, scores = curves.seeds[rows], 100 * run_values(curves)["auc"][rows]
    replicates = resampled_mean(scores[:, None], bootstrap.weights(seeds))[0]
    aligned = [bool(f.get("aligned")) for f in facts] if any("aligned" in f for f in facts) else None
    mirrored = [is_mirror_image(f) for f in facts] if any("mirrored" in f for f in facts) else None
    swapped = [found for found in map(has_swapped_sides, facts) if found is not None]
    distances = [found for found in map(_distance, facts) if found is not None]
    return BaseModelResult(
        method=method,
        task=curves.task,
        base_model=base_model,
        runs=len(seeds),
        aligned=None if aligned is None else sum(aligned),
        share_aligned=None if aligned is None else wilson(sum(aligned), len(aligned), bootstrap.confidence),
        mirrored=None if mirrored is None else sum(mirrored),
        swapped=sum(swapped) if swapped else None,
        distance=float(np.mean(distances)) if distances else None,
        score=bootstrap.interval(float(scores.mean()), replicates, len(seeds)),
    )


def _distance(facts: Mapping[str, Any]) -> float | None:
    """Of two embeddings of a state, in units of the base model's own spread."""
    found, spread = (facts.get(name) for name in ("l2", "l2_of_different_states"))
    if not (isinstance(found, float | int) and isinstance(spread, float | int)) or spread <= 0:
        return None
    return float(found / spread)


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """A share with Wilson's score interval (1927), which a share of 0 or 1 has too.

    Args:
        successes: How many.
        n: Out of how many, at least 1.
        confidence: Nominal coverage.
    """
    from scipy import stats  # slow to import

    ends = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(successes / n, float(ends.low), float(ends.high))


def base_model_cells(results: Sequence[BaseModelResult]) -> tuple[list[str], Cells]:
    """Header and rows of the table, as text."""
    rows = [
        [
            r.method,
            r.task,
            OWN if r.base_model is None else str(r.base_model),
            str(r.runs),
            NONE if r.aligned is None else str(r.aligned),
            format_interval(r.share_aligned, 2),
            NONE if r.mirrored is None else str(r.mirrored),
            NONE if r.swapped is None else str(r.swapped),
            NONE if r.distance is None else f"{r.distance:.2f}",
            format_interval(r.score),
        ]
        for r in results
    ]
    return list(HEADER), rows
