from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest

from tlbench.analysis.rerun_test import MAX_EXACT, Group, rerun_distance, rerun_test


def curves(rng: np.random.Generator, n: int, shift: float = 0.0, points: int = 10) -> np.ndarray:
    """Curves whose points hang together, as learning curves do."""
    return rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, points)) + shift


def test_by_hand() -> None:
    # standardised with mean 1, standard deviation 1: -1, -1, 1, 1 for the values 0, 0, 2, 2
    group = Group(np.array([[2.0]]), np.array([[0.0], [0.0], [2.0]]))
    found = rerun_test([group])
    assert found.statistic == pytest.approx(1 * 3 / 4 * (1 - (-1 / 3)) ** 2)
    assert (found.p_value, found.arrangements, found.exact) == (1.0, 4, True)
    assert rerun_distance(group, 0) == pytest.approx(found.statistic)


def test_against_a_plain_enumeration() -> None:
    rng = np.random.default_rng(0)
    groups = [Group(curves(rng, k, 1.0), curves(rng, n)) for k, n in ((2, 4), (1, 5))]
    every = []
    for group in groups:
        values = np.concatenate([group.reruns, group.recorded])
        z = (values - values.mean(axis=0)) / values.std(axis=0)
        k, m = len(group.reruns), len(values)
        distances = []
        for chosen in itertools.combinations(range(m), k):
            rest = [i for i in range(m) if i not in chosen]
            difference = z[list(chosen)].mean(axis=0) - z[rest].mean(axis=0)
            distances.append(k * (m - k) / m * np.mean(difference**2))
        every.append(distances)
    sums = np.array([a + b for a, b in itertools.product(*every)])
    found = rerun_test(groups)
    assert found.statistic == pytest.approx(sums[0])
    assert found.p_value == pytest.approx(np.mean(sums >= sums[0] - 1e-9))
    assert found.least_p_value == pytest.approx(np.mean(sums >= sums.max() - 1e-9))
    assert found.arrangements == comb(6, 2) * 6


def test_drawn_arrangements_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    groups = [Group(curves(rng, 2, 0.8), curves(rng, 8)) for _ in range(2)]
    exact = rerun_test(groups)
    more = [*groups, *(Group(curves(rng, 1), curves(rng, 9)) for _ in range(3))]
    assert not rerun_test(more).exact
    assert rerun_test(more) == rerun_test(more)
    constant = [Group(np.zeros((1, 3)), np.zeros((200, 3))) for _ in range(2)]  # adds nothing but arrangements
    drawn = rerun_test([*groups, *constant])
    assert (exact.exact, drawn.exact, drawn.arrangements) == (True, False, MAX_EXACT)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.01)


@pytest.mark.parametrize(("k", "n", "groups"), [(1, 9, 3), (2, 8, 2), (3, 10, 1)])
def test_false_alarms_and_power(k: int, n: int, groups: int) -> None:
    rng = np.random.default_rng(2)

    def rejected(shift: float, times: int) -> float:
        tests = (
            rerun_test([Group(curves(rng, k, shift), curves(rng, n)) for _ in range(groups)]) for _ in range(times)
        )
        return float(np.mean([test.conclusive and test.rejected for test in tests]))

    assert rejected(0.0, 1000) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert rejected(4.0, 100) >= 0.95
    assert rejected(-4.0, 100) >= 0.95


def test_false_alarms_where_tasks_hang_together() -> None:
    """Recorded runs that are the same in every task, the worst there can be: the level is 5 % no longer, but near."""
    rng = np.random.default_rng(3)
    alarms = []
    for _ in range(1500):
        shared = curves(rng, 10)
        groups = [Group(curves(rng, 1), np.delete(shared, task, axis=0)) for task in range(3)]
        alarms.append(rerun_test(groups).rejected)
    assert np.mean(alarms) <= 0.10


def test_too_few_runs_cannot_tell() -> None:
    apart = Group(np.full((1, 4), 100.0), np.arange(9.0)[:, None] + np.zeros(4))
    one = rerun_test([apart])
    assert (one.p_value, one.conclusive) == (pytest.approx(0.1), False)
    two = rerun_test([apart, apart])
    assert (two.p_value, two.conclusive, two.rejected) == (pytest.approx(0.01), True, True)


def test_equal_curves_never_reject() -> None:
    found = rerun_test([Group(np.ones((2, 3)), np.ones((8, 3)))])
    assert (found.statistic, found.p_value, found.conclusive) == (0.0, 1.0, False)


def test_what_cannot_be_tested() -> None:
    for groups in ([], [Group(np.ones((0, 3)), np.ones((2, 3)))], [Group(np.ones((1, 3)), np.full((2, 3), np.inf))]):
        with pytest.raises(ValueError, match=r"nothing to test|finite curves"):
            rerun_test(groups)
