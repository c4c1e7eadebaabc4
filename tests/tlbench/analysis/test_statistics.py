import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlbench.analysis import statistics
from tlbench.analysis.bootstrap import CHUNK, Bootstrap
from tlbench.analysis.metrics import interquartile_mean
from tlbench.analysis.statistics import Sample

AGGREGATES = ("iqm", "median", "mean", "optimality_gap")


@pytest.fixture(scope="module")
def rliable():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rliable import library, metrics
    return library, metrics


def matrix(seed, runs=10, tasks=8):
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 0.4, (runs, tasks)) + rng.normal(0, 0.3, tasks)


def independent_samples(scores, bootstrap, name="x"):
    rows = range(len(scores))
    return [Sample(column, bootstrap.weights(rows, stratum=f"{name}/{i}")) for i, column in enumerate(scores.T)]


def counts(indices, n):
    """Multiplicities [n, repetitions] of drawn indices [repetitions, draws]."""
    return np.stack([(indices == label).sum(axis=1) for label in range(n)]).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 13), st.integers(0, 1000))
def test_resampled_statistics_equal_those_of_repeated_values(n, seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=n), 1)  # with ties
    weights = Bootstrap(20, seed).weights(range(n))
    copies = [np.repeat(values, weights[:, r]) for r in range(20)]
    np.testing.assert_allclose(
        statistics.resampled_iqm(values, weights), [interquartile_mean(c) for c in copies], atol=1e-12
    )
    np.testing.assert_allclose(
        statistics.resampled_mean(values[:, None], weights)[0], [c.mean() for c in copies], atol=1e-12
    )


def test_resamples_of_varying_size_and_empty_ones():
    values = np.array([3.0, 1.0, 2.0])
    weights = np.array([[0, 5, 1], [0, 1, 0], [0, 0, 0]], dtype=np.uint8)
    iqm = statistics.resampled_iqm(values, weights)
    mean = statistics.resampled_mean(values[:, None], weights)[0]
    improvement = statistics.resampled_improvement(values, values - 1, weights, weights)
    assert np.isnan([iqm[0], mean[0], improvement[0]]).all()
    assert (iqm[1], mean[1]) == (3.0, pytest.approx(16 / 6))
    assert (iqm[2], mean[2], improvement[2]) == (3.0, 3.0, 1.0)


def test_large_counts_do_not_overflow():
    n = 400
    values = np.arange(n, dtype=float)
    weights = np.full((n, 3), 255, dtype=np.uint8)
    assert statistics.resampled_iqm(values, weights) == pytest.approx([(n - 1) / 2] * 3)


def test_chunks_do_not_show():
    values, weights = np.random.default_rng(0).normal(size=(7, 3)), Bootstrap(2 * CHUNK + 5).weights(range(7))
    for start in (0, CHUNK - 3, 2 * CHUNK):
        part = slice(start, start + 5)
        whole = statistics.resampled_mean(values, weights)[:, part]
        np.testing.assert_allclose(whole, statistics.resampled_mean(values, weights[:, part]))
        whole = statistics.resampled_iqm(values[:, 0], weights)[part]
        np.testing.assert_allclose(whole, statistics.resampled_iqm(values[:, 0], weights[:, part]))


@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5, 10, 13])
def test_point_estimates_equal_rliables(rliable, runs):
    scores = matrix(runs, runs)
    bootstrap = Bootstrap(10)
    found = statistics.aggregates(independent_samples(scores, bootstrap), bootstrap, runs)
    for name in AGGREGATES:
        expected = getattr(rliable[1], f"aggregate_{name}")(scores)
        assert getattr(found, name).estimate == pytest.approx(expected, abs=1e-13)


def test_replicates_equal_rliables_on_its_own_draws(rliable):
    library, metrics = rliable
    scores = matrix(0)
    np.random.seed(5)
    drawn = [library.StratifiedBootstrap(scores).update_indices() for _ in range(200)]
    resampled = [scores[index] for index in drawn]
    indices = np.stack([index[0] for index in drawn])  # [repetitions, runs, tasks]
    weights = [counts(indices[:, :, task], 10) for task in range(8)]
    iqm = statistics.resampled_iqm(scores.T.ravel(), np.concatenate(weights))
    np.testing.assert_allclose(iqm, [metrics.aggregate_iqm(r) for r in resampled], atol=1e-13)
    means = np.stack([statistics.resampled_mean(scores[:, [t]], w)[0] for t, w in enumerate(weights)])
    np.testing.assert_allclose(means.mean(axis=0), [metrics.aggregate_mean(r) for r in resampled], atol=1e-13)
    np.testing.assert_allclose(np.median(means, axis=0), [metrics.aggregate_median(r) for r in resampled], atol=1e-13)


