"""The test for negative transfer: exact sign flips per task, Holm over tasks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tlbench.analysis.curves import BoolArray, FloatArray

MAX_EXACT = 30
"""Most paired differences for which the test is exact (two halves of 2^15 sums)."""
MONTE_CARLO_DRAWS = 100_000


def _signed_sums(magnitudes: FloatArray) -> FloatArray:
    """All 2^n sums of +-magnitudes."""
    sums = np.zeros(1)
    for value in magnitudes:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def sign_flip_p_value(differences: npt.ArrayLike) -> float:
    """Exact one-sided sign-flip (paired permutation) test of "the mean difference is below 0".

    Under the null hypothesis each difference is as likely to have either sign. The p-value is the share of all 2^n sign
    patterns whose sum is at or below the observed one; it is counted without enumerating all of them (sorted sums of
    one half are searched for each sum of the other). Beyond 30 differences it is the seeded Monte Carlo form,
    with 100,000 patterns and the observed one.

    Args:
        differences: Paired differences AUC_T - AUC_C, one per independent unit, ``[n]``.

    Returns:
        A p-value in [2^-n, 1].

    Raises:
        ValueError: If there is no difference, or one that is not finite.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size == 0 or not np.isfinite(d).all():
        raise ValueError(f"the sign-flip test takes a row of finite differences, got shape {d.shape}")
    magnitudes = np.abs(d)
    tolerance = 1e-12 * float(magnitudes.sum())
    limit = float(d.sum()) + tolerance
    if d.size > MAX_EXACT:
        signs = np.random.default_rng(0).integers(0, 2, size=(MONTE_CARLO_DRAWS, d.size), dtype=np.int8)
        sums = 2 * (signs @ magnitudes) - magnitudes.sum()
        return float(1 + (sums <= limit).sum()) / (1 + MONTE_CARLO_DRAWS)
    half = d.size // 2
    left, right = _signed_sums(magnitudes[:half]), np.sort(_signed_sums(magnitudes[half:]))
    at_or_below = np.searchsorted(right, limit - left, side="right")
    return float(at_or_below.sum()) / 2.0**d.size


def negative_p_value(
    differences: npt.ArrayLike, seeds: npt.ArrayLike, expert_seeds: npt.ArrayLike | None = None
) -> float:
    """The p-value of negative transfer on a task: the sign-flip test on the mean difference per run seed.

    Where experts are crossed with run seeds, neither factor's means are independent: those per expert share the
    controls, those per run seed the experts. The test is made with both, and the larger p-value counts.

    Args:
        differences: Paired differences AUC_T - AUC_C, ``[R]``.
        seeds: Run seed of each row, ``[R]``.
        expert_seeds: Expert seed of each row, ``[R]``, where experts are crossed with run seeds.

    Returns:
        A p-value in [2^-n, 1], n the number of levels of the rarer factor.

    Raises:
        ValueError: If there is no difference, or one that is not finite.
    """
    d = np.asarray(differences, dtype=np.float64)
    factors = [np.asarray(f) for f in (seeds, expert_seeds) if f is not None]
    return max(sign_flip_p_value(_means(d, factor)) for factor in factors)


def _means(d: FloatArray, factor: npt.NDArray[np.int_]) -> FloatArray:
    labels = np.unique(factor, return_inverse=True)[1]
    return np.bincount(labels, weights=d) / np.bincount(labels)


def holm(p_values: npt.ArrayLike, alpha: float = 0.05) -> BoolArray:
    """Holm's step-down test (1979): which hypotheses are rejected with a family-wise error of at most `alpha`.

    Args:
        p_values: One per hypothesis, ``[m]``; may be empty.
        alpha: Family-wise error rate.

    Returns:
        Rejected or not, ``[m]``.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    passed = p[order] <= alpha / np.arange(p.size, 0, -1)
    rejected = np.zeros(p.size, dtype=np.bool_)
    rejected[order] = np.logical_and.accumulate(passed)
    return rejected


def can_reject(units: npt.ArrayLike, alpha: float = 0.05) -> BoolArray:
    """Which tasks have enough seeds to pass: those that Holm rejects if every p-value is the least possible, 2^-n.

    Args:
        units: Number of independent units of each task, ``[m]``.
        alpha: Family-wise error rate.

    Returns:
        False marks "too few seeds", ``[m]``.
    """
    return holm(np.exp2(-np.asarray(units, dtype=np.float64)), alpha)
