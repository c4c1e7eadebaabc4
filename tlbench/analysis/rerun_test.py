"""The permutation test of verification: are curves that were run again draws from where the recorded ones came from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlbench.analysis.curves import FloatArray

ALPHA = 0.05
MAX_EXACT = 100_000
"""Most arrangements that are gone through one by one; beyond, as many are drawn."""
_CHUNK = 5_000
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Group:
    """Curves of one target under one configuration, exchangeable if the recorded ones are honest.

    Attributes:
        reruns: Mean returns of the runs that were run again, ``[k, P]``.
        recorded: Mean returns of recorded runs with other seeds, ``[n, P]``.
    """

    reruns: FloatArray
    recorded: FloatArray

    @property
    def arrangements(self) -> int:
        """In how many ways k of the k + n curves can be those that were run again."""
        return math.comb(len(self.reruns) + len(self.recorded), len(self.reruns))


@dataclass(frozen=True)
class RerunTest:
    """What came of the test.

    Attributes:
        statistic: S, the distance between re-runs and recorded runs, summed over groups.
        p_value: Share of arrangements whose S is at least as large.
        least_p_value: The least p-value that these curves could have given.
        arrangements: How many arrangements there are, or were drawn.
        exact: Whether all were gone through.
    """

    statistic: float
    p_value: float
    least_p_value: float
    arrangements: int
    exact: bool

    @property
    def conclusive(self) -> bool:
        """Whether it could have rejected at 0.05."""
        return self.least_p_value <= ALPHA

    @property
    def rejected(self) -> bool:
        """Whether the re-runs differ, at 0.05."""
        return self.p_value <= ALPHA


def rerun_test(groups: Sequence[Group]) -> RerunTest:
    """Permutation test of "the re-runs come from the distribution of the recorded runs".

    In each group, the returns at each evaluation point are standardised over all k + n curves (a point at which all are
    equal counts 0), and the distance is ``D = k n / (k + n) * mean over points of (mean of the re-runs - mean of the
    recorded runs)^2``. The statistic S is the sum of D over groups. Under the null hypothesis each choice of k among a
    group's k + n curves is equally likely to be the re-runs, independently between groups; the p-value is the share of
    these arrangements whose S is at least the observed one. All arrangements are gone through if there are at most
    100,000, else 100,000 are drawn, seeded, and the observed one is added.

    Args:
        groups: One per target instance (and configuration); each with at least one curve of either kind.

    Raises:
        ValueError: If there is no group, or one lacks curves of a kind, or holds a value that is not finite.
    """
    if not groups:
        raise ValueError("there is nothing to test")
    scaled = [_standardised(group) for group in groups]
    sizes = [len(group.reruns) for group in groups]
    statistic = sum(float(_distances(z, np.arange(k)[None])[0]) for z, k in zip(scaled, sizes, strict=True))
    limit = statistic * (1 - _TOLERANCE)
    total = math.prod(group.arrangements for group in groups)
    if total <= MAX_EXACT:
        sums = np.zeros(1)
        for z, k in zip(scaled, sizes, strict=True):
            sums = np.add.outer(sums, _all_distances(z, k)).ravel()
        least = float(np.mean(sums >= sums.max() * (1 - _TOLERANCE)))
        return RerunTest(statistic, float(np.mean(sums >= limit)), least, total, True)
    rng = np.random.default_rng(0)
    sums = np.sum([_drawn_distances(z, k, rng) for z, k in zip(scaled, sizes, strict=True)], axis=0)
    p_value = float(1 + np.sum(sums >= limit)) / (1 + MAX_EXACT)
    return RerunTest(statistic, p_value, 1 / (1 + MAX_EXACT), MAX_EXACT, False)


def rerun_distance(group: Group, index: int) -> float:
    """D of one re-run alone against the recorded runs of its group."""
    return float(
        _distances(_standardised(Group(group.reruns[index : index + 1], group.recorded)), np.zeros((1, 1), int))[0]
    )


def _standardised(group: Group) -> FloatArray:
    values = np.concatenate([np.asarray(part, dtype=np.float64) for part in (group.reruns, group.recorded)])
    if not len(group.reruns) or not len(group.recorded) or not np.isfinite(values).all():
        raise ValueError("a group needs finite curves of both kinds")
    centred = values - values.mean(axis=0)
    spread = np.sqrt(np.mean(centred**2, axis=0))
    flat = spread <= _TOLERANCE * np.abs(values).max(axis=0)
    return np.asarray(np.where(flat, 0.0, centred / np.where(flat, 1.0, spread)), dtype=np.float64)


def _distances(z: FloatArray, chosen: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> FloatArray:
    """D of each choice of re-runs, ``[A, k]`` rows of z ``[m, P]``, whose columns sum to 0."""
    m, k = len(z), chosen.shape[1]
    member = np.zeros((len(chosen), m))
    np.put_along_axis(member, chosen, 1.0, axis=1)
    # with sum(z) = 0, mean of k - mean of m - k is (sum of k) * m / (k (m - k))
    difference = member @ z * (m / (k * (m - k)))
    return np.asarray(k * (m - k) / m * np.mean(difference**2, axis=1))


def _all_distances(z: FloatArray, k: int) -> FloatArray:
    choices = np.array(list(itertools.combinations(range(len(z)), k)))
    return np.concatenate([_distances(z, choices[i : i + _CHUNK]) for i in range(0, len(choices), _CHUNK)])


def _drawn_distances(z: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    if math.comb(len(z), k) <= MAX_EXACT:
        return rng.choice(_all_distances(z, k), MAX_EXACT)
    found = []
    for _ in range(0, MAX_EXACT, _CHUNK):
        choices = np.argsort(rng.random((_CHUNK, len(z))), axis=1)[:, :k]
        found.append(_distances(z, choices))
    return np.concatenate(found)
