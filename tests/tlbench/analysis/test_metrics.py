import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tlbench.analysis import metrics

FIVE = np.linspace(0, 1, 5)
RISING = np.array([0, 0.5, 1, 1, 1])  # trapezoids 0.25, 0.75, 1, 1
finite = st.floats(-5, 5, allow_nan=False)


def test_auc_by_hand():
    assert metrics.auc(RISING, FIVE) == pytest.approx(0.75)


def test_auc_on_uneven_fractions():
    assert metrics.auc([0, 1, 1], [0, 0.2, 1]) == pytest.approx(0.1 + 0.8)


def test_auc_of_constant_curves():
    assert metrics.auc(np.full((2, 5), 0.3), FIVE) == pytest.approx([0.3, 0.3])


def test_auc_clips_the_mean_and_not_the_points():
    assert metrics.auc([[3.0] * 5, [-4.0] * 5], FIVE).tolist() == [1.2, -1.0]
    dip = [-4, 1, 1, 1, 1]  # mean of -1.5, 1, 1, 1; clipping points would give 0.75
    assert metrics.auc(dip, FIVE) == pytest.approx(0.375)


@given(arrays(float, (3, 5), elements=finite))
def test_auc_is_within_its_range_and_between_extremes(g):
    auc = metrics.auc(g, FIVE)
    assert (auc >= -1).all()
    assert (auc <= 1.2).all()
    inside = np.clip(g.min(axis=1), -1, 1.2) - 1e-12 <= auc
    assert inside.all()
    assert (auc <= np.clip(g.max(axis=1), -1, 1.2) + 1e-12).all()


def test_jumpstart_is_the_difference_at_zero():
    assert metrics.jumpstart([[0.4, 9], [0.1, 9]], [[0.1, 0], [0.3, 0]]) == pytest.approx([0.3, -0.2])


def test_asymptotic_gain_uses_fractions_above_nine_tenths():
    fractions = np.linspace(0, 1, 51)  # 0.92, 0.94, ..., 1
    method = np.where(fractions > 0.91, 1.0, 100.0)[None]
    assert metrics.asymptotic_gain(method, np.zeros((1, 51)), fractions) == pytest.approx([1.0])


def test_asymptotic_gain_leaves_out_the_point_at_nine_tenths_itself():
    fractions = np.arange(11) / 10
    method = np.array([[0.0] * 9 + [50, 0.2]])
    assert metrics.asymptotic_gain(method, np.zeros((1, 11)), fractions) == pytest.approx([0.2])


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5], 5), ([1, 3], 2), ([0, 1, 2], 1), ([-100, 1, 3, 100], 2), ([9, 1, 2, 3, -50], 2), (range(10), 4.5)],
)
def test_interquartile_mean_by_hand(values, expected):
    assert metrics.interquartile_mean(values) == pytest.approx(expected)


def test_score_is_the_mean_over_tasks_of_interquartile_means():
    tasks = [np.array([0.2, 0.4, 0.6, -1.0]), np.array([1.0])]
    assert metrics.score(tasks) == pytest.approx(100 * (0.3 + 1.0) / 2)


def test_transfer_gain_is_untrimmed():
    method = [np.array([0.5, 0.5, 0.5, -1.0]), np.array([0.9])]
    control = [np.array([0.5, 0.5, 0.5, 0.5]), np.array([0.8])]
    assert metrics.transfer_gain(method, control) == pytest.approx(100 * (-0.375 + 0.1) / 2)


def test_depth_counts_only_tasks_that_got_worse():
    assert metrics.depth([0.4, -0.1, -0.3, 0.0]) == pytest.approx(-10)
    assert metrics.depth([0.4]) == 0


@pytest.mark.parametrize(
    ("method", "control", "shown"),
    [
        (0.5, 0.5, True),
        (0.5, 0.95, False),
        (0.5, 0.96, False),
        (0.05, 0.5, False),
        (0.5, 0.05, False),
        (-0.5, 0.5, False),
        (0.5, -0.5, False),
        (1.1, 0.94, True),
    ],
)
def test_domain_of_ratios(method, control, shown):
    assert metrics.ratio_domain(method, control) is shown


def test_ratios_by_hand():
    assert metrics.transfer_ratio(0.6, 0.4) == pytest.approx(1.5)
    assert metrics.contrast(0.6, 0.4) == pytest.approx(0.2)
    assert metrics.forward_transfer(0.6, 0.4) == pytest.approx(1 / 3)
    assert metrics.forward_transfer(0.2, 0.4) == pytest.approx(-1 / 3)


def test_ratios_of_resamples_outside_the_domain_are_unbounded_and_never_nan():
    assert metrics.transfer_ratio([0.5, -0.5, 0.0], [0.0, -0.1, 0.0]).tolist() == [np.inf, -np.inf, 0]
    assert metrics.forward_transfer([1.1, 0.9], [1.0, 1.0]).tolist() == [np.inf, -np.inf]


