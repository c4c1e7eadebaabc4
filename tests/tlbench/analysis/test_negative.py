import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlbench.analysis import negative


def brute_force(d):
    d = np.asarray(d)
    signs = np.array(list(itertools.product([-1, 1], repeat=d.size)))
    return float(np.mean((signs * np.abs(d)).sum(axis=1) <= d.sum() + 1e-12 * np.abs(d).sum()))


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([-1.0], 1 / 2),
        ([1.0], 1.0),
        ([-1.0, -2.0, -3.0], 1 / 8),
        ([1.0, -2.0, -3.0], 2 / 8),
        ([-1.0, -1.0, 1.0], 4 / 8),
        ([0.0, 0.0, 0.0], 1.0),
        ([0.0, -1.0], 1 / 2),
        ([-0.01] * 10, 1 / 1024),
    ],
)
def test_sign_flip_by_hand(differences, expected):
    assert negative.sign_flip_p_value(differences) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9))
def test_sign_flip_equals_enumeration_with_ties(differences):
    assert negative.sign_flip_p_value(differences) == pytest.approx(brute_force(differences))


def test_sign_flip_has_its_level_under_the_null():
    rng = np.random.default_rng(1)
    p = np.array([negative.sign_flip_p_value(rng.standard_t(3, 8)) for _ in range(2000)])
    assert np.mean(p <= 0.05) < 0.065
    assert np.mean(p <= 0.05) > 0.03


def test_sign_flip_with_many_seeds_is_seeded_and_close_to_normal():
    d = np.random.default_rng(0).normal(-0.2, 1, 200)
    p = negative.sign_flip_p_value(d)
    assert p == negative.sign_flip_p_value(d)
    from scipy.stats import norm

    assert p == pytest.approx(norm.cdf(d.sum() / np.sqrt((d**2).sum())), rel=0.2, abs=2e-4)


def test_the_exact_and_the_monte_carlo_form_agree(monkeypatch):
    d = np.random.default_rng(0).normal(-0.2, 1, 24)
    exact = negative.sign_flip_p_value(d)
    monkeypatch.setattr(negative, "MAX_EXACT", 5)
    assert negative.sign_flip_p_value(d) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("bad", [[], [np.nan], [[1.0, 2.0]], [np.inf, 1.0]])
def test_sign_flip_refuses_bad_input(bad):
    with pytest.raises(ValueError, match="sign-flip"):
        negative.sign_flip_p_value(bad)


def test_holm_by_hand():
    # Sorted: 0.01 <= 0.05/4, 0.013 <= 0.05/3, 0.03 > 0.05/2: stop.
    assert negative.holm([0.03, 0.01, 0.04, 0.013]).tolist() == [False, True, False, True]
    assert negative.holm([0.02, 0.03]).tolist() == [True, True]
    assert negative.holm([0.03, 0.03]).tolist() == [False, False]
    assert negative.holm([]).tolist() == []
    assert negative.holm([0.05]).tolist() == [True]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_bonferroni_and_no_correction(p):
    rejected = negative.holm(p)
    values = np.asarray(p)
    assert (rejected | ~(values <= 0.05 / len(p))).all()
    assert (~rejected | (values <= 0.05)).all()


def test_too_few_seeds():
    assert not negative.can_reject([4]).any()  # 1/16 > 0.05
    assert negative.can_reject([5]).all()  # 1/32
    assert not negative.can_reject([7] * 7).any()  # 1/128 > 0.05/7
    assert negative.can_reject([8] * 7).all()
    assert negative.can_reject([]).size == 0


def test_a_task_with_fewer_seeds_passes_after_the_others():
    assert negative.can_reject([10, 10, 5]).tolist() == [True, True, True]
    assert negative.can_reject([10, 10, 4]).tolist() == [True, True, False]


def test_one_difference_per_run_seed():
    d = [1.0, -3, -5, -7, -9, -11]
    assert negative.negative_p_value(d, [4, 2, 0, 1, 3, 5]) == negative.sign_flip_p_value(d) == 2 / 64


def test_crossed_experts_are_tested_both_ways_and_the_larger_p_value_counts():
    d, seeds, experts = -np.array([1.0, 3, 5, 7, 9, 11]), [0, 0, 1, 1, 2, 2], [8, 9] * 3
    assert negative.negative_p_value(d, seeds, experts) == negative.sign_flip_p_value([-5, -7]) == 1 / 4
    d = -np.array([1.0, 3, -8, -10, 9, 11])  # per seed -2, 9, -10; per expert -2 / 3, -4 / 3
    assert negative.negative_p_value(d, seeds, experts) == negative.sign_flip_p_value([-2, 9, -10]) == 3 / 8


@pytest.mark.parametrize(("seeds", "experts"), [(10, 6), (5, 6), (20, 5)])
def test_shared_controls_and_experts_make_no_negative_transfer(seeds, experts):
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(seeds), experts), np.tile(np.arange(experts), seeds)
    found = 0
    for _ in range(200):
        controls, noise = rng.normal(size=(seeds, 1)), rng.normal(size=(seeds, experts))
        found += negative.negative_p_value((noise - controls).ravel(), *rows) <= 0.05
    assert found <= 20  # of 200; the means per expert alone find 26 to 45
