"""From curves to results: every quantity of every method, all intervals from the same draws of seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tlbench.analysis import metrics
from tlbench.analysis.bootstrap import Bootstrap, CountArray, Interval
from tlbench.analysis.curves import SELF_RELATION, FloatArray, TaskCurves
from tlbench.analysis.results import (
    NOTE_INCOMPLETE_SEEDS,
    NOTE_INCOMPLETE_TASKS,
    NOTE_NO_TESTABLE_TASK,
    NOTE_ONE_SEED,
    NOTE_TOO_FEW_SEEDS,
    Comparison,
    GainSummary,
    SuiteResult,
    Summary,
    TaskResult,
)
from tlbench.analysis.statistics import (
    aggregates,
    performance_profile,
    probability_of_improvement,
    ranks,
    resampled_improvement,
)
from tlbench.analysis.task_results import AnalysedTask, analyse_task, decide_negative_transfer, run_values

PROFILE_LEVELS = np.round(np.linspace(-0.2, 1.2, 57), 3)


def _levels(tasks: Sequence[AnalysedTask]) -> int:
    """Independent units behind a mean over tasks: the fewest seeds of any task, or experts where all cross them."""
    if all(t.curves.crossed for t in tasks):
        return min(t.curves.levels for t in tasks)
    return min(t.curves.seed_count for t in tasks)


def _mean(tasks: Sequence[AnalysedTask], key: str) -> tuple[float, FloatArray]:
    total = np.zeros_like(tasks[0].replicates[key])
    for task in tasks:
        total += task.replicates[key]
    return float(np.mean([task.points[key] for task in tasks])), total / len(tasks)


def _summarise_gain(tasks: Sequence[AnalysedTask], bootstrap: Bootstrap) -> GainSummary:
    n = _levels(tasks)

    def interval(key: str) -> Interval:
        return bootstrap.interval(*_mean(tasks, key), n)

    (time, times), (control, controls) = _mean(tasks, "time_to_threshold"), _mean(tasks, "control_time_to_threshold")
    below = np.zeros(bootstrap.repetitions)
    for task in tasks:
        below += np.minimum(0, task.replicates["transfer_gain"])
    family = [t.result for t in tasks if t.result.testable]
    return GainSummary(
        tasks=len(tasks),
        transfer_gain=interval("transfer_gain"),
        jumpstart=interval("jumpstart"),
        asymptotic_gain=interval("asymptotic_gain"),
        time_to_threshold=interval("time_to_threshold"),
        control_time_to_threshold=interval("control_time_to_threshold"),
        share_reached=interval("share_reached"),
        speed_up=bootstrap.interval(float(metrics.speed_up(time, control)), metrics.speed_up(times, controls), n),
        probability_of_improvement=interval("probability_of_improvement"),
        negative_share=interval("negative_share"),
        depth=bootstrap.interval(
            metrics.depth([t.points["transfer_gain"] / 100 for t in tasks]), below / len(tasks), n
        ),
        negative_tasks=sum(r.negative_transfer is True for r in family),
        testable_tasks=len(family),
        untestable_seeds=sum(r.negative_transfer is None for r in family),
    )


def _summarise_suite(
    name: str, analysed: Sequence[AnalysedTask], expected: Sequence[str], bootstrap: Bootstrap
) -> tuple[SuiteResult, FloatArray | None]:
    """The suite's result without rank, and the replicates of its score."""
    tasks = [a for a in analysed if a.curves.scored]
    names = tuple(a.curves.task for a in tasks)
    missing = tuple(task for task in expected if task not in names)
    gain = [a for a in tasks if a.curves.in_gain]
    same = [a for a in tasks if a.curves.relation == SELF_RELATION]
    seeds = {tuple(sorted(set(a.curves.seeds.tolist()))) for a in tasks}
    gain_summary = _summarise_gain(gain, bootstrap) if gain else None
    flags = {
        NOTE_INCOMPLETE_TASKS: bool(missing),
        NOTE_INCOMPLETE_SEEDS: len(seeds) > 1,
        NOTE_ONE_SEED: bool(tasks) and _levels(tasks) < 2,
        NOTE_NO_TESTABLE_TASK: gain_summary is not None and gain_summary.testable_tasks == 0,
        NOTE_TOO_FEW_SEEDS: gain_summary is not None and gain_summary.untestable_seeds > 0,
    }
    result = SuiteResult(
        method=name,
        seeds=min((a.curves.seed_count for a in tasks), default=0),
        tasks=names,
        missing=missing,
        score=None,
        control_score=None,
        gain=gain_summary,
        self_gain=bootstrap.interval(*_mean(same, "transfer_gain"), _levels(same)) if same else None,
        pooled=None,
        control_pooled=None,
        profile=None,
        rank=None,
        abstained=sum(a.result.abstained for a in tasks),
        diverged=sum(a.result.diverged for a in tasks),
        notes=tuple(note for note, applies in flags.items() if applies),
    )
    if not tasks:
        return result, None
    n = _levels(tasks)
    score, replicates = _mean(tasks, "score")
    return replace(
        result,
        score=bootstrap.interval(score, replicates, n),
        control_score=bootstrap.interval(*_mean(tasks, "control_score"), n),
        pooled=aggregates([a.method for a in tasks], bootstrap, n),
        control_pooled=aggregates([a.control for a in tasks], bootstrap, n),
        profile=performance_profile([a.method for a in tasks], PROFILE_LEVELS, bootstrap, n),
    ), replicates


