import numpy as np
import pytest
from scipy import stats

from tlbench.analysis.bootstrap import CHUNK, Bootstrap, Interval, _quantile, tail_level


def test_tail_level_is_expanded_for_small_n():
    t = stats.t.ppf(0.975, 9)
    assert tail_level(10) == pytest.approx(stats.norm.cdf(-t * np.sqrt(10 / 9)))
    assert tail_level(10) == pytest.approx(0.0086, abs=1e-4)
    assert tail_level(10_000) == pytest.approx(0.025, abs=1e-4)
    assert tail_level(10, expand=False) == pytest.approx(0.025)
    assert tail_level(5, confidence=0.9) > tail_level(5)


@pytest.mark.parametrize(("n", "confidence"), [(1, 0.95), (0, 0.95), (5, 1.0), (5, 0.0)])
def test_tail_level_refuses(n, confidence):
    with pytest.raises(ValueError, match="interval needs"):
        tail_level(n, confidence)


@pytest.mark.parametrize(("repetitions", "seed"), [(0, 0), (10, -1)])
def test_bad_settings_are_refused(repetitions, seed):
    with pytest.raises(ValueError, match="repetitions"):
        Bootstrap(repetitions, seed)


@pytest.mark.parametrize("n", [1, 2, 10, 300])
def test_every_resample_draws_n_of_n_uniformly(n):
    counts = Bootstrap(CHUNK + 17).counts(range(n))
    assert counts.shape == (n, CHUNK + 17)
    assert (counts.sum(axis=0) == n).all()
    np.testing.assert_allclose(counts.mean(axis=1), 1, atol=6 * np.sqrt(1 / CHUNK))
    if n > 1:
        np.testing.assert_allclose(counts.var(axis=1).mean(), 1 - 1 / n, rtol=0.05)


def test_draws_repeat_with_the_seed_and_differ_between_seeds():
    first, again, other = (Bootstrap(100, seed).counts(range(10)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_draws_depend_only_on_the_set_of_seeds():
    bootstrap = Bootstrap(100)
    bootstrap.counts([90, 91, 92])
    weights = bootstrap.weights([2, 0, 1])
    assert np.array_equal(weights, Bootstrap(100).weights([0, 1, 2])[[2, 0, 1]])
    assert not np.array_equal(Bootstrap(100).counts([5, 6, 7]), Bootstrap(100).counts([0, 1, 2]))


def test_a_joint_draw_serves_all_tasks_and_an_independent_one_does_not():
    joint, independent = Bootstrap(100), Bootstrap(100, joint=False)
    assert np.array_equal(joint.weights(range(5), stratum="a"), joint.weights(range(5), stratum="b"))
    a, b = independent.weights(range(5), stratum="a"), independent.weights(range(5), stratum="b")
    assert not np.array_equal(a, b)
    assert np.array_equal(a, independent.weights(range(5), stratum="a"))


def test_a_task_that_lacks_seeds_shares_the_draw_of_those_it_has():
    bootstrap = Bootstrap(100)
    full = bootstrap.weights(range(5))
    assert np.array_equal(bootstrap.weights([1, 3], universe=range(5)), full[[1, 3]])
    independent = Bootstrap(100, joint=False)
    assert (independent.weights([1, 3], universe=range(5)).sum(axis=0) == 2).all()


def test_crossed_experts_are_drawn_as_a_second_factor():
    bootstrap = Bootstrap(2000)
    seeds, experts = np.repeat(range(5), 3), np.tile(range(3), 5)
    weights = bootstrap.weights(seeds, experts)
    seed_counts, expert_counts = bootstrap.counts(range(5)), bootstrap.counts(range(3), "expert")
    assert np.array_equal(weights, seed_counts[seeds].astype(int) * expert_counts[experts])
    assert (weights.sum(axis=0) == 15).all()
    correlation = np.corrcoef(seed_counts[0], bootstrap.counts(range(5), "expert")[0])[0, 1]
    assert abs(correlation) < 0.1


def test_interval_is_the_percentile_at_the_expanded_level():
    replicates = np.random.default_rng(0).normal(size=5001)
    level = tail_level(10)
    found = Bootstrap(5001).interval(0.5, replicates, 10)
    assert found == Interval(0.5, *np.quantile(replicates, [level, 1 - level]))


def test_one_unit_has_no_interval():
    assert Bootstrap(3).interval(1.0, np.ones(3), 1) == Interval(1.0, None, None)


def test_replicates_without_data_are_left_out():
    replicates = np.array([np.nan, 1.0, 2.0, 3.0, np.nan])
    found = Bootstrap(5).interval(2.0, replicates, 10)
    assert (found.low, found.high) == (1.0, 3.0)
    assert Bootstrap(2).interval(2.0, np.full(2, np.nan), 10) == Interval(2.0)


def test_unbounded_replicates_give_unbounded_ends_and_no_nan():
    found = Bootstrap(4).interval(2.0, np.array([1.0, 2.0, np.inf, np.inf]), 10)
    assert (found.low, found.high) == (1.0, np.inf)


@pytest.mark.parametrize("level", [0.0, 0.0166, 0.025, 0.5, 0.97499, 1.0])
@pytest.mark.parametrize("size", [1, 2, 10, 4999])
def test_quantiles_are_numpys(level, size):
    values = np.random.default_rng(size).normal(size=(3, size))
    np.testing.assert_array_equal(_quantile(np.sort(values, axis=1), level), np.quantile(values, level, axis=1))