def test_time_to_threshold_is_the_last_of_three_points():
    returns = np.array([[0, 10, 80, 80, 80, 80]])
    times, reached = metrics.time_to_threshold(returns, np.linspace(0, 1, 6), 80)
    assert times == pytest.approx([0.8])
    assert reached.tolist() == [True]


def test_time_to_threshold_compares_the_mean_of_the_window():
    returns = np.array([[0, 70, 90, 80, 0, 0]])  # no point but one is far above; the mean of three is 80
    times, _ = metrics.time_to_threshold(returns, np.linspace(0, 1, 6), 80)
    assert times == pytest.approx([0.6])


def test_one_lucky_point_does_not_reach_the_threshold():
    times, reached = metrics.time_to_threshold([[0, 0, 100, 0, 0]], FIVE, 80)
    assert times.tolist() == [1.0]
    assert reached.tolist() == [False]


def test_never_reaching_is_censored_and_reaching_at_the_end_is_not():
    returns = [[0, 0, 0, 0, 0], [0, 0, 90, 90, 90]]
    times, reached = metrics.time_to_threshold(returns, FIVE, 80)
    assert times.tolist() == [1.0, 1.0]
    assert reached.tolist() == [False, True]
    assert metrics.restricted_mean(times) == 1
    assert metrics.share_reached(reached) == 0.5


def test_starting_above_the_threshold():
    times, reached = metrics.time_to_threshold([[90] * 5], FIVE, 80)
    assert times.tolist() == [0.5]
    assert reached.all()


def test_time_to_threshold_with_negative_returns():
    times, _ = metrics.time_to_threshold([[-500, -90, -90, -90, -90]], FIVE, -100)
    assert times.tolist() == [0.75]


def test_speed_up_is_above_one_when_the_method_is_faster():
    assert metrics.speed_up(0.25, 0.75) == pytest.approx(3)
    assert metrics.speed_up([0.0, 0.0, 0.5], [0.0, 0.5, 0.0]).tolist() == [1, np.inf, 0]


def test_convergence_needs_every_seed_at_the_highest_return():
    bins = [[10, 500, 500, 500], [10, 20, 500, 499], [10, 500, 500, 500]]
    assert metrics.timestep_to_convergence(bins, 500) == 0.75
    assert metrics.timestep_to_convergence(bins[:1], 500) == 0.5


def test_convergence_skips_bins_without_an_episode_and_may_never_come():
    assert metrics.timestep_to_convergence([[np.nan, 500], [500, 500]], 500) == 1.0
    assert metrics.timestep_to_convergence([[np.nan, 499.9]], 500) is None


def test_convergence_tolerates_rounding():
    assert metrics.timestep_to_convergence([[1000 - 1e-8]], 1000) == 1.0


def test_negative_share_counts_ties_half():
    assert metrics.negative_share([-0.1, 0.0, 0.2, 0.3]) == pytest.approx(1.5 / 4)
    assert metrics.negative_share([0.0, 0.0]) == 0.5


@pytest.mark.parametrize(("low", "expected"), [(None, False), (0.05, False), (0.051, True), (-1.0, False)])
def test_a_task_is_testable_with_its_whole_interval(low, expected):
    assert metrics.is_testable(low) is expected


def test_crossover_is_the_last_fraction_at_which_the_method_is_ahead():
    method, control = np.array([[5.0] * 11]), np.array([[0.0] * 8 + [9, 9, 9]])
    # Difference: 5 up to 0.7, then -4; smoothed over three points: 2 at 0.7, -1 at 0.8.
    assert metrics.crossover(method, control, np.arange(11) / 10) == pytest.approx(0.7)
    assert metrics.crossover(method, control, np.arange(11) / 10, window=1) == pytest.approx(0.7)


def test_crossover_uses_the_last_time_ahead():
    method, control = np.array([[1, -5, -5, -5, 3, 3, 3, -5, -5.0]]), np.zeros((1, 9))
    assert metrics.crossover(method, control, np.linspace(0, 1, 9), window=1) == 0.75


def test_crossover_when_ahead_to_the_end_never_ahead_or_equal():
    ones, zeros = np.ones((2, 5)), np.zeros((2, 5))
    assert metrics.crossover(ones, zeros, FIVE) == 1.0
    assert metrics.crossover(zeros, ones, FIVE) is None
    assert metrics.crossover(ones, ones, FIVE) is None


def test_crossover_averages_seeds_first():
    method = np.array([[4.0] * 5, [-2.0] * 5])
    assert metrics.crossover(method, np.zeros((2, 5)), FIVE) == 1.0


@given(arrays(float, (2, 8), elements=finite), arrays(float, (2, 8), elements=finite))
def test_crossover_is_none_or_a_grid_point(method, control):
    fractions = np.linspace(0, 1, 8)
    value = metrics.crossover(method, control, fractions)
    assert value is None or value in fractions.tolist()
