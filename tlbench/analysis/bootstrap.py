"""One seeded, vectorised bootstrap for every interval.

A resample is kept as counts (how often each seed was drawn), not as copied data; `tlbench.analysis.statistics` turns
counts into replicates of means, trimmed means and probabilities. Runs with the same seed share the expert, the control
and the random stream on every task, so the seed index is drawn once per repetition for all tasks, arms and methods.
With ``joint=False`` each (method, task) draws on its own, which is rliable's stratified scheme (Agarwal et al. 2021).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from tlbench.analysis.curves import FloatArray

CountArray = npt.NDArray[np.unsignedinteger[Any]]

CHUNK = 8192
"""Repetitions processed at once: temporaries stay in the cache and do not grow with the number of repetitions."""


@dataclass(frozen=True)
class Interval:
    """A point estimate and its interval.

    Attributes:
        estimate: Value on all the data.
        low: Lower end; None where there is no interval (one seed); minus infinity where it is unbounded.
        high: Upper end, likewise.
    """

    estimate: float
    low: float | None = None
    high: float | None = None


def tail_level(n: int, confidence: float = 0.95, expand: bool = True) -> float:
    """Share of the bootstrap distribution that is cut off on either side.

    A percentile interval is too narrow for small n (it lacks the factor n / (n - 1) of the variance and Student's
    tails); the expanded level is Phi(-t_{n-1} sqrt(n / (n - 1))) (Hesterberg, "What Teachers Should Know About the
    Bootstrap", 2015).

    Args:
        n: Number of independent units, at least 2.
        confidence: Nominal coverage.
        expand: False gives the plain percentile interval's (1 - confidence) / 2.

    Raises:
        ValueError: If `n` is below 2 or `confidence` is not between 0 and 1.
    """
    if n < 2 or not 0 < confidence < 1:
        raise ValueError(f"an interval needs n >= 2 and 0 < confidence < 1, got n={n}, confidence={confidence}")
    plain = (1 - confidence) / 2
    if not expand:
        return plain
    t = float(special.stdtrit(n - 1, 1 - plain))
    return float(special.ndtr(-t * math.sqrt(n / (n - 1))))


class Bootstrap:
    """Draws resamples and turns replicates into intervals.

    The draws of a set of labels depend only on the seed, the number of repetitions and that set: a method's intervals
    do not change with the methods that it is shown beside, and methods with the same seeds share their draws.

    Attributes:
        repetitions: Number of resamples.
        seed: Seed of the draws.
        confidence: Nominal coverage.
        joint: Whether one draw serves all tasks and methods; False draws for each stratum on its own.
        expand: Whether levels are expanded for small n.
    """

    def __init__(
        self,
        repetitions: int = 50_000,
        seed: int = 0,
        confidence: float = 0.95,
        joint: bool = True,
        expand: bool = True,
    ) -> None:
        """Raises ValueError if `repetitions` is below 1 or `seed` is negative."""
        if repetitions < 1 or seed < 0:
            raise ValueError(f"repetitions must be positive and seed not negative, got {repetitions} and {seed}")
        self.repetitions = repetitions
        self.seed = seed
        self.confidence = confidence
        self.joint = joint
        self.expand = expand
        self._cache: dict[str, CountArray] = {}

    def counts(self, labels: Sequence[int], factor: str = "seed", stratum: str = "") -> CountArray:
        """How often each label is drawn in each repetition, n draws out of n.

        Args:
            labels: Distinct labels (seeds), ``[n]``.
            factor: Name of what is resampled; different factors are independent.
            stratum: Name of what the draw is for; ignored by a joint bootstrap.

        Returns:
            Counts ``[n, repetitions]``; each column sums to n.
        """
        key = repr((self.seed, factor, tuple(int(x) for x in labels), "" if self.joint else stratum))
        if key not in self._cache:
            rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big"))
            drawn = _draw_counts(rng, len(labels), self.repetitions)
            if not self.joint:
                return drawn
            drawn.setflags(write=False)
            self._cache[key] = drawn
        return self._cache[key]

    def weights(
        self,
        seeds: npt.ArrayLike,
        experts: npt.ArrayLike | None = None,
        universe: Sequence[int] | None = None,
        stratum: str = "",
    ) -> CountArray:
        """Multiplicity of each row in each resample.

        Where experts are crossed with run seeds, both factors are drawn and a row's multiplicity is the product (the
        crossed, or "pigeonhole", bootstrap: Owen, Annals of Applied Statistics 2007).

        Args:
            seeds: Run seed of each row, ``[R]``.
            experts: Expert seed of each row, ``[R]``, where they are a factor of their own.
            universe: All seeds of the method's suite; drawn seeds that this task lacks weigh nothing. Default: the
                task's own. Ignored by a bootstrap that is not joint.
            stratum: Name of the task (and method), for a bootstrap that is not joint.

        Returns:
            Multiplicities ``[R, repetitions]``.
        """
        weights = self._rows(seeds, "seed", universe, stratum)
        if experts is not None:
            weights = weights * self._rows(experts, "expert", None, stratum).astype(np.uint32)
        return weights

    def _rows(self, labels: npt.ArrayLike, factor: str, universe: Sequence[int] | None, stratum: str) -> CountArray:
        values = np.asarray(labels)
        pool = np.unique(values if universe is None or not self.joint else np.asarray(universe))
        counts = self.counts(pool.tolist(), factor, stratum)
        index = np.searchsorted(pool, values)
        return counts if np.array_equal(index, np.arange(pool.size)) else counts[index]

    def intervals(self, estimates: npt.ArrayLike, replicates: FloatArray, n: int) -> list[Interval]:
        """Percentile intervals of several quantities.

        Replicates that are NaN (none of a task's seeds was drawn) are left out.

        Args:
            estimates: Point estimates, ``[Q]``.
            replicates: Bootstrap replicates, ``[Q, repetitions]``.
            n: Number of independent units; below 2 there is no interval.
        """
        points = np.asarray(estimates, dtype=np.float64).tolist()
        if n < 2:
            return [Interval(point) for point in points]
        level = tail_level(n, self.confidence, self.expand)
        finite = np.isfinite(replicates).all(axis=1)
        ends = np.full((len(points), 2), np.nan)
        if finite.any():
            ordered = np.sort(replicates[finite], axis=1)  # vectorised, unlike the partition of np.quantile
            ends[finite] = np.stack([_quantile(ordered, level), _quantile(ordered, 1 - level)], axis=1)
        for row in np.flatnonzero(~finite):
            kept = replicates[row][~np.isnan(replicates[row])]
            if kept.size:  # no interpolation between infinities
                ends[row] = (
                    np.quantile(kept, level, method="lower"),
                    np.quantile(kept, 1 - level, method="higher"),
                )
        return [
            Interval(point) if math.isnan(low) else Interval(point, low, high)
            for point, (low, high) in zip(points, ends.tolist(), strict=True)
        ]

    def interval(self, estimate: float, replicates: FloatArray, n: int) -> Interval:
        """The same for one quantity, replicates ``[repetitions]``."""
        return self.intervals([estimate], replicates[None], n)[0]


def _quantile(ordered: FloatArray, level: float) -> FloatArray:
    """``np.quantile`` of each row of values in ascending order, bit for bit."""
    place = level * (ordered.shape[1] - 1)
    below = math.floor(place)
    low, high = ordered[:, below], ordered[:, min(below + 1, ordered.shape[1] - 1)]
    share, step = place - below, high - low
    found: FloatArray = high - step * (1 - share) if share >= 0.5 else low + step * share
    return found


def _draw_counts(rng: np.random.Generator, n: int, repetitions: int) -> CountArray:
    dtype = np.min_scalar_type(n)
    counts = np.empty((n, repetitions), dtype=dtype)
    for start in range(0, repetitions, CHUNK):
        width = min(CHUNK, repetitions - start)
        drawn = rng.integers(0, n, size=(n, width), dtype=np.uint8 if n <= 256 else np.uint32)
        for label in range(n):
            np.sum(drawn == label, axis=0, dtype=dtype, out=counts[label, start : start + width])
    return counts
