"""Resampled means, interquartile means, probabilities of improvement and ranks, and rliable's aggregates built on them.

All work on multiplicities (`tlbench.analysis.bootstrap`) instead of copied data: means are matrix products, trimmed
means are clipped cumulative counts of values that are sorted once. Definitions are those of Agarwal et al., "Deep RL at
the Edge of the Statistical Precipice" (NeurIPS 2021), and of its library rliable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlbench.analysis.bootstrap import CHUNK, Bootstrap, CountArray, Interval
from tlbench.analysis.curves import FloatArray
from tlbench.analysis.metrics import interquartile_mean

PRODUCT_SIZE = 2**18
"""Multiplications in one matrix product: below the size at which BLAS starts threads, which slow each other down."""


def _chunked(
    function: Callable[[slice], FloatArray], repetitions: int, shape: tuple[int, ...] = (), chunk: int = CHUNK
) -> FloatArray:
    out = np.empty((*shape, repetitions))
    for start in range(0, repetitions, chunk):
        part = slice(start, min(start + chunk, repetitions))
        out[..., part] = function(part)
    return out


def resampled_mean(values: FloatArray, weights: CountArray) -> FloatArray:
    """Mean of each resample.

    Args:
        values: One row per run, ``[R, Q]``.
        weights: Multiplicities, ``[R, repetitions]``.

    Returns:
        Replicates ``[Q, repetitions]``; NaN where a resample holds no run.
    """

    def part(chunk: slice) -> FloatArray:
        w = weights[:, chunk].astype(np.float64)
        total = w.sum(axis=0)
        sums = transposed @ w
        sums /= np.where(total > 0, total, np.nan)
        return np.asarray(sums)

    transposed = np.ascontiguousarray(values.T)
    chunk = max(256, min(CHUNK, PRODUCT_SIZE // max(1, values.size)))
    return _chunked(part, weights.shape[1], (values.shape[1],), chunk)


def resampled_iqm(values: FloatArray, weights: CountArray) -> FloatArray:
    """Interquartile mean of each resample (`tlbench.analysis.metrics.interquartile_mean` of the repeated values).

    Args:
        values: ``[N]``.
        weights: Multiplicities, ``[N, repetitions]``.

    Returns:
        Replicates ``[repetitions]``; NaN where a resample is empty.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    steps = np.diff(ordered)

    def part(chunk: slice) -> FloatArray:
        drawn = weights[order, chunk]
        bound = int(np.iinfo(drawn.dtype).max) * drawn.shape[0]
        kept = drawn.astype(np.uint16 if bound < 2**16 else np.uint32)
        for row in range(1, len(kept)):
            kept[row] += kept[row - 1]
        total = kept[-1].copy()
        cut = total // 4
        top = total - cut
        np.clip(kept, cut, top, out=kept)
        size = (top - cut).astype(np.float64)
        operands: list[Any] = [steps, kept[:-1]]
        inner = np.einsum("n,nb->b", *operands)  # BLAS would start threads for this
        sums = top * ordered[-1] - cut * ordered[0] - inner
        return np.asarray(sums / np.where(size > 0, size, np.nan))

    return _chunked(part, weights.shape[1])


def improvement_matrix(x: FloatArray, y: FloatArray) -> FloatArray:
    """Which pairs improve: 1 where x > y, half for ties, ``[Rx, Ry]``."""
    return np.asarray((x[:, None] > y) + 0.5 * (x[:, None] == y), dtype=np.float64)


def probability_of_improvement(x: FloatArray, y: FloatArray) -> float:
    """Probability that a random run of X beats a random run of Y, unpaired (Mann-Whitney's U / (n_x n_y))."""
    return float(improvement_matrix(x, y).mean())