def test_independent_intervals_equal_rliables(rliable):
    library, metrics = rliable
    scores = matrix(1)
    functions = [getattr(metrics, f"aggregate_{name}") for name in AGGREGATES]
    np.random.seed(0)
    _, expected = library.get_interval_estimates(
        {"x": scores}, lambda x: np.array([f(x) for f in functions]), reps=8000
    )
    bootstrap = Bootstrap(50_000, joint=False, expand=False)
    found = statistics.aggregates(independent_samples(scores, bootstrap), bootstrap, 10)
    for column, name in enumerate(AGGREGATES):
        low, high = expected["x"][:, column]
        interval = getattr(found, name)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.04 * (high - low))


def test_probability_of_improvement_equals_rliables(rliable):
    x, y = np.round(matrix(2, 10), 1), np.round(matrix(3, 7), 1)  # with ties
    found = np.mean([statistics.probability_of_improvement(a, b) for a, b in zip(x.T, y.T, strict=True)])
    assert found == pytest.approx(rliable[1].probability_of_improvement(x, y), abs=1e-13)
    assert statistics.probability_of_improvement(x[:, 0], x[:, 0]) == 0.5


def test_resampled_improvement_equals_rliables_on_its_own_draws(rliable):
    library, metrics = rliable
    x, y = np.round(matrix(2, 10, 3), 1), np.round(matrix(3, 7, 3), 1)
    np.random.seed(5)
    drawn = [library.StratifiedIndependentBootstrap(x, y).update_indices()[0] for _ in range(50)]
    expected = [metrics.probability_of_improvement(x[a], y[b]) for a, b in drawn]
    indices_x, indices_y = np.stack([a[0] for a, _ in drawn]), np.stack([b[0] for _, b in drawn])
    found = np.mean(
        [
            statistics.resampled_improvement(
                x[:, t], y[:, t], counts(indices_x[:, :, t], 10), counts(indices_y[:, :, t], 7)
            )
            for t in range(3)
        ],
        axis=0,
    )
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_performance_profile_equals_rliables(rliable):
    scores, levels = matrix(4), np.linspace(-0.2, 1.2, 20)
    np.random.seed(0)
    points, intervals = rliable[0].create_performance_profile({"x": scores}, levels, reps=2000)
    bootstrap = Bootstrap(50_000, joint=False, expand=False)
    found = statistics.performance_profile(independent_samples(scores, bootstrap), levels, bootstrap, 10)
    np.testing.assert_allclose(found.estimate, points["x"], atol=1e-13)
    np.testing.assert_allclose(found.low, intervals["x"][0], atol=1 / 80 + 1e-9)
    np.testing.assert_allclose(found.high, intervals["x"][1], atol=1 / 80 + 1e-9)


def test_profile_of_shared_and_of_own_weights_agree():
    scores, bootstrap = matrix(5), Bootstrap(500)
    shared = bootstrap.weights(range(10))
    one = statistics.performance_profile([Sample(c, shared) for c in scores.T], [0.3, 0.6], bootstrap, 10)
    many = statistics.performance_profile([Sample(c, shared.copy()) for c in scores.T], [0.3, 0.6], bootstrap, 10)
    np.testing.assert_allclose([one.low, one.high], [many.low, many.high])


def test_profile_of_one_seed_has_no_interval():
    bootstrap = Bootstrap(10)
    profile = statistics.performance_profile([Sample(np.array([0.5]), bootstrap.weights([0]))], [0.4], bootstrap, 1)
    assert profile.estimate.tolist() == [1.0]
    assert profile.low is None
    assert profile.high is None


def test_aggregates_of_nothing_are_refused():
    with pytest.raises(ValueError, match="at least one task"):
        statistics.aggregates([], Bootstrap(10), 5)


def test_ranks_share_ties():
    values = np.array([[3.0, 1, np.nan], [1.0, 1, 0], [2.0, 1, 1]])
    np.testing.assert_array_equal(statistics.ranks(values), [[1, 2, np.nan], [3, 2, 2], [2, 2, 1]])
