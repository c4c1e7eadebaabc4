"""Coverage of the intervals where experts and controls are shared by all tasks, as they are in a suite."""

import numpy as np
import pytest

from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.statistics import resampled_iqm, resampled_mean
from tlbench.analysis.summary import summarise

SEEDS, TASKS, TRUTH = 10, 8, 0.1


def paired_differences(rng):
    """AUC_T - AUC_C: a seed's expert helps or hurts on all tasks alike, plus noise of each task."""
    return TRUTH + rng.normal(0, 0.1, (SEEDS, 1)) + rng.normal(0, 0.15, (SEEDS, TASKS))


def covers(differences, bootstrap, replicate):
    weights = [bootstrap.weights(range(SEEDS), stratum=str(task)) for task in range(TASKS)]
    replicates = np.mean([replicate(differences[:, t], w) for t, w in enumerate(weights)], axis=0)
    interval = bootstrap.interval(0.0, replicates, SEEDS)
    return interval.low <= TRUTH <= interval.high


def mean(values, weights):
    return resampled_mean(values[:, None], weights)[0]


def coverage(simulations, replicate, joint, seed=0):
    rng = np.random.default_rng(seed)
    hits = [
        covers(paired_differences(rng), Bootstrap(1000, seed=i, joint=joint), replicate) for i in range(simulations)
    ]
    return float(np.mean(hits))


def test_joint_resampling_covers_and_resampling_per_task_does_not():
    joint, per_task = coverage(600, mean, joint=True), coverage(300, mean, joint=False)
    assert 0.92 <= joint <= 0.98
    assert per_task < 0.85


def test_joint_resampling_covers_the_score():
    assert 0.92 <= coverage(400, resampled_iqm, joint=True) <= 0.99


@pytest.mark.slow
def test_coverage_over_many_simulations():
    assert 0.94 <= coverage(4000, mean, joint=True, seed=1) <= 0.965
    assert 0.65 <= coverage(4000, mean, joint=False, seed=1) <= 0.82
    assert 0.93 <= coverage(4000, resampled_iqm, joint=True, seed=1) <= 0.975


@pytest.mark.slow
def test_coverage_of_the_summarys_transfer_gain(make_curves):
    rng = np.random.default_rng(2)
    hits = []
    for i in range(500):
        differences, control = paired_differences(rng), rng.normal(0.4, 0.05, (SEEDS, 1))
        tasks = [
            make_curves(100 * (control + differences[:, [t]]) * np.ones(3), 100 * control * np.ones(3), task=f"t{t}")
            for t in range(TASKS)
        ]
        interval = summarise({"m": tasks}, Bootstrap(1000, seed=i)).suites[0].gain.transfer_gain
        hits.append(interval.low <= 100 * TRUTH <= interval.high)
    assert 0.92 <= np.mean(hits) <= 0.98