def resampled_improvement(x: FloatArray, y: FloatArray, weights_x: CountArray, weights_y: CountArray) -> FloatArray:
    """Probability of improvement in each resample; values ``[R]``, multiplicities ``[R, repetitions]``."""
    pairs = improvement_matrix(x, y)

    def part(chunk: slice) -> FloatArray:
        wx, wy = weights_x[:, chunk].astype(np.float64), weights_y[:, chunk].astype(np.float64)
        total = wx.sum(axis=0) * wy.sum(axis=0)
        return np.asarray(((pairs.T @ wx) * wy).sum(axis=0) / np.where(total > 0, total, np.nan))

    return _chunked(part, weights_x.shape[1], chunk=max(256, min(CHUNK, PRODUCT_SIZE // pairs.size)))


@dataclass(frozen=True)
class Sample:
    """Values of one method on one task with their multiplicities in each resample.

    Attributes:
        values: ``[R]``.
        weights: ``[R, repetitions]``.
    """

    values: FloatArray
    weights: CountArray


@dataclass(frozen=True)
class Aggregates:
    """rliable's aggregates over all runs and tasks of one method.

    Attributes:
        iqm: Interquartile mean of all runs of all tasks, pooled.
        median: Median over tasks of the mean over runs.
        mean: Mean over tasks of the mean over runs.
        optimality_gap: 1 - mean over tasks and runs of min(x, 1).
    """

    iqm: Interval
    median: Interval
    mean: Interval
    optimality_gap: Interval


def aggregates(samples: Sequence[Sample], bootstrap: Bootstrap, n: int) -> Aggregates:
    """Pooled interquartile mean, median, mean and optimality gap with intervals.

    Args:
        samples: One per task.
        bootstrap: Source of the multiplicities.
        n: Number of independent units.

    Raises:
        ValueError: If there is no task.
    """
    if not samples:
        raise ValueError("aggregates need at least one task")
    pooled = np.concatenate([s.values for s in samples])
    means = np.array([s.values.mean() for s in samples])
    gap = float(1 - np.mean([np.minimum(s.values, 1).mean() for s in samples]))
    columns = [np.stack([s.values, np.minimum(s.values, 1)], axis=1) for s in samples]
    resampled = np.stack([resampled_mean(c, s.weights) for c, s in zip(columns, samples, strict=True)])
    iqm = resampled_iqm(pooled, np.concatenate([s.weights for s in samples]))
    points = [interquartile_mean(pooled), float(np.median(means)), float(means.mean()), gap]
    replicates = np.stack(
        [iqm, np.median(resampled[:, 0], axis=0), resampled[:, 0].mean(axis=0), 1 - resampled[:, 1].mean(axis=0)]
    )
    return Aggregates(*bootstrap.intervals(points, replicates, n))


@dataclass(frozen=True, eq=False)
class Profile:
    """Performance profile: the share of runs with an AUC above each level, averaged over tasks.

    Attributes:
        levels: ``[L]``.
        estimate: Share of runs above each level, ``[L]``.
        low: Lower ends of pointwise intervals, ``[L]``; None with one seed.
        high: Upper ends, likewise.
    """

    levels: FloatArray
    estimate: FloatArray
    low: FloatArray | None
    high: FloatArray | None


def performance_profile(samples: Sequence[Sample], levels: npt.ArrayLike, bootstrap: Bootstrap, n: int) -> Profile:
    """Performance profile (rliable's score distribution) with pointwise intervals.

    Args:
        samples: One per task.
        levels: AUC levels, ``[L]``.
        bootstrap: Source of the multiplicities.
        n: Number of independent units.
    """
    taus = np.asarray(levels, dtype=np.float64)
    above = [(s.values[:, None] > taus).astype(np.float64) for s in samples]
    estimate = np.mean([a.mean(axis=0) for a in above], axis=0)
    if n < 2:
        return Profile(taus, estimate, None, None)
    groups: dict[int, tuple[CountArray, FloatArray]] = {}  # tasks that share their multiplicities share a product
    for a, s in zip(above, samples, strict=True):
        previous = groups[id(s.weights)][1] if id(s.weights) in groups else 0.0
        groups[id(s.weights)] = (s.weights, previous + a / len(samples))
    ends = np.empty((2, taus.size))
    for start in range(0, taus.size, 16):  # bounds memory: 16 levels at once
        part = slice(start, start + 16)
        replicates = np.zeros((estimate[part].size, bootstrap.repetitions))
        for weights, total in groups.values():
            replicates += resampled_mean(total[:, part], weights)
        for column, interval in enumerate(bootstrap.intervals(estimate[part], replicates, n)):
            ends[:, start + column] = (
                np.nan if interval.low is None else interval.low,
                np.nan if interval.high is None else interval.high,
            )
    return Profile(taus, estimate, ends[0], ends[1])


def ranks(values: FloatArray) -> FloatArray:
    """Ranks of methods from the highest value (1) down; tied methods share the mean of their ranks.

    Args:
        values: One row per method, ``[M, N]``.

    Returns:
        Ranks ``[M, N]``; NaN where the value is NaN.
    """

    def part(chunk: slice) -> FloatArray:
        block = values[:, chunk]
        higher = np.zeros(block.shape)
        for row in block:
            higher += (row > block) + 0.5 * (row == block)
        return np.where(np.isnan(block), np.nan, higher + 0.5)

    return _chunked(part, values.shape[1], (values.shape[0],))