def _rank(suites: list[SuiteResult], replicates: list[FloatArray | None], bootstrap: Bootstrap) -> list[SuiteResult]:
    """Adds ranks by score among the methods that ran every scored task."""
    ranked = [i for i, s in enumerate(suites) if s.score is not None and not s.missing]
    if not ranked:
        return suites
    scores = np.array([[s.score.estimate] for i in ranked if (s := suites[i]).score is not None])
    resampled = np.stack([r for i in ranked if (r := replicates[i]) is not None])
    resampled[:, np.isnan(resampled).any(axis=0)] = np.nan  # a resample that one method lacks compares nobody
    points, rows = ranks(scores)[:, 0], ranks(resampled)
    out = list(suites)
    for position, i in enumerate(ranked):
        interval = bootstrap.interval(float(points[position]), rows[position], suites[i].seeds)
        out[i] = replace(suites[i], rank=interval)
    return out


def _universe(tasks: Sequence[TaskCurves]) -> list[int]:
    return sorted({seed for curves in tasks for seed in curves.seeds.tolist()})


def summarise(
    curves: Mapping[str, Sequence[TaskCurves]],
    bootstrap: Bootstrap | None = None,
    scored_tasks: Sequence[str] | None = None,
) -> Summary:
    """Computes every metric of every method, per task and per suite, with joint intervals.

    A seed that a task lacks is drawn like any other and weighs nothing on that task; a resample that holds none of a
    task's seeds is left out of that task's intervals and of the suite's.

    Args:
        curves: The transfer tasks of each method; families already averaged.
        bootstrap: Source of resamples; default 50,000 joint resamples, seed 0.
        scored_tasks: The suite's scored tasks, to tell which are missing; default: all that any method ran.

    Raises:
        ValueError: If a method has a transfer task twice.
    """
    source = bootstrap or Bootstrap()
    if scored_tasks is None:
        scored_tasks = list(dict.fromkeys(c.task for tasks in curves.values() for c in tasks if c.scored))
    rows: list[TaskResult] = []
    suites: list[SuiteResult] = []
    replicates: list[FloatArray | None] = []
    for name, tasks in curves.items():
        if len({c.task for c in tasks}) != len(tasks):
            raise ValueError(f"method {name!r} has a transfer task twice")
        universe = _universe(tasks)
        analysed = decide_negative_transfer([analyse_task(name, c, universe, source) for c in tasks])
        rows += [a.result for a in analysed]
        suite, score = _summarise_suite(name, analysed, scored_tasks, source)
        suites.append(suite)
        replicates.append(score)
    return Summary(
        tasks=tuple(rows),
        suites=tuple(_rank(suites, replicates, source)),
        repetitions=source.repetitions,
        seed=source.seed,
        confidence=source.confidence,
    )


def compare(x: str, y: str, curves: Mapping[str, Sequence[TaskCurves]], bootstrap: Bootstrap) -> Comparison | None:
    """Unpaired probability that a run of method `x` beats one of method `y`, mean over scored tasks that both ran.

    Args:
        x: First method.
        y: Second method.
        curves: The transfer tasks of each method.
        bootstrap: Source of resamples; with the one given to `summarise` the draws are the same.

    Returns:
        The comparison, or None if the methods have no scored task in common.
    """
    others = {c.task: c for c in curves[y] if c.scored}
    pairs = [(c, others[c.task]) for c in curves[x] if c.scored and c.task in others]
    if not pairs:
        return None

    def sample(name: str, task: TaskCurves) -> tuple[FloatArray, CountArray]:
        experts = task.expert_seeds if task.crossed else None
        weights = bootstrap.weights(task.seeds, experts, _universe(curves[name]), stratum=f"{name}/{task.task}")
        return run_values(task)["auc"], weights

    total, points = np.zeros(bootstrap.repetitions), []
    for first, second in pairs:
        (values_x, weights_x), (values_y, weights_y) = sample(x, first), sample(y, second)
        points.append(probability_of_improvement(values_x, values_y))
        total += resampled_improvement(values_x, values_y, weights_x, weights_y)
    n = min(min(a.levels, b.levels) for a, b in pairs)
    return Comparison(x, y, len(pairs), bootstrap.interval(float(np.mean(points)), total / len(pairs), n))
